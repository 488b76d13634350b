"""Clips that are predicted and not learnt from."""

import numpy as np
import pytest

from dhauds_jax.errors import BadInput
from dhauds_jax.serve import filters
from dhauds_jax.serve.filters import NONE, Filters, Sieve, clipped_share, level_dbfs


def noise(seed, level=0.1, samples=1000):
    return (level * np.random.default_rng(seed).standard_normal(samples)).astype(np.float32)


def test_the_level_is_that_of_a_sine():
    sine = np.sin(2 * np.pi * np.arange(16000) / 100).astype(np.float32)
    assert level_dbfs(sine) == pytest.approx(-3.0103, abs=1e-3)
    assert level_dbfs(np.zeros(10, np.float32)) == level_dbfs(np.full(10, 0.25, np.float32)) == -np.inf


def test_a_silent_clip_is_not_learnt_from():
    sieve = Sieve(Filters())
    assert sieve.fault(np.zeros(1000, np.float32), 0.0) == "silent"
    assert sieve.fault(noise(0, 1e-4), 0.0) == "silent"  # -80 dBFS
    assert sieve.fault(noise(0, 1e-3), 0.0) == ""  # -60 dBFS


def test_a_clipped_clip_is_not_learnt_from():
    loud = np.clip(noise(0, 1.0), -1, 1)
    assert clipped_share(loud) == pytest.approx(0.317, abs=0.05)
    assert Sieve(Filters()).fault(loud, 0.0) == "clipped"
    peaks = noise(0)
    peaks[:9] = 1.0
    assert Sieve(Filters()).fault(peaks, 0.0) == ""  # 9 of 1,000
    peaks[9] = -1.0
    assert Sieve(Filters()).fault(peaks, 0.0) == "clipped"


def test_a_repeated_clip_is_known_among_the_last_ones():
    sieve = Sieve(Filters(remembered=2))
    assert [sieve.fault(noise(seed), 0.0) for seed in (0, 1, 0)] == ["", "", "repeated"]
    assert sieve.fault(noise(2), 0.0) == ""  # 1 is forgotten, 0 came later
    assert [sieve.fault(noise(seed), 0.0) for seed in (0, 1)] == ["repeated", ""]


def test_more_clips_than_a_minute_allows_are_left_out_until_time_has_passed():
    sieve = Sieve(Filters(per_minute=6))
    assert [sieve.fault(noise(k), 100.0) for k in range(8)] == [""] * 6 + ["too_many"] * 2
    assert sieve.fault(noise(8), 109.0) == "too_many"  # 0.9 of a clip
    assert [sieve.fault(noise(9 + k), 110.0) for k in range(2)] == ["", "too_many"]
    assert [sieve.fault(noise(20 + k), 1e6) for k in range(7)] == [""] * 6 + ["too_many"]


def test_a_clip_that_was_one_too_many_may_come_again():
    sieve = Sieve(Filters(per_minute=6))
    assert [sieve.fault(noise(k), 100.0) for k in range(7)] == [""] * 6 + ["too_many"]
    assert [sieve.fault(noise(k), 110.0) for k in (0, 6, 6)] == ["repeated", "", "repeated"]


def test_without_filters_everything_is_learnt_from():
    sieve = Sieve(NONE)
    assert {sieve.fault(np.zeros(10, np.float32), 0.0) for _ in range(1000)} == {""}
    assert sieve.fault(np.ones(10, np.float32), 0.0) == ""


def test_numbers_out_of_range_are_refused():
    for wrong, said in ((Filters(remembered=-1), "remembered=-1"), (Filters(per_minute=0), "per_minute=0")):
        with pytest.raises(BadInput, match=f"^{said}: expected"):
            filters.check(wrong)
    filters.check(NONE)
