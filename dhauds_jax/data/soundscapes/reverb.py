"""What `reverb=0` of Scaper does: the sound goes through sox's reverb at reverberance 0, which is no bypass."""

from __future__ import annotations

import shutil
import subprocess

import numpy as np
from jaxtyping import Float

from dhauds_jax.errors import BadInput

KINDS = ("none", "sox0")


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
