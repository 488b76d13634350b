"""Integrated loudness: equal to pyloudnorm's, to Scaper's for short sounds, gates, and the gain that meets a level."""

from pathlib import Path

import numpy as np
import pytest

from dhauds_jax.data import loudness

GOLDEN = np.load(Path(__file__).parents[1] / "goldens" / "scaper_mix.npz")
PYLOUDNORM = {
    (8_000, 3.3): -21.677979628534015,
    (16_000, 0.61): -16.62859885228046,
    (22_050, 2.04): -20.825785023105933,
    (44_100, 4.0): -22.012672260041036,
    (48_000, 1.37): -19.31925517733307,
    (96_000, 0.5): -16.22801671912107,
}
"""Of `decaying` by pyloudnorm 0.2.0."""


def decaying(rate, seconds):
    t = np.arange(int(rate * seconds)) / rate
    return 0.3 * np.sin(2 * np.pi * 440 * t) * np.exp(-t) + 0.01 * np.sin(2 * np.pi * 0.11 * rate * t) * (t > 1)


def gain(db):
    return 10 ** (db / 20)


@pytest.mark.parametrize(("rate", "seconds"), PYLOUDNORM)
def test_it_is_that_of_pyloudnorm_at_any_rate(rate, seconds):
    found = loudness.integrated_loudness(decaying(rate, seconds), rate)
    assert abs(found - PYLOUDNORM[rate, seconds]) < 1e-9


def test_scapers_sources_have_the_loudness_that_it_measured():
    for letter in "AB":
        background, event = (GOLDEN[f"{letter}_{role}_source"] / 128 for role in ("bg", "fg"))
        background = np.tile(background, -(-441_000 // len(background)))[:441_000]
        found = [loudness.integrated_loudness(wave, 44_100) for wave in (background, event)]
        np.testing.assert_allclose(found, GOLDEN[f"{letter}_lufs_sources"], rtol=0, atol=1e-9)


def test_a_short_sound_is_repeated_first():
    short = decaying(44_100, 0.31)
    assert loudness.integrated_loudness(short, 44_100) == loudness.integrated_loudness(np.tile(short, 2), 44_100)
    one = loudness.integrated_loudness(np.array([0.5]), 8_000)
    assert one == loudness.integrated_loudness(np.full(4_000, 0.5), 8_000)
    with pytest.raises(ValueError, match="0 samples"):
        loudness.integrated_loudness(np.zeros(0), 8_000)


def test_silence_and_what_is_below_the_gate_is_the_floor():
    assert loudness.integrated_loudness(np.zeros(44_100), 44_100) == loudness.FLOOR
    assert loudness.integrated_loudness(1e-5 * decaying(44_100, 3.0), 44_100) == loudness.FLOOR


def test_a_full_scale_sine_of_1_khz_is_about_minus_3():
    """The standard's own check: -3.01 LKFS at 997 Hz, within 0.1 of it by these coefficients."""
    sine = np.sin(2 * np.pi * 997 * np.arange(5 * 48_000) / 48_000)
    assert abs(loudness.integrated_loudness(sine, 48_000) + 3.01) < 0.1


def test_the_gain_meets_a_level_where_blocks_cross_the_gate():
    """A short sound with a tail: after the plain difference the tail falls below the absolute gate, 1 LU is missed."""
    rng = np.random.default_rng(0)
    wave = rng.normal(size=3 * 16_000) * 0.25
    wave[12_000:] *= 10 ** (-np.linspace(6, 46, 36_000) / 20)
    power = loudness.block_powers(wave, 16_000)
    for target in (-30.0, -20.0, -55.0, -66.0):
        db = loudness.gain_to(power, target)
        assert abs(loudness.integrated_loudness(gain(db) * wave, 16_000) - target) < 1e-9
    plain = -66.0 - loudness.of_blocks(power)
    assert abs(loudness.integrated_loudness(gain(plain) * wave, 16_000) + 66.0) > 0.5


def test_the_gain_of_a_sound_below_the_floor_is_found_too():
    wave = 1e-6 * decaying(16_000, 2.0)
    db = loudness.gain_to(loudness.block_powers(wave, 16_000), -30.0)
    assert abs(loudness.integrated_loudness(gain(db) * wave, 16_000) + 30.0) < 1e-9
