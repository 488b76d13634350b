"""Time-shifted copies of whole clips, over which predictions are averaged (`--views=shift:5`)."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Num

from dhauds_jax.errors import BadInput

STEP_SECONDS = 0.2
"""From the start of one copy to that of the next; team ADEE's five copies start at 0 to 0.8 s."""


def read_views(text: str) -> tuple[int, float]:
    """The copies that `--views` asks for, and the seconds from one to the next.

    Args:
      text: "shift:N", "shift:N:SECONDS", or "", which is the clip as it is.

    Raises:
      BadInput: anything else.
    """
    words = (text or "shift:1").split(":")
    try:
        name, count, seconds = words if len(words) == 3 else (*words, STEP_SECONDS)
        step_s = float(seconds)
        if name != "shift" or not (count.isascii() and count.isdecimal()) or int(count) < 1 or not 0 < step_s < 60:
            raise ValueError
    except ValueError:
        raise BadInput(
            f"--views={text}: expected shift:N or shift:N:SECONDS, N copies from 1 on that start {STEP_SECONDS:g} s "
            "or so many seconds apart, such as shift:5"
        ) from None
    return int(count), step_s


def shift_starts(count: int, sample_rate: int, length: int, step_s: float = STEP_SECONDS) -> tuple[int, ...]:
    """The first sample of each copy: round(i step_s sample_rate), i from 0.

    Args:
      count: copies.
      sample_rate: Hz.
      length: samples of a clip.
      step_s: seconds from one copy to the next.

    Raises:
      BadInput: the last copy would start after the clip's end.
    """
    starts = tuple(round(k * step_s * sample_rate) for k in range(count))
    if starts[-1] >= length:
        raise BadInput(
            f"views shift:{count}: the last copy starts {starts[-1] / sample_rate:g} s into clips of "
            f"{length / sample_rate:g} s, expected it before their end; give at most "
            f"shift:{max(1, -(-length // max(1, round(step_s * sample_rate))))}"
        )
    return starts


def shifted(
    wave: Num[Array, "*batch time"] | Num[np.ndarray, "*batch time"], starts: tuple[int, ...]
) -> Num[Array, "copies *batch time"] | Num[np.ndarray, "copies *batch time"]:
    """Copies of clips without their first samples, zeros behind, so that all have the clip's length.

    Args:
      wave: (..., time) samples of any type; NumPy stays NumPy, and JAX traces it.
      starts: samples left out of each copy (`shift_starts`).
    """
    xp = jnp if isinstance(wave, jax.Array) else np
    still = [(0, 0)] * (wave.ndim - 1)
    return xp.stack([xp.pad(wave[..., start:], [*still, (0, start)]) for start in starts])


def lose_rows(
    features: Float[Array, "*batch rows frames mels"], kept: Int[Array, "*batch"] | Int[np.ndarray, "*batch"]
) -> Float[Array, "*batch rows frames mels"]:
    """Examples from `kept` on replaced by zeros of log-mel, as the published system has them (profile reference).

    Its copies are not padded: a shifted clip has fewer whole examples, and the rows of its buffer that are left are
    zeros, which is louder than silence (ln 0.01 = -4.6). Profile corrected pads the waveform (`shifted`) instead.

    Args:
      features: (..., rows, frames, mels) examples of each clip, as `Classifier.apply_features` takes them.
      kept: (...) whole examples of the unpadded copy.

    Source: team ADEE, src/mydataset.py (quirk T16).
    """
    kept = jnp.asarray(kept)[..., None, None, None]
    row = jnp.arange(features.shape[-3]).reshape((1,) * (kept.ndim - 3) + (-1, 1, 1))
    return jnp.where(row < kept, features, 0.0)
