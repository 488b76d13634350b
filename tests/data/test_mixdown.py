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
