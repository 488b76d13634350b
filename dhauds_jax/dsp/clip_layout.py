"""Recordings of any length as rows of one length, on the host: where a shorter one lies, how a longer one is cut."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from jaxtyping import Float


def lay_out(
    wave: Float[np.ndarray, " time"], length: int, share: float = -1.0, *, layout: str = "centre"
) -> Float[np.ndarray, " {length}"]:
    """Brings a shorter clip to `length` samples; keeps the head of a longer one.

    Args:
      wave: (time,) samples.
      length: samples of the result.
      share: where the clip lies in silence, for "centre": 0 to below 1 puts `int(share * (missing + 1))` of the missing
        samples before it; below 0, half of them, rounded down.
      layout: "centre" puts it into silence; "repeat_pad" repeats it as often as it fits whole, silence behind, as CLAP
        does (LAION-AI/CLAP, training/data.py); "start" puts silence behind it.
    """
    out = np.zeros(length, np.float32)
    if layout == "repeat_pad":
        times = max(1, length // max(1, len(wave)))
        out[: times * len(wave)] = np.tile(wave, times)[:length]
        return out
    missing = 0 if layout == "start" else max(0, length - len(wave))
    head = missing // 2 if share < 0 else int(share * (missing + 1))
    out[head : head + len(wave)] = wave[:length]
    return out


def starts(samples: int, length: int, overlap: float) -> list[int]:
    """The first sample of each window of a recording.

    A recording that is not longer than a window is one. Of a longer one, windows start every
    `length * (1 - overlap)` samples as long as they fit; when samples are left over, a last window ends with it.
    """
    if samples <= length:
        return [0]
    hop, last = max(1, round(length * (1 - overlap))), samples - length
    return [*range(0, last + 1, hop), *([last] if last % hop else [])]


def cut(
    blocks: Iterable[Float[np.ndarray, " _"]], length: int, overlap: float, layout: str = "centre"
) -> Iterator[Float[np.ndarray, " {length}"]]:
    """The windows of a recording that comes block by block (see `starts`); a shorter one as `lay_out` has it.

    Args:
      blocks: its samples in their order.
      length: samples of a window.
      overlap: share of a window that the next one repeats.
      layout: of a shorter one, see `lay_out`.
    """
    hop = max(1, round(length * (1 - overlap)))
    kept, following = np.zeros(0, np.float32), 0  # `kept` begins with the last window
    for block in blocks:
        kept = np.concatenate([kept, block])
        while following + length <= len(kept):
            yield kept[following : following + length]
            kept, following = kept[following:], hop
    if not following:
        yield lay_out(kept, length, layout=layout)
    elif len(kept) > length:
        yield kept[-length:]
