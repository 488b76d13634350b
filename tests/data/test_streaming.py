"""Another rate while the sound still comes: the samples of the whole, at once, and what is held back for it."""

import numpy as np
import pytest

from dhauds_jax.data.resampling import resample_on_host
from dhauds_jax.data.streaming import delay_s, resample_stream


@pytest.mark.parametrize("resampler", ["sinc", "soxr_hq", "kaiser_best"])
@pytest.mark.parametrize(
    ("orig", "new", "samples"),
    [(44_100, 16_000, 20_001), (8_000, 16_000, 4_444), (48_000, 16_000, 5), (16_000, 16_000, 99)],
)
def test_pieces_are_the_whole_whatever_the_blocks(resampler, orig, new, samples):
    wave = (np.random.default_rng(0).normal(size=samples) * 0.1).astype(np.float32)
    whole = resample_on_host(wave, orig, new, resampler)
    for size in (1, 997, 30_000) if samples < 100 else (997, 30_000):
        pieces = list(resample_stream(np.split(wave, range(size, samples, size)), orig, new, resampler))
        assert all(map(len, pieces)) and len(np.concatenate(pieces)) == len(whole)
        assert np.abs(np.concatenate(pieces) - whole).max() < 1e-6


def test_of_nothing_comes_nothing():
    for resampler in ("sinc", "kaiser_best"):
        assert list(resample_stream([], 44_100, 16_000, resampler)) == []


def test_what_is_held_back_is_the_filters_reach():
    assert delay_s(16_000, 16_000) == 0.0
    # 19 + 2 samples of the filter, less than one period (3 samples), of a block of 960 whatever is no whole period.
    assert 0 < delay_s(48_000, 16_000) <= (21 + 3) / 48_000
    assert 0 < delay_s(44_100, 16_000) <= (17 + 2 + 441) / 44_100
    assert 0.0015 < delay_s(44_100, 16_000, "kaiser_best") < 0.03
    assert 0.0005 < delay_s(44_100, 16_000, "soxr_hq") < 0.1
