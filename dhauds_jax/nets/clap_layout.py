"""How recordings of any length become the rows of an audio-text model: the rules for those longer than its clip.

On the host, in NumPy, and without files: recordings come as arrays or block by block, at the model's rate.
"""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from dhauds_jax import names
from dhauds_jax.dsp.clip_layout import cut, lay_out
from dhauds_jax.errors import BadInput
from dhauds_jax.nets import clap_channels, clap_mel
from dhauds_jax.nets.config import reading
from dhauds_jax.registry import check as check_name


class LongRule(NamedTuple):
    """What becomes of a recording that is longer than the model's clip; a shorter one is laid out as its config says.

    Attributes:
      kind: of `names.LONG_RULES`. "windows": windows of the clip's length, the last one ends with the recording.
        "first": the first clip's length of it. "random_crop": a clip's length from anywhere (LAION's rule for models
        without fusion). "fusion_fixed": four channels, the whole shrunk to a clip's frames and a crop from the middle
        of each third. "fusion_random": crops from anywhere in the thirds (LAION's rule for models with fusion).
      overlap: of windows, the share that the next one repeats, 0 up to below 1.
      seed: of what is random; a recording's name is the other half of its key.
      shrink: of fusions, see `clap_channels.SHRINKS`.
    """

    kind: str = names.LONG_RULES[0]
    overlap: float = 0.0
    seed: int = 0
    shrink: str = clap_channels.SHRINKS[0]


_SETTINGS: Mapping[str, tuple[str, ...]] = {
    "windows": ("overlap",),
    "first": (),
    "random_crop": ("seed",),
    "fusion_fixed": ("shrink",),
    "fusion_random": ("seed", "shrink"),
}
_READ: Mapping[str, Callable[[str], Any]] = {"overlap": float, "seed": int, "shrink": str}
_EXPECTED = {
    "overlap": "a share from 0 up to below 1",
    "seed": "a whole number from 0 on",
    "shrink": " or ".join(clap_channels.SHRINKS),
}

Row = tuple[np.ndarray, bool]
"""(1, samples) a wave or (4, frames, mels) features, and whether all channels count."""


def rule_text(rule: LongRule) -> str:
    """The rule as flags and manifests have it: its kind, and each setting that is not the usual one.

    For example `windows` or `fusion_random:seed=3:shrink=antialias`; `parse_rule` reads it.
    """
    usual = LongRule()
    changed = [name for name in _SETTINGS[rule.kind] if getattr(rule, name) != getattr(usual, name)]
    return ":".join([rule.kind, *(f"{name}={getattr(rule, name)}" for name in changed)])


def parse_rule(text: str, where: str = "--long") -> LongRule:
    """Reads what `rule_text` wrote.

    Raises:
      BadInput: an unknown kind, a setting that it does not have or that cannot be; `where` is named.
    """
    kind, *settings = text.split(":")
    check_name(f"rule for long recordings ({where})", kind, names.LONG_RULES)
    found: dict[str, Any] = {}
    for setting in settings:
        name, _, value = setting.partition("=")
        if name not in _SETTINGS[kind]:
            own = " and ".join(_SETTINGS[kind]) or "none"
            raise BadInput(f"{where}={text}: {kind} has no setting {name!r}, its settings: {own}")
        try:
            found[name] = _READ[name](value)
        except ValueError:
            raise BadInput(f"{where}={text}: {name} is {value!r}, expected {_EXPECTED[name]}") from None
    rule = LongRule(kind, **found)
    check_rule(rule, f"{where}={text}")
    return rule


def check_rule(rule: LongRule, where: str = "rule for long recordings") -> None:
    """Raises `BadInput` for a rule with an unknown kind or a setting that cannot be."""
    check_name("rule for long recordings", rule.kind, names.LONG_RULES)
    right = {
        "overlap": math.isfinite(rule.overlap) and 0 <= rule.overlap < 1,
        "seed": rule.seed >= 0,
        "shrink": rule.shrink in clap_channels.SHRINKS,
    }
    for name, is_right in right.items():
        if not is_right:
            raise BadInput(f"{where}: {name} is {getattr(rule, name)!r}, expected {_EXPECTED[name]}")


def lay_out_recording(
    recording: Float[np.ndarray, " time"],
    rule: LongRule,
    front_end: Mapping[str, Any],
    length: int,
    name: str = "",
) -> tuple[Float[np.ndarray, "rows ..."], Bool[np.ndarray, " rows"]]:
    """A recording as a model's rows (see `types.Layout`): `rows_of` an array, all at once.

    Returns:
      `(rows, longer)`: waves (rows, 1, length), or features (rows, 4, frames, mels).
    """
    blocks = [np.asarray(recording, np.float32)]
    rows, longer = zip(*rows_of(lambda: blocks, rule, front_end, length, name), strict=True)
    return np.stack(rows), np.array(longer)


def rows_of(
    blocks: Callable[[], Iterable[Float[np.ndarray, " _"]]],
    rule: LongRule,
    front_end: Mapping[str, Any],
    length: int,
    name: str = "",
    samples: int | None = None,
) -> Iterator[Row]:
    """The rows of a recording that comes block by block, one by one; memory does not grow with its length.

    Recordings up to the clip's length are one row, a wave as `front_end.layout` has it. Longer ones are waves for
    "windows", "first" and "random_crop". Fusions give features: of a recording that is longer by less than a frame the
    whole spectrogram in all four channels, of which one counts (LAION-AI/CLAP, training/data.py); else the whole shrunk
    and three crops, which all count. Neither batches nor workers nor block sizes change a bit of a row.

    Args:
      blocks: gives the samples at the model's rate in their order, from the beginning whenever it is called: once, or
        twice where a random crop or a fusion must know how many there are and `samples` does not say.
      rule: for those longer than `length`.
      front_end: the record of the model's config; fusions need the kind "clap_mel".
      length: samples of the model's clip.
      name: of the recording, the same wherever it lies: what is random follows from it and `rule.seed`.
      samples: how many there are, where that is known.

    Raises:
      BadInput: a rule that cannot be, a fusion with another front end, a recording without samples.
    """
    check_rule(rule)
    layout = reading(front_end)["layout"]
    if rule.kind in ("windows", "first"):
        windows = _windows(blocks(), length, rule.overlap, layout, name)
        yield from ((window[None], False) for window in (windows if rule.kind == "windows" else _first(windows)))
        return
    spec = None
    if rule.kind.startswith("fusion"):
        spec = _fusion_spec(front_end, rule)
    samples = sum(map(len, blocks())) if samples is None else samples
    if samples <= length or rule.kind == "random_crop":
        start = _drawn(rule.seed, name, 0, samples - length + 1) if samples > length else 0
        piece = _piece(blocks(), start, min(samples, length))
        yield lay_out(_not_empty(piece, name), length, layout=layout)[None], False
        return
    frames, chunk = (clap_channels.frames_of(n, spec) for n in (samples, length))
    mels = clap_channels.mel_blocks(blocks(), spec)
    if frames == chunk:
        whole = np.concatenate([block for _, block in mels]).astype(np.float32)
        yield np.stack([whole] * 4), False
        return
    yield clap_channels.fused(mels, frames, chunk, crop_starts(rule, frames, chunk, name), rule.shrink), True


def crop_starts(rule: LongRule, frames: int, chunk: int, name: str = "") -> tuple[int, int, int]:
    """The first frames of a fusion's crops, one from each third of where a crop of `chunk` frames can start.

    Thirds are as long as each other or longer by one, the longer ones first; an empty one counts as the start.
    """
    places = frames - chunk + 1
    begin, found = 0, []
    for third in range(3):
        size = places // 3 + (third < places % 3)
        if not size:
            found.append(0)
            continue
        offset = (size - 1) // 2 if rule.kind == "fusion_fixed" else _drawn(rule.seed, name, third, size)
        found.append(begin + offset)
        begin += size
    return tuple(found)


def _fusion_spec(front_end: Mapping[str, Any], rule: LongRule) -> clap_mel.ClapMel:
    spec = clap_mel.spec_of(front_end)
    if spec is None:
        raise BadInput(
            f"the rule {rule_text(rule)} for long recordings is for the front end {clap_mel.KIND}, found "
            f"{front_end['kind']}: choose windows, first or random_crop"
        )
    clap_channels.check(spec)
    return spec


def _drawn(seed: int, name: str, which: int, count: int) -> int:
    """A whole number below `count` that follows from the seed, the recording's name and which one it is of its own."""
    digest = hashlib.sha256(f"{seed}\n{which}\n{name}".encode(errors="surrogateescape")).digest()
    return int.from_bytes(digest[:16], "big") % count


def _windows(
    blocks: Iterable[np.ndarray], length: int, overlap: float, layout: str, name: str
) -> Iterator[Float[np.ndarray, " {length}"]]:
    """`cut`, of a recording that has samples."""
    there = (block for block in blocks if len(block))
    head = next(there, None)
    head = _not_empty(np.zeros(0, np.float32) if head is None else head, name)
    return cut(itertools.chain([head], there), length, overlap, layout)


def _first(windows: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    return itertools.islice(windows, 1)


def _not_empty(wave: np.ndarray, name: str) -> np.ndarray:
    if not len(wave):
        raise BadInput(f"{name or 'the recording'}: holds no samples, expected at least one")
    return wave


def _piece(blocks: Iterable[np.ndarray], start: int, length: int) -> np.ndarray:
    """`length` samples from `start` on; no block behind them is asked for."""
    found, begins = [np.zeros(0, np.float32)], 0
    for block in blocks:
        if begins >= start + length:
            break
        found.append(block[max(start - begins, 0) : max(start + length - begins, 0)])
        begins += len(block)
    return np.concatenate(found)
