"""Coloured noise: the published one from its own draws, its slope and level, and clips that hang on nothing else."""

import itertools

import numpy as np
import pytest

from dhauds_jax.data.colored import PUBLISHED_LEVEL, bins_of, noise_clips, shape_noise
from dhauds_jax.errors import BadInput
from tests.paths import golden


@pytest.mark.parametrize(
    ("name", "exponent", "tolerance"),
    [
        ("pink40000", 1.0, 2e-7),  # stored in float32
        ("pink4001", 1.0, 1e-12),
        ("pink1000", 1.0, 1e-12),
        ("brown1001", 2.0, 1e-12),
        ("white1000", 0.0, 1e-12),
        ("half1000", 0.5, 1e-12),
    ],
)
def test_noise_is_the_published_packages_from_its_draws(name, exponent, tolerance):
    arrays = golden("pink_noise")
    draws, wanted = arrays[f"{name}_draws"].astype(np.float64), arrays[name]
    assert draws.shape == (2, bins_of(len(wanted)))
    np.testing.assert_allclose(shape_noise(draws, len(wanted), exponent), wanted, rtol=0, atol=tolerance)


@pytest.mark.parametrize("exponent", [0.0, 0.5, 1.0, 2.0])
def test_the_power_falls_with_the_exponent(exponent):
    """The slope of log power over log frequency, from octave bands of 40 clips."""
    waves = noise_clips(40, 8_192, exponent=exponent, level=1.0).waves.astype(np.float64)
    power = (np.abs(np.fft.rfft(waves)) ** 2).mean(0)
    edges = 2 ** np.arange(4, 13)
    density = [power[low:high].mean() for low, high in itertools.pairwise(edges)]
    centre = [np.exp(np.log(np.arange(low, high)).mean()) for low, high in itertools.pairwise(edges)]
    slope = np.polyfit(np.log(centre), np.log(density), 1)[0]
    assert abs(slope + exponent) < 0.03, slope


def test_many_clips_have_unit_variance_and_one_has_not():
    waves = noise_clips(400, 4_000, level=1.0).waves
    # The mean (bin 0) is outside of the theoretical deviation, so it is left out here.
    deviations = waves.std(1)
    assert abs(np.sqrt(np.mean(deviations**2)) - 1) < 0.01
    assert deviations.min() < 0.9 and deviations.max() > 1.15
    published = noise_clips(20, 40_000).waves
    assert abs(np.sqrt(np.mean(published.std(1) ** 2)) - PUBLISHED_LEVEL) < 0.03
    assert np.abs(published).max() > 1.5  # nothing is cut


def test_a_clip_hangs_on_seed_and_number_alone():
    few, many = noise_clips(3, 1_000, seed=5), noise_clips(7, 1_000, seed=5)
    np.testing.assert_array_equal(few.waves, many.waves[:3])
    assert few.ids == ("noise/00000", "noise/00001", "noise/00002") == many.ids[:3]
    assert few.waves.dtype == np.float32 and np.abs(noise_clips(1, 1_000, seed=6).waves - few.waves[:1]).max() > 0.1
    assert noise_clips(0, 1_000).waves.shape == (0, 1_000)


def test_levels_and_exponents_are_drawn_for_each_clip():
    made = noise_clips(200, 2_000, exponent=(0.0, 2.0), level=(0.01, 1.0)).waves.astype(np.float64)
    decibels = 20 * np.log10(made.std(1))
    assert decibels.min() < -36 and decibels.max() > -4 and abs(np.median(decibels) + 20) < 5
    power = np.abs(np.fft.rfft(made)) ** 2
    tilt = np.log(power[:, 1:20].mean(1) / power[:, 500:].mean(1))
    assert tilt.min() < 0.6 and tilt.max() > 8


def test_what_cannot_be_made_is_said():
    with pytest.raises(BadInput, match=r"coloured noise: 1 clips of 1 samples at a level of 0\.5, expected at least 0"):
        noise_clips(1, 1, level=0.5)
    with pytest.raises(BadInput, match="expected at least 0 clips of 2 samples and levels above 0"):
        noise_clips(1, 10, level=(1.0, 0.5))
