"""Mixing with noise: torchaudio's numbers, the ratio asked for, and silence."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dhauds_jax.dsp.mixing import add_noise

MIX, MIX_BY = jax.jit(add_noise), jax.jit(add_noise, static_argnums=2)
GOLDEN = Path(__file__).parents[1] / "goldens" / "add_noise.npz"


def noise(*shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


@pytest.mark.parametrize("kind", ["gauss", "uniform"])
def test_mixing_is_torchaudios(kind):
    golden = np.load(GOLDEN)
    ours = MIX(*(jnp.asarray(golden[name]) for name in ("wave", kind, "snr")))
    np.testing.assert_allclose(ours, golden[f"out_{kind}"], atol=1e-6)


@pytest.mark.parametrize("snr_db", [-5, 0.0, 5.5, 7.0, 50.0])
def test_the_ratio_measured_is_the_ratio_asked_for(snr_db):
    wave, hiss = np.float32(0.1) * np.asarray(noise(3, 16000)), np.float32(7.0) * np.asarray(noise(3, 16000, seed=1))
    added = np.asarray(MIX_BY(wave, hiss, snr_db), np.float64) - np.asarray(wave, np.float64)
    measured = 10 * np.log10(np.square(np.asarray(wave, np.float64)).sum(-1) / np.square(added).sum(-1))
    # At 50 dB the noise's own rounding in the float32 sum is what limits the measurement.
    np.testing.assert_allclose(measured, snr_db, atol=1e-3)


def test_each_row_has_its_own_ratio():
    wave, hiss = noise(2, 3, 500), noise(2, 3, 500, seed=1)
    snr_db = jnp.asarray(np.arange(6, dtype=np.float32).reshape(2, 3))
    together = np.asarray(add_noise(wave, hiss, snr_db))
    alone = MIX(np.asarray(wave)[1, 2], np.asarray(hiss)[1, 2], 5.0)
    assert alone.shape == (500,)
    np.testing.assert_allclose(together[1, 2], alone, atol=1e-6)
    np.testing.assert_allclose(MIX(wave, hiss, snr_db), together, atol=1e-6)


def test_silence_is_defined():
    wave, hiss, silent = np.asarray(noise(2, 500)), np.asarray(noise(2, 500, seed=1)), np.zeros((2, 500), np.float32)
    np.testing.assert_array_equal(MIX(silent, hiss, 5.0), silent)
    np.testing.assert_array_equal(MIX(wave, silent, 5.0), wave)
    np.testing.assert_array_equal(MIX(silent, silent, 5.0), silent)
    one_silent = wave * np.float32([[0], [1]])
    mixed = np.asarray(MIX(one_silent, hiss, 5.0))
    assert float(np.abs(mixed[0]).max()) == 0.0
    np.testing.assert_array_equal(mixed[1], np.asarray(MIX(wave, hiss, 5.0))[1])
    slopes_of = jax.jit(jax.grad(lambda x, n: jnp.sum(add_noise(x, n, 5.0) ** 2), argnums=(0, 1)))
    for a, b in [(wave, hiss), (silent, hiss), (wave, silent), (silent, silent), (np.float32(1e-25) * wave, hiss)]:
        assert bool(np.isfinite(MIX(a, b, 5.0)).all())
        assert all(bool(np.isfinite(slope).all()) for slope in slopes_of(a, b))


def test_noise_of_another_length_is_named():
    with pytest.raises(ValueError, match="the noise has 400 samples, expected the clip's 500"):
        add_noise(noise(2, 500), noise(2, 400), 5.0)
