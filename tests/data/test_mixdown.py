"""Mixing channels down: the mean to the last bit, however it is computed."""

import numpy as np
import pytest

from dhauds_jax.data.mixdown import Mixdown


@pytest.mark.parametrize("channels", [1, 2, 3, 8])
def test_it_is_numpys_mean_bit_for_bit(channels):
    rng = np.random.default_rng(channels)
    block = (rng.normal(size=(50_000, channels)) * 10.0 ** rng.integers(-8, 4, (50_000, 1))).astype(np.float32)
    mixed = Mixdown(channels).add(block)
    assert mixed.dtype == np.float32
    np.testing.assert_array_equal(mixed, block.mean(axis=1, dtype=np.float32))


@pytest.mark.parametrize("channels", [2, 3])
def test_samples_that_are_not_finite_are_mixed_without_a_warning(channels):
    """Found by tests/faults/feed_audio: infinite channels of other signs wrote a warning beside the refusal."""
    block = np.zeros((4, channels), np.float32)
    block[1, :2] = np.inf, -np.inf
    mixed = Mixdown(channels)
    assert np.isnan(mixed.add(block)).tolist() == [False, True, False, False]
    assert mixed.finite == 4 * channels - 2
