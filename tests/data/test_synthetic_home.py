"""Home sounds: a function of seed, home, class and take; homes that differ; sources that are what they are called."""

import itertools

import numpy as np
import pytest

from dhauds_jax.data import home as homes
from dhauds_jax.data import home_things as things
from dhauds_jax.data import home_voices as voices
from dhauds_jax.data import sets
from dhauds_jax.data import synthetic_home as S
from dhauds_jax.data.loading import load_split
from dhauds_jax.data.sets import home_sounds
from dhauds_jax.errors import BadInput

RATE = S.SAMPLE_RATE


def dry(source, take=0, home=0):
    """A source's clip before room, microphone and noise, and the home."""
    lives = S.home_of(0, home)
    return source(np.random.default_rng(take), lives), lives


def strongest(wave, low=50.0):
    """The frequency (Hz) of the largest bin of a clip's spectrum above `low`."""
    power = np.abs(np.fft.rfft(wave * np.hanning(len(wave))))
    frequency = np.fft.rfftfreq(len(wave), 1 / RATE)
    return float(frequency[np.where(frequency > low, power, 0).argmax()])


def active(wave, share=0.1):
    """Starts and ends (s) of the stretches in which the level, over 20 ms, is above a share of the largest one."""
    level = np.sqrt(np.convolve(wave**2, np.ones(320) / 320, "same"))
    on = np.flatnonzero(np.diff(np.concatenate([[0], level > share * level.max(), [0]])))
    return on.reshape(-1, 2) / RATE


def test_a_clip_is_a_function_of_seed_home_class_and_take():
    first = S.make_homes(range(3, 4), seed=7)
    assert first.waves.shape == (30, 80_000) and first.waves.dtype == np.float32 and np.isfinite(first.waves).all()
    for row in (29, 16, 0):  # in another order, alone
        label, take = int(first.labels[row]), int(first.ids[row][-1])
        alone = S.make_clip(7, int(first.homes[row]), label, take)
        np.testing.assert_array_equal(alone, first.waves[row])
        assert first.ids[row] == f"h{first.homes[row]:02d}/{S.CLASSES[label]}_{take}"
    assert np.abs(S.make_clip(8, 3, 0, 0) - S.make_clip(7, 3, 0, 0)).max() > 0.01
    assert len({wave.tobytes() for wave in first.waves}) == 30
    peaks = np.abs(first.waves).max(1)
    assert 0.0199 < peaks.min() < 0.06 and 0.4 < peaks.max() < 0.951


def test_homes_of_the_splits_are_disjoint_and_every_class_has_forty_clips():
    for name in ("home_sounds", "home_sounds/val"):
        data = sets.get(name)
        assert sum(data.counts.values()) == 600 == 15 * 40
        assert all(
            count * 15 == data.counts[split] for split in data.splits for count in data.class_counts[split].values()
        )
    parts = [set(numbers) for numbers in home_sounds._VARIANTS["/val"].values()]
    assert [len(some) for some in parts] == [13, 3, 4]
    assert all(not a & b for a, b in itertools.combinations(parts, 2))
    assert not set(S.HOMES["train"]) & set(S.HOMES["test"])


@pytest.mark.slow
def test_the_set_loads_with_its_homes_as_groups():
    data = sets.get("home_sounds")
    clips = load_split(data, None, "test", sample_rate=16_000, length=80_000, progress=False)
    peaks = np.abs(clips.waves).max(1)
    assert np.isfinite(clips.waves).all() and peaks.min() > 0.0199 and peaks.max() < 0.951
    assert np.bincount(clips.labels, minlength=15).tolist() == [8] * 15
    assert [data.group(clip) for clip in clips.ids] == [f"h{home}" for home in range(16, 20) for _ in range(30)]


def test_unknown_split():
    with pytest.raises(BadInput, match="unknown split 'dev' of home_sounds: expected train or test"):
        S.make_split("dev")


def test_the_alarm_is_a_t3_of_beeps_near_3100_hz():
    clip, home = dry(things.alarm)
    assert abs(strongest(clip) - home.alarm) < 2 and abs(home.alarm - 3_100) < 0.061 * 3_100
    beeps = active(clip)
    whole = beeps[(beeps[:, 0] > 0.01) & (beeps[:, 1] < 4.99)]
    np.testing.assert_allclose(whole[:, 1] - whole[:, 0], 0.5, atol=0.03)
    gaps = np.diff(whole[:, 0])
    assert all(min(abs(gap - 1), abs(gap - 2)) < 0.03 for gap in gaps) and len(whole) >= 2


def test_the_bell_rings_its_homes_notes_from_high_to_low():
    clip, home = dry(things.doorbell, home=1)
    first = int(active(clip)[0, 0] * RATE)
    found = [strongest(clip[first + round(k * home.bell_gap * RATE) :][:3_000]) for k in range(2)]
    np.testing.assert_allclose(found[0], home.bell[0], rtol=0.02)
    assert home.bell[1] != home.bell[0]


@pytest.mark.parametrize(
    ("source", "least", "most"),
    [(voices.barking, 0.02, 0.4), (voices.howling, 0.9, 6.0), (voices.crying, 0.2, 0.95), (voices.bird, 0.01, 0.9)],
    ids=["bark", "howl", "whimper", "chirps"],
)
def test_voices_last_as_long_as_theirs_do(source, least, most):
    longest = [float(np.diff(active(dry(source, take)[0], 0.15)).max()) for take in range(6)]
    assert least < np.median(longest) < most, longest


def test_pitches_follow_the_home():
    for source, what, around in (
        (voices.howling, lambda home: 480 * home.dog**0.7, 1.6),
        (voices.bird, lambda h: h.bird, 1.6),
    ):
        for home in range(4):
            found = np.median([strongest(dry(source, take, home)[0]) for take in range(3)])
            lives = S.home_of(0, home)
            assert 1 / around < found / what(lives) < around, (source.__name__, home, found)


def test_glass_rings_higher_than_footsteps_and_motors_last():
    glass = [strongest(dry(things.glass, take)[0]) for take in range(5)]
    assert np.median(glass) > 1_500
    for source in (things.vacuum, things.blender, things.electrics):
        lasting = [np.diff(active(dry(source, take)[0], 0.05)).sum() for take in range(6)]
        assert np.median(lasting) > 2.0, source.__name__


def test_homes_differ_in_pitch_room_microphone_and_noise():
    drawn = [S.home_of(0, number) for number in range(20)]
    for field, span in (("dog", 2.0), ("reverberation", 3.0), ("low_pass", 2.0), ("bird", 1.5), ("motor", 1.5)):
        values = [getattr(home, field) for home in drawn]
        assert max(values) / min(values) > span and len(set(values)) == 20, field
    assert np.ptp([home.snr_db for home in drawn]) > 8 and np.ptp([home.noise_slope for home in drawn]) > 1
    assert S.home_of(1, 0) != S.home_of(0, 0)


def test_the_noise_of_a_home_has_its_slope_and_hum_and_its_rooms_keep_the_level():
    humming = next(S.home_of(0, k) for k in range(20) if S.home_of(0, k).hum > 0.1)
    quiet = next(S.home_of(0, k) for k in range(20) if not S.home_of(0, k).hum)
    frequency = np.fft.rfftfreq(homes.SIZE, 1 / RATE)
    for home in (humming, quiet):
        power = np.mean([np.abs(homes.noise_spectrum(home, np.random.default_rng(k))) ** 2 for k in range(20)], 0)
        assert abs(np.sqrt(2 * power.sum()) / homes.SIZE - 1) < 1e-6 + 0.02 * home.hum
        low, high = ((frequency > one) & (frequency < 2 * one) for one in (1_500, 3_000))  # above the lines of hum
        octave = 10 * np.log10(power[low].mean() / power[high].mean())
        assert abs(octave - 10 * np.log10(2) * home.noise_slope) < 0.3
    line = np.abs(homes.noise_spectrum(humming, np.random.default_rng(0))) ** 2
    hum = line[np.round(50 * np.arange(1, 25) * homes.SIZE / RATE).astype(int)].sum()
    assert abs(hum / line.sum() - humming.hum) < 0.05
    transfer = np.abs(homes.room(humming, np.random.default_rng(1))) ** 2
    assert abs(transfer.mean() - 1) < 0.01
