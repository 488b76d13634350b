"""Resampling against torchaudio's goldens, sines, and its own cost."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dhauds_jax.dsp.resample import resample, sinc_filters

GOLDEN = Path(__file__).parents[1] / "goldens" / "resample.npz"


@pytest.mark.parametrize(
    ("source", "target", "orig_rate", "new_rate"),
    [("w48", "to16", 48000, 16000), ("w44", "w44_to16", 44100, 16000), ("w16", "w16_to44", 16000, 44100)],
)
def test_resampling_is_torchaudios_edges_included(source, target, orig_rate, new_rate):
    golden = np.load(GOLDEN)
    expected = golden[target]
    ours = resample(jnp.asarray(golden[source][: len(expected)]), orig_rate, new_rate)
    assert ours.shape == expected.shape
    # Bit for bit on the machine where the goldens were made; one rounding apart where a compiler fuses otherwise.
    np.testing.assert_allclose(ours, expected, atol=2e-7)


@pytest.mark.parametrize(("orig_rate", "new_rate"), [(44100, 16000), (16000, 22050), (20158, 16000), (192000, 16000)])
def test_a_sine_stays_a_sine(orig_rate, new_rate):
    hz = 440.0
    wave = jnp.asarray(np.sin(2 * np.pi * hz * np.arange(orig_rate // 2) / orig_rate), jnp.float32)
    ours = resample(wave, orig_rate, new_rate)
    assert ours.shape[-1] == -(-new_rate * (orig_rate // 2) // orig_rate)
    expected = np.sin(2 * np.pi * hz * np.arange(ours.shape[-1]) / new_rate)
    # The filter's passband ripple is about 1e-3.
    np.testing.assert_allclose(ours[200:-200], expected[200:-200], atol=3e-3)


def test_what_the_new_rate_cannot_carry_is_removed():
    wave = jnp.asarray(np.sin(2 * np.pi * 12000 * np.arange(48000) / 48000), jnp.float32)
    assert float(np.abs(resample(wave, 48000, 16000))[100:-100].max()) < 2e-3


def test_batching_jit_and_identity():
    waves = jnp.asarray(np.random.default_rng(0).normal(size=(2, 3, 3001)), jnp.float32)
    together = resample(waves, 44100, 16000)
    np.testing.assert_array_equal(np.asarray(together)[1, 2], resample(np.asarray(waves)[1, 2], 44100, 16000))
    with jax.disable_jit():
        np.testing.assert_allclose(resample(waves, 44100, 16000), together, atol=2e-6)
    assert resample(waves, 8000, 8000) is waves or bool(jnp.array_equal(resample(waves, 8000, 8000), waves))
    assert resample(np.asarray(waves)[..., :1], 44100, 16000).shape == (2, 3, 1)


def test_gradient_is_the_transpose():
    rng = np.random.default_rng(0)
    wave, other = jnp.asarray(rng.normal(size=1000), jnp.float32), jnp.asarray(rng.normal(size=363), jnp.float32)
    product = jax.jit(jax.value_and_grad(lambda x: jnp.vdot(resample(x, 44100, 16000), other)))
    value, pulled = product(wave)
    np.testing.assert_allclose(np.vdot(pulled, wave), value, rtol=1e-4)


def test_odd_ratios_need_few_taps():
    # torchaudio's kernel for 4 semitones at 16 kHz has 8000 x 10095 numbers.
    assert sinc_filters(20158, 16000).taps.shape == (8000, 18)
    assert sinc_filters(48000, 16000).taps.shape == (1, 40)
    # The same wave to any ratio: working memory follows the output, not the ratio.
    wave = jax.ShapeDtypeStruct((16, 20158), jnp.float32)
    used = resample.lower(wave, 20158, 16000).compile().memory_analysis().temp_size_in_bytes
    assert used < 16e6


def test_bad_rates_are_named():
    with pytest.raises(ValueError, match="rates are 0 and 16000 Hz"):
        resample(jnp.zeros(10), 0, 16000)
