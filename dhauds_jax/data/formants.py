"""A small cascade-parallel formant synthesiser: control tracks in, waveforms out."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

FRAME = 80
"""Samples between control points (5 ms at 16 kHz)."""
FORMANTS = 5
CONTROLS = ("f0", "voicing", "aspiration", "frication", "noise_centre", "noise_width", "tilt", "open_quotient")
"""Scalar control tracks, in this order, before the formants' frequencies and bandwidths."""
WIDTH = len(CONTROLS) + 2 * FORMANTS
CHUNK = 128
"""Clips in one compiled program; fixed, so that a clip's samples do not depend on how many are asked for."""


@functools.partial(jax.jit, static_argnums=2)
def synthesise(
    tracks: Float[Array, "clips frames width"], keys: Key[Array, " clips"], sample_rate: int
) -> Float[Array, "clips time"]:
    """Speaks control tracks; compiled for a number of clips, so give it `CHUNK`.

    A glottal pulse train (derivative of the polynomial pulse of Klatt and Klatt, JASA 1990) and aspiration pass through
    a cascade of two-pole resonators; frication passes through one resonator in parallel (Klatt, JASA 1980).

    Args:
      tracks: float32 (clips, frames, WIDTH): `CONTROLS`, then formant frequencies and bandwidths, all in Hz except the
        linear amplitudes and the open quotient (share of a period).
      keys: (clips,) keys of the noise sources.
      sample_rate: Hz.

    Returns:
      float32 (clips, frames * FRAME), not normalised.
    """
    time = tracks.shape[1] * FRAME
    track = dict(zip(CONTROLS, jnp.moveaxis(_interpolate(tracks[..., : len(CONTROLS)]), -1, 0)))
    noise = jax.vmap(lambda key: jax.random.normal(key, (2, time)))(keys)
    phase = jnp.cumsum(track["f0"] / sample_rate, axis=1) % 1.0
    place = phase / track["open_quotient"]
    pulse = jnp.where(place < 1.0, 2.0 * place - 3.0 * place**2, 0.0)
    # Breath noise is let through while the glottis is open.
    breath = noise[:, 0] * jnp.where(track["voicing"] > 0.05, jnp.where(place < 1.0, 1.2, 0.3), 1.0)
    voiced = _smooth(track["voicing"] * pulse, jnp.exp(-2 * jnp.pi * track["tilt"] / sample_rate))
    source = voiced + 0.4 * track["aspiration"] * breath
    hiss = track["frication"] * noise[:, 1]
    return _filter(source, hiss, tracks, sample_rate)


def _interpolate(x: Float[Array, "clips frames tracks"]) -> Float[Array, "clips time tracks"]:
    """Linear between control points; the last one is held."""
    following = jnp.concatenate([x[:, 1:], x[:, -1:]], axis=1)
    share = jnp.arange(FRAME, dtype=x.dtype)[:, None] / FRAME
    y = x[:, :, None] + (following - x)[:, :, None] * share[None, None]
    return y.reshape(x.shape[0], -1, x.shape[2])


def _smooth(x: Float[Array, "clips time"], decay: Float[Array, "clips time"]) -> Float[Array, "clips time"]:
    """One-pole low-pass with unit gain at DC."""

    def step(y, inputs):
        value, a = inputs
        y = (1 - a) * value + a * y
        return y, y

    return jax.lax.scan(step, jnp.zeros(x.shape[0]), (x.T, decay.T), unroll=8)[1].T


def _filter(source, hiss, tracks: Float[Array, "clips frames width"], sample_rate: int) -> Float[Array, "clips time"]:
    """The vocal tract: five resonators in a row for `source`, one beside them for `hiss`, constant within a frame."""
    first = len(CONTROLS)
    centre = jnp.concatenate([tracks[..., first : first + FORMANTS], tracks[..., 4:5]], -1)
    width = jnp.concatenate([tracks[..., first + FORMANTS :], tracks[..., 5:6]], -1)
    radius = jnp.exp(-jnp.pi * width / sample_rate)
    b = 2 * radius * jnp.cos(2 * jnp.pi * centre / sample_rate)
    c = -(radius**2)
    # Unit gain at DC for the cascade; about unit gain at its peak for the frication.
    a = jnp.where((jnp.arange(FORMANTS + 1) < FORMANTS)[None, None], 1 - b - c, (1 - radius**2) / 2)
    coefficients = jnp.moveaxis(jnp.stack([a, b, c]), (0, 1, 2, 3), (1, 3, 0, 2))  # (frames, 3, resonators, clips)
    clips, frames = tracks.shape[:2]
    inputs = jnp.stack([source, hiss]).reshape(2, clips, frames, FRAME).transpose(2, 3, 0, 1)

    def frame(state, xs):
        (a, b, c), block = xs

        def sample(state, x):
            last, before = state
            out = []
            y = x[0]
            for k in range(FORMANTS + 1):
                driven = x[1] if k == FORMANTS else y
                y = a[k] * driven + b[k] * last[k] + c[k] * before[k]
                out.append(y)
            return (jnp.stack(out), last), out[FORMANTS - 1] + out[FORMANTS]

        return jax.lax.scan(sample, state, block, unroll=8)

    zeros = jnp.zeros((FORMANTS + 1, clips))
    _, wave = jax.lax.scan(frame, (zeros, zeros), (coefficients, inputs))
    return wave.reshape(frames * FRAME, clips).T
