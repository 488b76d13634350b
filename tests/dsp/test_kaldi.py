"""Kaldi's filter banks against torchaudio's numbers, and what surrounds them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dhauds_jax.dsp.kaldi import FLOOR, FbankSpec, fbank, frame_count, log_filter_bank
from tests.paths import golden, largest_error

SPEC = FbankSpec(16000, 128, 400, 160, 128, -6.845978, 5.5654526)


def test_equals_torchaudio():
    numbers = golden("kaldi_fbank")
    found = jax.jit(lambda wave: log_filter_bank(wave, SPEC))(numbers["wave16k"])
    assert found.shape == (2, 98, 128)
    assert largest_error(found, numbers["fbank"]) < 1e-3
    # A constant changes nothing: every frame loses its mean.
    shifted = jax.jit(lambda wave: log_filter_bank(wave, SPEC))(numbers["wave16k"] + 0.25)
    assert largest_error(shifted, numbers["fbank"]) < 1e-3


def test_padding_comes_before_normalisation_or_after():
    wave = jnp.asarray(golden("kaldi_fbank")["wave16k"])
    run = jax.jit(fbank, static_argnums=1)
    plain = jax.jit(log_filter_bank, static_argnums=1)(wave, SPEC)
    audioset = SPEC._replace(mean=-4.2677393, std=4.5689974)
    first = run(wave, audioset)
    assert first.shape == (2, 128, 128)
    np.testing.assert_allclose(first[:, 98:], 0.467, atol=1e-3)
    np.testing.assert_allclose(first[:, :98], (plain + 4.2677393) / (2 * 4.5689974), atol=1e-5)
    last = run(wave, audioset._replace(pad_last=True))
    np.testing.assert_array_equal(last[:, 98:], 0)
    np.testing.assert_allclose(last[:, :98], first[:, :98], atol=1e-6)
    np.testing.assert_allclose(run(wave, audioset._replace(frames=50)), first[:, :50], atol=1e-6)
    assert run(wave, audioset._replace(frames=None)).shape == (2, 98, 128)


def test_silence_is_the_floor_and_its_gradient_finite():
    silence = jnp.zeros((1, 1600))
    assert np.log(FLOOR) == pytest.approx(-15.942385)
    value, gradient = jax.jit(jax.value_and_grad(lambda wave: log_filter_bank(wave, SPEC).mean()))(silence)
    assert float(value) == pytest.approx(-15.942385, abs=1e-4)
    np.testing.assert_array_equal(gradient, 0)


def test_frames_lie_inside_the_clip():
    assert [frame_count(n, 400, 160) for n in (399, 400, 559, 560, 16000, 160000)] == [0, 1, 1, 2, 98, 998]
    with pytest.raises(ValueError, match="the clip has 399 samples, expected at least frame_length = 400"):
        log_filter_bank(jnp.zeros((1, 399)), SPEC)
    with pytest.raises(ValueError, match=r"f_min 20.0 and f_max 9000.0 Hz, expected"):
        log_filter_bank(jnp.zeros((1, 400)), SPEC._replace(f_max=9000.0))
