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


def channels(wave: Float[np.ndarray, " time"], rate: int) -> Float[np.ndarray, "time 2"]:
    """The waveform through `sox reverb 0 50 100 100 0 0` (reverberance, damping, room, stereo depth, delay, wet gain).

    Of one channel this reverb makes two, and cuts either off at full scale.

    Args:
      wave: (time,) samples.
      rate: Hz.

    Raises:
      RuntimeError: sox fails.

    Source: pysox 1.4 as Scaper 1.6.5 calls it.
    """
    form = ["-t", "raw", "-e", "floating-point", "-b", "64", "-L", "-r", str(rate), "-c"]
    words = ["sox", "-D", "-V1", *form, "1", "-", *form, "2", "-", "reverb", "0", "50", "100", "100", "0", "0"]
    done = subprocess.run(words, input=wave.astype("<f8").tobytes(), capture_output=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)} ended with {done.returncode}: {done.stderr.decode(errors='replace')}")
    out = np.zeros((len(wave), 2))
    found = np.frombuffer(done.stdout, "<f8").reshape(-1, 2)[: len(wave)]
    out[: len(found)] = found
    return out


def sox0(wave: Float[np.ndarray, " time"], rate: int) -> Float[np.ndarray, " time"]:
    """The mean of both `channels`, which is what sox gives where one is wanted, to the bit."""
    return _mean(channels(wave, rate))


def _mean(both: Float[np.ndarray, "time 2"]) -> Float[np.ndarray, " time"]:
    """In steps of 32 bit, halves away from zero, as sox rounds."""
    steps = both.sum(1) * 2.0**30
    return np.trunc(steps + np.copysign(0.5, steps)) / 2.0**31


def through_sox0(dry: Mixed, rate: int, fix_clipping: bool) -> Mixed:
    """The soundscape with its sum through the reverb, by which it may clip, or no longer.

    Its peak is then the larger of those before the reverb and in the two channels behind it: sox cuts off what goes
    beyond full scale in either place. What is scaled down is the sound before it, so that the parts, through the
    reverb too, sum to the mix.

    Args:
      dry: the soundscape, not scaled down.
      rate: Hz.
      fix_clipping: scale all down where the sum goes beyond full scale.

    Raises:
      RuntimeError: sox fails.
    """
    both = channels(dry.mix, rate)
    whole = dry._replace(peak=max(dry.peak, _peak(dry, both, rate)))
    if not (fix_clipping and whole.clips):
        return whole._replace(mix=_mean(both))
    scaled = mixing.scaled_down(whole)
    return scaled._replace(mix=sox0(scaled.mix, rate))


def _peak(dry: Mixed, both: Float[np.ndarray, "samples 2"], rate: int) -> float:
    """The largest absolute sample behind the reverb; it is linear, so what was cut off is found at a lower level."""
    found, factor = float(np.abs(both).max()), 1.0
    if dry.clips:
        found, factor = _CUT, 1.0 / dry.peak
    for _ in range(_HALVINGS):
        if found < _CUT:
            break
        factor /= 2
        found = float(np.abs(channels(factor * dry.mix, rate)).max())
    return found / factor
