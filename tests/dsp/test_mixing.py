"""Mixing with noise: torchaudio's numbers, the ratio asked for, and silence."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dhauds_jax.dsp.mixing import add_noise

GOLDEN = Path(__file__).parents[1] / "goldens" / "add_noise.npz"


def noise(*shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


@pytest.mark.parametrize("kind", ["gauss", "uniform"])
def test_mixing_is_torchaudios(kind):
    golden = np.load(GOLDEN)
    ours = add_noise(*(jnp.asarray(golden[name]) for name in ("wave", kind, "snr")))
    np.testing.assert_allclose(ours, golden[f"out_{kind}"], atol=1e-6)


@pytest.mark.parametrize("snr_db", [-5, 0.0, 5.5, 7.0, 50.0])
def test_the_ratio_measured_is_the_ratio_asked_for(snr_db):
    wave, hiss = 0.1 * noise(3, 16000), 7.0 * noise(3, 16000, seed=1)
    added = np.asarray(add_noise(wave, hiss, snr_db), np.float64) - np.asarray(wave, np.float64)
    measured = 10 * np.log10(np.square(np.asarray(wave, np.float64)).sum(-1) / np.square(added).sum(-1))
    # At 50 dB the noise's own rounding in the float32 sum is what limits the measurement.
    np.testing.assert_allclose(measured, snr_db, atol=1e-3)


def test_each_row_has_its_own_ratio():
    wave, hiss, snr_db = noise(2, 3, 500), noise(2, 3, 500, seed=1), jnp.arange(6.0).reshape(2, 3)
    together = add_noise(wave, hiss, snr_db)
    np.testing.assert_array_equal(jax.jit(add_noise)(wave, hiss, snr_db)[1, 2].shape, (500,))
    np.testing.assert_allclose(together[1, 2], add_noise(wave[1, 2], hiss[1, 2], 5.0), atol=1e-6)
    np.testing.assert_allclose(jax.jit(add_noise)(wave, hiss, snr_db), together, atol=1e-6)


def test_silence_is_defined():
    wave, hiss, silent = noise(2, 500), noise(2, 500, seed=1), jnp.zeros((2, 500))
    np.testing.assert_array_equal(add_noise(silent, hiss, 5.0), silent)
    np.testing.assert_array_equal(add_noise(wave, silent, 5.0), wave)
    np.testing.assert_array_equal(add_noise(silent, silent, 5.0), silent)
    one_silent = wave.at[0].set(0.0)
    mixed = add_noise(one_silent, hiss, 5.0)
    assert float(jnp.abs(mixed[0]).max()) == 0.0
    np.testing.assert_array_equal(mixed[1], add_noise(wave, hiss, 5.0)[1])
    for a, b in [(wave, hiss), (silent, hiss), (wave, silent), (silent, silent), (1e-25 * wave, hiss)]:
        assert bool(jnp.isfinite(add_noise(a, b, 5.0)).all())
        slopes = jax.grad(lambda x, n: jnp.sum(add_noise(x, n, 5.0) ** 2), argnums=(0, 1))(a, b)
        assert all(bool(jnp.isfinite(slope).all()) for slope in slopes)


def test_noise_of_another_length_is_named():
    with pytest.raises(ValueError, match="the noise has 400 samples, expected the clip's 500"):
        add_noise(noise(2, 500), noise(2, 400), 5.0)
