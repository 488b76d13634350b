"""Changing a clip's speed or pitch: phase vocoder, Griffin-Lim, time stretch and pitch shift.

Conventions and quirks are torchaudio's, since DHAuDS makes its PSH and TST corruptions with it. Spectra are laid out
(..., frames, bins).
"""

from __future__ import annotations

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float, Int, Key

from dhauds_jax.dsp.resample import resample
from dhauds_jax.dsp.stft import istft, stft
from dhauds_jax.errors import BadInput


def absolute(spectrum: Complex[Array, "*batch frames bins"]) -> Float[Array, "*batch frames bins"]:
    """Magnitudes `|spectrum|`, with gradient 0 at 0."""
    power = jnp.square(spectrum.real) + jnp.square(spectrum.imag)
    loud = power > 0
    return jnp.where(loud, jnp.sqrt(jnp.where(loud, power, 1.0)), 0.0)


def stretch_positions(frames: int, rate: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Both source frames of every stretched frame and the weight of the second (float32, as torchaudio).

    Args:
      frames: frames of the source; indices of `frames` and beyond are silence.
      rate: speed, above 1 is faster.

    Returns:
      int32 and int32 (ceil(frames / rate),), float32 (ceil(frames / rate), 1).

    Raises:
      BadInput: a rate that is not positive.
    """
    if not rate > 0:
        raise BadInput(f"the stretch rate is {rate}, expected a positive number (above 1 is faster)")
    steps = (np.arange(math.ceil(frames / rate)) * rate).astype(np.float32)
    return steps.astype(np.int32), (steps + np.float32(1)).astype(np.int32), (steps % np.float32(1))[:, None]


def _neighbours(frames: Array, rate: float) -> tuple[Array, Array, np.ndarray]:
    """Both neighbours of every stretched frame, (..., stretched, bins) each, and the weight of the second."""
    first, second, weight = stretch_positions(frames.shape[-2], rate)
    padded = jnp.pad(frames, [(0, 0)] * (frames.ndim - 2) + [(0, 2), (0, 0)])
    return padded[..., first, :], padded[..., second, :], weight


def stretch_magnitude(
    magnitude: Float[Array, "*batch frames bins"], rate: float
) -> Float[Array, "*batch stretched bins"]:
    """Magnitudes of a phase-vocoder stretch: linear interpolation between neighbouring frames, silence after the last.

    Args:
      magnitude: (..., frames, bins).
      rate: speed, above 1 is faster (fewer frames).

    Returns:
      (..., ceil(frames / rate), bins).

    Raises:
      BadInput: a rate that is not positive.
    """
    first, second, weight = _neighbours(magnitude, rate)
    weight = jnp.broadcast_to(jnp.asarray(weight, magnitude.dtype), first.shape)
    return weight * second + (1 - weight) * first


def _double_cumsum(x: Float[Array, "frames ..."]) -> Float[Array, "frames ..."]:
    """Cumulative sum over the first axis in double-float arithmetic, rounded once (PyTorch sums phases in float64)."""

    def add(carry: tuple[Array, Array], value: Array) -> tuple[tuple[Array, Array], Array]:
        high, low = carry
        total = high + value
        back = total - high
        low = low + ((high - (total - back)) + (value - back))
        high = total + low
        return (high, low - (high - total)), high

    zero = jnp.zeros_like(x[0])
    return jax.lax.scan(add, (zero, zero), x)[1]


def phase_vocoder(
    spectrum: Complex[Array, "*batch frames bins"], rate: float, hop: int
) -> Complex[Array, "*batch stretched bins"]:
    """Stretches a spectrum in time without changing its pitch.

    Magnitudes are interpolated; phases advance by what the source advances from frame to frame, unwrapped around each
    bin's centre frequency, and are summed in double-float precision.

    Args:
      spectrum: (..., frames, bins) of `stft`, with any n_fft.
      rate: speed, above 1 is faster (fewer frames).
      hop: the hop of that `stft` in samples.

    Returns:
      (..., ceil(frames / rate), bins).

    Raises:
      BadInput: a rate that is not positive.

    Source: Flanagan and Golden, 1966; Ellis, pvoc, 2002; torchaudio's `phase_vocoder`.
    """
    if rate == 1:
        return spectrum
    angle = jnp.arctan2(spectrum.imag, spectrum.real)
    magnitude = stretch_magnitude(absolute(spectrum), rate)
    before, after, _ = _neighbours(angle, rate)
    advance = jnp.asarray(np.linspace(0, np.pi * hop, spectrum.shape[-1]), angle.dtype)
    advance = jnp.broadcast_to(advance, before.shape)
    step = after - before - advance
    step = step - 2 * np.pi * jnp.round(step / (2 * np.pi)) + advance
    steps = jnp.concatenate([angle[..., :1, :], step[..., :-1, :]], -2)
    phase = jnp.moveaxis(_double_cumsum(jnp.moveaxis(steps, -2, 0)), 0, -2)
    return jax.lax.complex(magnitude * jnp.cos(phase), magnitude * jnp.sin(phase))


@functools.partial(jax.jit, static_argnames=("n_fft", "hop", "power", "iterations", "momentum"))
def griffin_lim(
    magnitude: Float[Array, "*batch frames bins"],
    *,
    n_fft: int,
    hop: int,
    power: float = 2.0,
    iterations: int = 32,
    momentum: float = 0.99,
    start: Complex[Array, "*batch frames bins"] | None = None,
) -> Float[Array, "*batch time"]:
    """A waveform whose spectrum has (nearly) the given magnitudes, by the fast Griffin-Lim iteration.

    Args:
      magnitude: (..., frames, n_fft // 2 + 1) magnitudes to the power `power`; the root is taken first.
      n_fft: transform and window length in samples.
      hop: distance of frames in samples.
      power: exponent of `magnitude`, 1 for plain magnitudes.
      iterations: rounds of inverse and forward transform.
      momentum: 0 to below 1; used as `momentum / (1 + momentum)`, as torchaudio and librosa do.
      start: (..., frames, bins) complex factors of the first inverse transform, of any modulus (None: all 1).

    Returns:
      (..., hop * (frames - 1)) samples.

    Raises:
      BadInput: momentum out of range, or too few frames for a reflected edge.

    Source: Perraudin, Balazs and Søndergaard, WASPAA 2013; torchaudio's `griffinlim`.
    """
    if not 0 <= momentum < 1:
        raise BadInput(f"griffin_lim: momentum is {momentum}, expected 0 <= momentum < 1")
    inertia = momentum / (1 + momentum)
    target = magnitude_root(magnitude, power)

    def round_trip(_: int | Array, waves: tuple[Array, Array]) -> tuple[Array, Array]:
        # torchaudio subtracts the previous spectrum; the transform is linear, so the previous *wave* serves as well and
        # the loop carries no spectra (which XLA would copy in every round).
        wave, previous = waves
        spectrum = stft(wave - inertia * previous, n_fft=n_fft, hop=hop)
        gain = target / (absolute(spectrum) + 1e-16)
        return istft(jax.lax.complex(gain * spectrum.real, gain * spectrum.imag), n_fft=n_fft, hop=hop), wave

    first = target + 0j if start is None else target * start
    wave = istft(first, n_fft=n_fft, hop=hop)
    return jax.lax.fori_loop(0, iterations, round_trip, (wave, jnp.zeros_like(wave)))[0]


def magnitude_root(magnitude: Float[Array, "*batch frames bins"], power: float) -> Float[Array, "*batch frames bins"]:
    """`magnitude ** (1 / power)`, with gradient 0 at 0: what Griffin-Lim takes for the magnitude."""
    if power == 1:
        return magnitude
    loud = magnitude > 0
    safe = jnp.where(loud, magnitude, 1.0)
    return jnp.where(loud, jnp.sqrt(safe) if power == 2 else safe ** (1 / power), 0.0)


def start_in_square(key: Key[Array, ""], frames: Int[Array, " frames"], bins: int) -> Complex[Array, "frames {bins}"]:
    """Griffin-Lim's random start as the reference has it: complex numbers, both parts of U[0, 1).

    Every frame has a key of its own, so its numbers do not depend on how many frames there are.

    Args:
      key: of the clip.
      frames: the numbers of the frames wanted.
      bins: of each frame.

    Source: torchaudio's `griffinlim`.
    """
    keys = jax.vmap(lambda frame: jax.random.fold_in(key, frame))(frames)
    parts = jax.vmap(lambda k: jax.random.uniform(k, (2, bins)))(keys)
    return jax.lax.complex(parts[:, 0], parts[:, 1])


def time_stretch_frames(length: int, rate: float, hop: int = 256) -> int:
    """Number of frames that `time_stretch` works on, for drawing its `start`: `ceil((length // hop + 1) / rate)`.

    Args:
      length: samples of the clip.
      rate: speed, above 1 is faster.
      hop: distance of frames in samples.
    """
    return len(stretch_positions(length // hop + 1, rate)[0])


@functools.partial(jax.jit, static_argnames=("rate", "power", "n_fft", "hop"))
def time_stretch(
    wave: Float[Array, "*batch time"],
    rate: float,
    *,
    power: float = 2.0,
    start: Complex[Array, "*batch frames bins"] | None = None,
    n_fft: int = 1024,
    hop: int = 256,
) -> Float[Array, "*batch new_time"]:
    """Makes a clip faster or slower at the same pitch: interpolated magnitudes, then 32 rounds of Griffin-Lim.

    Only magnitudes survive the reference's phase vocoder, so its phases are never computed here. With `power=2`
    Griffin-Lim rebuilds the root of the magnitude: every level is halved in dB, a quirk of the reference; 1 is without.
    On CPU batches of about 16 clips are fastest: larger ones leave the cache.

    Args:
      wave: (..., time) samples, more than `n_fft // 2`.
      rate: speed, above 1 is faster and shorter.
      power: what Griffin-Lim takes the magnitude for, 2 (reference) or 1 (correct).
      start: (..., `time_stretch_frames(time, rate, hop)`, n_fft // 2 + 1) complex start factors (None: all 1; the
        reference draws both parts from U[0, 1)).
      n_fft: transform and window length in samples.
      hop: distance of frames in samples.

    Returns:
      (..., hop * (frames - 1)) samples.

    Raises:
      BadInput: a rate that is not positive, or a clip too short.

    Source: DHAuDS, lib/corruption.py (TST).
    """
    magnitude = stretch_magnitude(absolute(stft(wave, n_fft=n_fft, hop=hop)), rate)
    return griffin_lim(magnitude, n_fft=n_fft, hop=hop, power=power, start=start)


@functools.partial(jax.jit, static_argnames=("sample_rate", "semitones", "n_fft", "hop"))
def pitch_shift(
    wave: Float[Array, "*batch time"], sample_rate: int, semitones: int, *, n_fft: int = 512, hop: int = 128
) -> Float[Array, "*batch time"]:
    """Shifts the pitch by whole semitones at the same length: phase vocoder, then resampling.

    The stretched clip is resampled from `int(sample_rate / rate)` to `sample_rate` Hz, `rate = 2^(-semitones / 12)`,
    then cut or right-padded with zeros.

    Args:
      wave: (..., time) samples at `sample_rate` Hz, more than `n_fft // 2`.
      sample_rate: Hz.
      semitones: positive is higher.
      n_fft: transform and window length in samples.
      hop: distance of frames in samples.

    Returns:
      (..., time) samples at `sample_rate` Hz.

    Raises:
      BadInput: a clip too short to be reflected.

    Source: torchaudio's `pitch_shift`; DHAuDS, lib/corruption.py (PSH).
    """
    length = wave.shape[-1]
    rate = 2.0 ** (-semitones / 12)
    stretched = phase_vocoder(stft(wave, n_fft=n_fft, hop=hop), rate, hop)
    slow = istft(stretched, n_fft=n_fft, hop=hop, length=round(length / rate))
    shifted = resample(slow, int(sample_rate / rate), sample_rate)[..., :length]
    return jnp.pad(shifted, [(0, 0)] * (wave.ndim - 1) + [(0, length - shifted.shape[-1])])
