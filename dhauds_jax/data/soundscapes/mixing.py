"""The arithmetic of a soundscape: levels in LUFS, fades, onset, sum; on host arrays in float64, nothing is drawn here.

Source: J. Salamon et al., Scaper: a library for soundscape synthesis and augmentation, WASPAA 2017; its version 1.6.5.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from dhauds_jax.data import loudness

FADE_SECONDS = 0.01
"""Of the quarter sines at both ends of an event."""
CROSS_SECONDS = 0.1
"""Over which two repeats of a short background are blended."""
FULL_SCALE = 1.0 - 2.0**-15
"""What the largest sample of a soundscape becomes that was clipping and is scaled down."""


class Mixed(NamedTuple):
    """A soundscape.

    Attributes:
      mix: float64 (samples,), the sum of the other two, through a reverb where one was asked for.
      foreground, background: float64 (samples,) each, as they are in it, without a reverb.
      first: the sample at which the event begins.
      snr: LU of the event (before its fades) over the background, measured after their gains.
      peak: the largest absolute sample of the sum, or of the two channels that a reverb makes of it, before anything
        was done about it.
      scaled_db: gain of all three because the sum was clipping; 0.0 where it was not, or nobody asked.
    """

    mix: Float[np.ndarray, " samples"]
    foreground: Float[np.ndarray, " samples"]
    background: Float[np.ndarray, " samples"]
    first: int
    snr: float
    peak: float
    scaled_db: float = 0.0

    @property
    def clips(self) -> bool:
        """Whether the sum goes beyond full scale, as it was mixed."""
        return self.peak > 1.0


def at_rate(wave: Float[np.ndarray, " time"], rate: int, new_rate: int) -> Float[np.ndarray, " new_time"]:
    """Another rate by the SoX resampler's HQ recipe, which Scaper's own (sox) is too.

    Args:
      wave: (time,) samples.
      rate, new_rate: Hz.
    """
    if rate == new_rate:
        return wave
    import soxr

    return soxr.resample(wave, rate, new_rate, quality="HQ")


def tiled(wave: Float[np.ndarray, " time"], samples: int) -> Float[np.ndarray, " {samples}"]:
    """The waveform again and again, with a jump at every joint, cut to `samples`."""
    return np.tile(wave, -(-samples // len(wave)))[:samples]


def looped(wave: Float[np.ndarray, " time"], samples: int, rate: int) -> Float[np.ndarray, " {samples}"]:
    """The waveform again and again, each repeat blended into the next over `CROSS_SECONDS`, cut to `samples`.

    Equal power: sin^2 + cos^2 = 1, which keeps the level of noise. Of a shorter waveform half is blended.

    Args:
      wave: (time,) samples, at least one.
      samples: wanted length.
      rate: Hz.
    """
    cross = min(round(CROSS_SECONDS * rate), len(wave) // 2)
    if len(wave) >= samples or not cross:
        return tiled(wave, samples)
    rise = np.sin((np.arange(cross) + 0.5) / cross * (np.pi / 2))
    body = wave.copy()
    body[:cross] *= rise
    body[-cross:] *= rise[::-1]
    hop = len(wave) - cross
    count = -(-samples // hop)
    out = np.zeros(count * hop + cross)
    for place in range(0, count * hop, hop):
        out[place : place + len(body)] += body
    out[:cross] = wave[:cross]  # nothing came before it
    return out[:samples]


def fade(event: Float[np.ndarray, " time"], rate: int) -> Float[np.ndarray, " time"]:
    """The event with quarter-sine fades of 10 ms; one that is shorter than both has fades of half its length."""
    length = min(int(FADE_SECONDS * rate), len(event) // 2)
    faded = event.copy()
    if length:
        rise = np.sin(np.linspace(0, np.pi / 2, length))
        faded[:length] *= rise
        faded[-length:] *= rise[::-1]
    return faded


def placed(onset: float, seconds: float, scene_seconds: float) -> float:
    """Where an event of `seconds` asked for at `onset` begins: it ends with the scene at the latest."""
    return min(onset, scene_seconds - seconds) if onset + seconds > scene_seconds else onset


def gain(db: float) -> float:
    """The factor of a gain in dB."""
    return 10 ** (db / 20)


def levelled(
    wave: Float[np.ndarray, " time"], rate: int, target: float, exact: bool
) -> tuple[Float[np.ndarray, " time"], float]:
    """A waveform brought to a loudness, and the loudness that it then has (both in LUFS).

    Args:
      wave: (time,) samples.
      rate: Hz.
      target: LUFS.
      exact: by the gain after which the target is met (`loudness.gain_to`); else by the difference from the loudness
        that it has now, as Scaper does, which misses where blocks cross the absolute gate.
    """
    power = loudness.block_powers(wave, rate)
    db = loudness.gain_to(power, target) if exact else target - loudness.of_blocks(power)
    return wave * gain(db), loudness.of_blocks(power * gain(db) ** 2)


def mix(
    event: Float[np.ndarray, " time"],
    background: Float[np.ndarray, " samples"],
    *,
    onset: float,
    snr: float,
    ref_db: float,
    rate: int,
    exact: bool = False,
    fix_clipping: bool = False,
) -> Mixed:
    """Mixes an event into a background.

    The background is brought to `ref_db` LUFS, the event to `ref_db + snr`, then faded; it begins at sample
    int(rate * onset).

    Args:
      event: (time,) samples that are to be heard, at `rate`.
      background: (samples,) of the whole scene, at `rate`.
      onset: seconds.
      snr: LU of the event over the background.
      ref_db: LUFS of the background.
      rate: Hz.
      exact: see `levelled`.
      fix_clipping: scale all down where the sum goes beyond full scale.
    """
    background, below = levelled(background, rate, ref_db, exact)
    event, above = levelled(event, rate, ref_db + snr, exact)
    first = int(rate * onset)
    foreground = np.zeros(len(background))
    heard = fade(event, rate)[: len(background) - first]
    foreground[first : first + len(heard)] = heard
    total = background + foreground
    made = Mixed(total, foreground, background, first, above - below, float(np.abs(total).max()))
    return scaled_down(made) if fix_clipping and made.clips else made


def scaled_down(sound: Mixed) -> Mixed:
    """The soundscape, which clips, and its parts with the gain that brings its peak to `FULL_SCALE`."""
    factor = FULL_SCALE / sound.peak
    waves = {name: factor * getattr(sound, name) for name in ("mix", "foreground", "background")}
    return sound._replace(**waves, scaled_db=20 * math.log10(factor))
