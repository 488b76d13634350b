"""Impulse responses of shoebox rooms: image sources for the first 80 ms, then a diffuse tail of the same energy.

Every wall reflects the same share at all frequencies. The images' pulses are band-limited; from `MIXING_S` on, where a
room has some thousand images a second and more, their sum is Gaussian noise under the envelope that images have in the
mean (Eyring's), so a response costs the same whatever the reverberation time.

Sources: Allen and Berkley 1979 (images); Peterson 1986 (band-limited pulses); Eyring 1930; Lehmann and Johansson 2010
(a diffuse tail behind the images).
"""

from __future__ import annotations

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from dhauds_jax.dsp.spectra import fft_length, frequencies

SOUND_M_PER_S = 343.0
MIXING_S = 0.08
"""After the direct sound's emission, in seconds: images before it, noise after it."""
AHEAD = 8
"""Taps before the emission, which hold the first half of a pulse that comes at once."""
_DECAY = 6 * math.log(10)
"""Energy falls by 60 dB: the logarithm of a million."""
_LOWEST_HZ = 50.0
_STEPS = float(1 << 24)


def absorption(
    seconds: float | Float[Array | np.ndarray, "*rooms"], room: Float[Array | np.ndarray, "*rooms 3"]
) -> Float[Array | np.ndarray, "*rooms"] | float:
    """Share of the energy that a wall takes for a reverberation time, by Eyring: `1 - exp(-6 ln 10 4 V / (c S T))`.

    Args:
      seconds: reverberation time T (60 dB); 0 takes all.
      room: length, width and height in metres.
    """
    xp = jnp if isinstance(room, jax.Array) else np
    longest = xp.maximum(seconds, 1e-3)
    return 1 - xp.exp(-_DECAY * mean_free_path(room) / (SOUND_M_PER_S * longest))


def mean_free_path(room: Float[Array | np.ndarray, "*rooms 3"]) -> Float[Array | np.ndarray, "*rooms"] | float:
    """Mean length in metres of a way between two reflections: `4 V / S`."""
    x, y, z = room[..., 0], room[..., 1], room[..., 2]
    return 2 * x * y * z / (x * y + x * z + y * z)


def images(least: tuple[float, float, float], seconds: float) -> np.ndarray:
    """Which images sound within some time in any room of at least these sides, int (images, 3).

    An image's number along an axis is how many walls its sound meets there; even ones are the source moved by whole
    rooms, odd ones mirrored.

    Args:
      least: shortest length, width and height in metres.
      seconds: after the emission.
    """
    reach = seconds * SOUND_M_PER_S
    # The image of number n is at least |n| - 1 sides away from every point of the room.
    most = [math.floor(reach / side) + 1 for side in least]
    grid = np.array(list(itertools.product(*(range(-n, n + 1) for n in most))))
    away = (np.maximum(np.abs(grid) - 1, 0) * np.array(least)) ** 2
    return grid[away.sum(1) <= reach**2]


def response(
    key: PRNGKeyArray,
    numbers: np.ndarray,
    room: Float[Array, "3"],
    source: Float[Array, "3"],
    microphone: Float[Array, "3"],
    seconds: float | Float[Array, ""],
    *,
    sample_rate: int,
    taps: int,
) -> Float[Array, " taps"]:
    """The response of a room, `AHEAD` taps first; the direct sound has the gain 1 and comes after its way's time.

    Args:
      key: of the tail's noise.
      numbers: (images, 3) of `images`, for `MIXING_S` and sides no longer than the room's.
      room: length, width and height in metres.
      source, microphone: places in it in metres.
      seconds: reverberation time by Eyring (60 dB).
      sample_rate: Hz.
      taps: how many.
    """
    taken = absorption(seconds, room)
    # A mirrored image lies where its wall mirrors the source; an unmirrored one whole rooms away.
    where = jnp.where(numbers % 2 == 0, numbers * room[None] + source[None], (numbers + 1) * room[None] - source[None])
    far = jnp.sqrt(jnp.sum(jnp.square(where - microphone[None]), -1))
    direct = jnp.maximum(jnp.sqrt(jnp.sum(jnp.square(source - microphone))), 1e-3)
    hits = jnp.asarray(np.abs(numbers).sum(1), jnp.float32)
    gain = jnp.exp(0.5 * hits * jnp.log(jnp.maximum(1 - taken, 1e-30))) * direct / jnp.maximum(far, 1e-3)
    gain = jnp.where(far < MIXING_S * SOUND_M_PER_S, gain, 0.0)
    delay = far / SOUND_M_PER_S * sample_rate
    reflected = _high_passed(_pulses(delay, jnp.where(hits > 0, gain, 0.0), taps), sample_rate)
    early = _pulses(direct[None] / SOUND_M_PER_S * sample_rate, jnp.ones(1), taps) + reflected
    time = (jnp.arange(taps) - AHEAD) / sample_rate
    volume = room[0] * room[1] * room[2]
    power = 4 * jnp.pi * SOUND_M_PER_S * jnp.square(direct) / (volume * sample_rate)
    envelope = jnp.sqrt(power) * jnp.exp(-0.5 * _DECAY * time / jnp.maximum(seconds, 1e-3))
    tail = jnp.where(time >= MIXING_S, envelope * jax.random.normal(key, (taps,)), 0.0)
    return early + tail


def _high_passed(wave: Float[Array, " time"], sample_rate: int) -> Float[Array, " time"]:
    """Through a Butterworth filter of second order at 50 Hz, below which pulses of one sign would pile up.

    It rings on for some 20 ms, so a transform of twice the length has it whole.
    """
    length = fft_length(2 * wave.shape[-1])
    s = 1j * frequencies(length, sample_rate) / _LOWEST_HZ
    return jnp.fft.irfft(jnp.fft.rfft(wave, length) * (s**2 / (s**2 + math.sqrt(2) * s + 1)), length)[: wave.shape[-1]]


def _pulses(delay: Float[Array, " images"], gain: Float[Array, " images"], taps: int) -> Float[Array, " taps"]:
    """Sums of band-limited pulses: a sinc under a Hann window, `AHEAD` taps to either side.

    They are summed in steps of 2^-24 as integers, so their order changes no bit: an accelerator adds in any.
    """
    first = jnp.floor(delay).astype(jnp.int32)
    offset = jnp.arange(1 - AHEAD, AHEAD + 1)
    t = offset[None] - (delay - first)[:, None]
    pulse = gain[:, None] * jnp.sinc(t) * (0.5 + 0.5 * jnp.cos(jnp.pi * t / AHEAD))
    place = first[:, None] + offset[None] + AHEAD
    steps = jnp.round(pulse * _STEPS).astype(jnp.int32)
    return jnp.zeros(taps, jnp.int32).at[place].add(steps, mode="drop").astype(jnp.float32) / _STEPS
