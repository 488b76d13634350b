"""What `reverb=0` of Scaper does: the sound goes through sox's reverb at reverberance 0, which is no bypass."""

from __future__ import annotations

import shutil
import subprocess

import numpy as np
from jaxtyping import Float

from dhauds_jax.data.soundscapes import mixing
from dhauds_jax.data.soundscapes.mixing import Mixed
from dhauds_jax.errors import BadInput

KINDS = ("none", "sox0")
_CUT = 1.0 - 2.0**-30
"""sox reckons in 32-bit integers: a sample beyond this one has been cut off at full scale."""
_HALVINGS = 10
"""By which a sound is brought down at the most to find how loud the reverb makes it."""


def check(kind: str, because: str) -> None:
    """Raises `BadInput` where the sox program is wanted and not there; `because` is the flag that wants it."""
    if kind == "sox0" and shutil.which("sox") is None:
        raise BadInput(
            f"{because}: sends every soundscape through the program sox, which is not found, expected it to be "
            "installed; --reverb=none does without"
        )


def sox0(wave: Float[np.ndarray, " time"], rate: int) -> Float[np.ndarray, " time"]:
    """The waveform through `sox reverb 0 50 100 100 0 0` (reverberance, damping, room, stereo depth, delay, wet gain).

    Args:
      wave: (time,) samples.
      rate: Hz.

    Raises:
      RuntimeError: sox fails.

    Source: pysox 1.4 as Scaper 1.6.5 calls it.
    """
    form = ["-t", "raw", "-e", "floating-point", "-b", "64", "-L", "-r", str(rate), "-c", "1", "-"]
    words = ["sox", "-D", "-V1", *form, *form, "reverb", "0", "50", "100", "100", "0", "0"]
    done = subprocess.run(words, input=wave.astype("<f8").tobytes(), capture_output=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)} ended with {done.returncode}: {done.stderr.decode(errors='replace')}")
    out = np.zeros_like(wave)
    found = np.frombuffer(done.stdout, "<f8")[: len(wave)]
    out[: len(found)] = found
    return out


def through_sox0(dry: Mixed, rate: int, fix_clipping: bool) -> Mixed:
    """The soundscape with its sum through the reverb, by which it may clip, or no longer.

    Its peak is then the larger of those before and after the reverb: sox cuts off what goes beyond full scale at both
    ends. What is scaled down is the sound before it, so that the parts, through the reverb too, sum to the mix.

    Args:
      dry: the soundscape, not scaled down.
      rate: Hz.
      fix_clipping: scale all down where the sum goes beyond full scale.

    Raises:
      RuntimeError: sox fails.
    """
    wet = sox0(dry.mix, rate)
    whole = dry._replace(peak=max(dry.peak, _peak(dry, wet, rate)))
    if not (fix_clipping and whole.clips):
        return whole._replace(mix=wet)
    scaled = mixing.scaled_down(whole)
    return scaled._replace(mix=sox0(scaled.mix, rate))


def _peak(dry: Mixed, wet: Float[np.ndarray, " samples"], rate: int) -> float:
    """The largest absolute sample after the reverb; the reverb is linear, so what was cut off is found from afar."""
    found, factor = float(np.abs(wet).max()), 1.0
    if dry.clips:
        found, factor = _CUT, 1.0 / dry.peak
    for _ in range(_HALVINGS):
        if found < _CUT:
            break
        factor /= 2
        found = float(np.abs(sox0(factor * dry.mix, rate)).max())
    return found / factor
