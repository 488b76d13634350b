"""Draws: published grids, keys, profiles, manifests."""

import json

import jax
import numpy as np
import pytest

from dhauds_jax.data.corruptions import CORRECTED, CORRUPTIONS, LEVELS, NOISE_CORRUPTIONS, REFERENCE, quirks_of
from dhauds_jax.data.corruptions import draws as D
from dhauds_jax.data.corruptions.base import NEUTRAL

N = 3_000
IDS = [f"clip/{i}.wav" for i in range(N)]


def many(corruption, level, **options):
    if corruption in NOISE_CORRUPTIONS:
        options = {"noise_lengths": np.array([16_000, 16_001, 40_000, 5_000]), "length": 16_000, **options}
    return D.draw_set(IDS, dataset="set", corruption=corruption, level=level, seed=1, **options)


def assert_uniform(values, grid):
    """All values of the grid and no other, each within 5 standard deviations of its share."""
    found, counts = np.unique(values, return_counts=True)
    np.testing.assert_allclose(found, sorted(grid), rtol=1e-6)
    share = 1 / len(grid)
    assert np.abs(counts - len(values) * share).max() < 5 * np.sqrt(len(values) * share * (1 - share))


SNR = {
    **{(c, "L1"): [5, 5.5, 6] for c in NOISE_CORRUPTIONS},
    **{(c, "L2"): [5, 5.5, 6, 6.5, 7] for c in NOISE_CORRUPTIONS},
    ("WHN", "L1"): [6, 6.5, 7],
    ("WHN", "L2"): [5, 5.5, 6, 6.5, 7],
}


@pytest.mark.parametrize(("corruption", "level"), SNR)
def test_snr_grids(corruption, level):
    drawn = many(corruption, level)
    assert_uniform(drawn.snr_db, SNR[corruption, level])
    if corruption == "WHN":
        assert_uniform(drawn.kind, [0, 1])
    else:
        assert_uniform(drawn.noise_index, [0, 1, 2, 3])


def test_crops_start_anywhere_they_fit_last_start_included():
    drawn = many("ENQ", "L1")
    start = {i: drawn.start[drawn.noise_index == i] for i in range(4)}
    assert set(start[0]) == {0}
    assert_uniform(start[1], [0, 1])
    assert 0 <= start[2].min() < 300 and 23_700 < start[2].max() <= 24_000
    # Shorter than the clip: repeated, so any sample may come first.
    assert 0 <= start[3].min() < 100 and 4_900 < start[3].max() <= 4_999


@pytest.mark.parametrize(("level", "grid"), [("L1", [4, 5]), ("L2", [5, 6, 7])])
def test_semitones_go_both_ways(level, grid):
    assert_uniform(many("PSH", level).semitones, [*grid, *(-n for n in grid)])


@pytest.mark.parametrize(
    ("profile", "level", "offsets"),
    [
        ("reference", "L1", [0.04, 0.05]),
        ("reference", "L2", [0.08, 0.09, 0.10, 0.11]),
        ("corrected", "L1", [0.04, 0.05, 0.06]),
        ("corrected", "L2", [0.08, 0.09, 0.10, 0.11, 0.12]),
    ],
)
def test_stretch_rates(profile, level, offsets):
    assert_uniform(many("TST", level, profile=profile).rate, [1 + r for r in offsets])
    both = many("TST", level, profile=profile, stretch_both_ways=True).rate
    assert_uniform(both, [1 + r for r in offsets] + [1 - r for r in offsets])


def test_lost_top_rate_is_an_option_of_its_own():
    quirks = CORRECTED._replace(top_rate_lost=True)
    assert_uniform(many("TST", "L1", profile=quirks).rate, [1.04, 1.05])


def test_profiles_are_all_on_and_all_off():
    assert REFERENCE == (True, True, 2.0, True) and CORRECTED == (False, False, 1.0, False)
    assert quirks_of("reference") is REFERENCE and quirks_of("corrected") is CORRECTED


def test_profile_changes_no_other_draw():
    for corruption in CORRUPTIONS:
        if corruption != "TST":
            a, b = (many(corruption, "L2", profile=p) for p in ("reference", "corrected"))
            for field in NEUTRAL:
                np.testing.assert_array_equal(getattr(a, field), getattr(b, field))


def test_key_of_every_part_and_of_nothing_else():
    base = ("set", "WHN", "L1", "a.wav")
    data = [jax.random.key_data(D.clip_key(1, *base)).tolist()]
    data.append(jax.random.key_data(D.clip_key(2, *base)).tolist())
    for place, other in enumerate(("set2", "PSH", "L2", "b.wav")):
        changed = [*base[:place], other, *base[place + 1 :]]
        data.append(jax.random.key_data(D.clip_key(1, *changed)).tolist())
    assert len({tuple(d) for d in data}) == 6
    # Pinned: a changed number here means that no corrupted set can be made again.
    assert data[0] == [813152042, 1626077035]


def test_joined_names_do_not_collide():
    assert (
        jax.random.key_data(D.clip_key(1, "a", "WHN", "L1", "b")).tolist()
        != jax.random.key_data(D.clip_key(1, 'a", "WHN', "WHN", "L1", "b")).tolist()
    )


def test_draws_do_not_depend_on_the_set_around_a_clip():
    whole = many("TST", "L2", profile="corrected", stretch_both_ways=True)
    rows = [7, 3, 2_999, 0]
    kw = dict(dataset="set", corruption="TST", level="L2", seed=1, profile="corrected", stretch_both_ways=True)
    part = D.draw_set([IDS[i] for i in rows], **kw)
    np.testing.assert_array_equal(part.rate, whole.rate[rows])
    np.testing.assert_array_equal(jax.random.key_data(part.key), jax.random.key_data(whole.key)[np.array(rows)])
    one = D.draw(D.clip_key(1, "set", "TST", "L2", IDS[7]), "TST", "L2", profile="corrected", stretch_both_ways=True)
    assert float(one.rate) == whole.rate[7]


def test_records_and_checksum():
    ids, names = ["x", "y", "z"], ["HOME/a.wav", "HOME/b.wav"]
    for corruption in CORRUPTIONS:
        noisy = corruption in NOISE_CORRUPTIONS
        kw = dict(dataset="set", corruption=corruption, level="L2", seed=5)
        if noisy:
            kw |= dict(noise_lengths=np.array([20_000, 30_000]), length=16_000)
        drawn = D.draw_set(ids, **kw)
        rows = D.records(ids, drawn, corruption=corruption, level="L2", noise_names=names if noisy else ())
        assert json.loads(json.dumps(rows)) == rows
        expected = {"PSH": {"semitones"}, "TST": {"rate"}, "WHN": {"snr_db", "source"}}.get(
            corruption, {"snr_db", "noise_index", "start", "noise"}
        )
        assert set(rows[0]) == {"id", "corruption", "level", "key"} | expected
        total = D.checksum(ids, drawn, corruption=corruption, level="L2")
        back = D.draw_set(ids[::-1], **kw)
        assert D.checksum(ids[::-1], back, corruption=corruption, level="L2") == total
        other = D.draw_set(ids, **(kw | dict(seed=6)))
        assert D.checksum(ids, other, corruption=corruption, level="L2") != total


def test_checksum_is_pinned():
    drawn = D.draw_set(IDS[:50], dataset="set", corruption="PSH", level="L1", seed=1)
    assert D.checksum(IDS[:50], drawn, corruption="PSH", level="L1")[:16] == "9d17cd9efd372302"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"corruption": "FOO"}, "unknown corruption 'FOO': expected WHN, ENQ or END1"),
        ({"level": "L3"}, "unknown level 'L3': expected L1 or L2"),
        ({"profile": "nice"}, "unknown profile 'nice': expected reference or corrected"),
        ({"corruption": "ENQ"}, "ENQ needs a noise bank, found none"),
    ],
)
def test_unknown_names(change, message):
    options = {"dataset": "set", "corruption": "WHN", "level": "L1", "seed": 1} | change
    with pytest.raises(ValueError, match=message):
        D.draw_set(["a"], **options)
    assert set(LEVELS) == {"L1", "L2"}
