"""resampy's `kaiser_best`: its filter, its numbers, the same bits in blocks of any size.

Golden `resampy.npz`: int16 waves at other rates and what resampy 0.4.3 makes of them at 16 kHz, in float64, and some
entries of its table.
"""

import numpy as np
import pytest

from dhauds_jax.data.kaiser_best import half_window, plan
from dhauds_jax.data.resampling import resample_blocks, resample_wave
from tests.paths import golden, largest_error

STORED = golden("resampy")
RATES = {"8k": 8_000, "44k": 44_100, "48k": 48_000, "22k": 22_050, "44k_ragged": 44_100, "8k_ragged": 8_000}


def resampled(wave, rate):
    return resample_wave(wave, rate, 16_000, "kaiser_best")


def test_the_filter_is_resampys():
    assert largest_error(half_window()[::4096], STORED["kaiser_best_half_window_every_4096"]) < 1e-8


@pytest.mark.parametrize("tag", RATES)
def test_numbers_are_resampys_whatever_the_blocks(tag):
    wave = STORED[f"w{tag}"].astype(np.float32) / 32768
    ours, theirs = resampled(wave, RATES[tag]), STORED[f"kaiser_best_{tag}"]
    assert ours.dtype == np.float32 and len(ours) == -(-16_000 * len(wave) // RATES[tag])
    assert len(ours) - len(theirs) == (tag == "44k_ragged")  # resampy rounds the number of samples down
    assert largest_error(ours[: len(theirs)], theirs) < 1e-6
    for size in (97, 12_345):
        blocks = np.split(wave, range(size, len(wave), size))
        pieces = list(resample_blocks(blocks, RATES[tag], 16_000, "kaiser_best"))
        assert np.concatenate(pieces).tobytes() == ours.tobytes() and all(map(len, pieces))


@pytest.mark.parametrize("rate", [8_000, 44_100])
def test_chunks_join_and_what_is_far_away_changes_no_bit(rate):
    wave = (0.1 * np.random.default_rng(0).standard_normal(3 * rate + 77)).astype(np.float32)
    whole = resampled(wave, rate)
    second = resampled(np.concatenate([np.zeros(rate, np.float32), wave]), rate)
    # Another second before it moves the chunks by one; only the order of additions may differ.
    np.testing.assert_allclose(second[16_000:], whole, atol=1e-6)
    assert resampled(wave[: 2 * rate], rate)[:16_000].tobytes() == whole[:16_000].tobytes()


def test_a_tone_keeps_its_level_and_one_too_high_is_lost():
    time = np.arange(32_000) / 32_000
    for hertz, level in ((3_000, 0.5), (10_000, 0.0)):
        tone = resampled((0.5 * np.sin(2 * np.pi * hertz * time)).astype(np.float32), 32_000)[1_000:-1_000]
        assert abs(np.abs(tone).max() - level) < 2e-3


def test_nothing_one_sample_and_odd_rates():
    assert resampled(np.zeros(0, np.float32), 8_000).shape == (0,)
    assert resampled(np.ones(1, np.float32), 8_000).shape == (2,)
    how = plan(8_001, 1_000)
    assert how.step == (8_001, 1_000) and len(how.parts) == 16 and how.periods == 1
    wave = np.full(20_000, 0.25, np.float32)
    np.testing.assert_allclose(resample_wave(wave, 8_001, 1_000, "kaiser_best")[100:-100], 0.25, atol=1e-3)
