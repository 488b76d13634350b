"""Cells of a command line, shifts among them, and the recordings they need."""

import functools

import numpy as np
import pytest

from dhauds_jax.cells import targets
from dhauds_jax.data import sets
from dhauds_jax.data.loading import Clips

WORDS = sets.get("synthetic")


def test_shifts_are_cells_of_their_own():
    names = ["WHN", "SCN:running_tap@10dB", "UNI:0.005", "TST:L1", "clean"]
    assert targets.expand(names, ["L1", "L2"]) == [
        ("WHN", "L1"),
        ("WHN", "L2"),
        ("SCN", "running_tap@10dB"),
        ("UNI", "0.005"),
        ("TST", "L1"),
        ("clean", "-"),
    ]
    assert len(targets.expand(["all", "UNI:0.0025"], ["L1", "L2"])) == 15


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("SCN", "corruption SCN has no level: expected it after a colon, as in SCN:running_tap@10dB"),
        (
            "SCN:tap@10dB",
            "unknown level 'tap@10dB' of SCN, expected one of doing_the_dishes, .*running_tap@10dB",
        ),
        ("UNI:.005", "unknown level '.005' of UNI, expected a positive number such as 0.005 or 0.0025"),
        ("WHN:L3", "unknown level 'L3': expected L1 or L2"),
        ("GAU", r"unknown corruption 'GAU': expected WHN, ENQ or END1 \(12 names: --list\)"),
        ("GAU:0.1", r"unknown corruption 'GAU': expected WHN, ENQ or END1 \(12 names: --list\)"),
        ("cleen", "unknown corruption 'cleen': expected clean"),
    ],
)
def test_wrong_cells_list_the_right_ones(name, message):
    with pytest.raises(ValueError, match=message):
        targets.expand([name], ["L2"])


def test_banks_of_shifts():
    assert targets.bank_for(WORDS, None, "UNI", "0.005", 16_000) is None
    bank = targets.bank_for(WORDS, None, "SCN", "running_tap@10dB", 16_000)
    assert bank.names == ("white/0",) and bank.lengths.tolist() == [320_000]
    with pytest.raises(ValueError, match="no clips of cochl_scene for CLP"):
        targets.bank_for(WORDS, "/nowhere", "CLP", "cochl_scene@3dB", 16_000)


@pytest.mark.slow
def test_a_shifted_set_has_the_ratio_and_a_checksum():
    waves = (np.random.default_rng(0).normal(size=(5, 2_250)) * 0.1).astype(np.float32)
    lengths = np.full(5, 2_250, np.int32)
    clips = Clips(tuple("abcde"), waves, np.zeros(5, np.int32), lengths, WORDS.classes, 16_000)
    loaded = targets.Loaded(WORDS, clips, 2_000)
    noise = functools.partial(targets.noise_for, loaded, None, "SCN", "exercise_bike@3dB")
    made, again = (
        targets.corrupted(loaded, "SCN", "exercise_bike@3dB", seed=1, profile="reference", noise=noise)
        for _ in range(2)
    )
    clean = waves[:, :2_000].astype(np.float64)
    ratio = 10 * np.log10((clean**2).sum(1) / ((made.waves() - clean) ** 2).sum(1))
    np.testing.assert_allclose(ratio, 3.0, atol=2e-3)
    draw = dict(made.draw)
    assert draw["draw_seed"] == 1 and len(draw["draw_checksum"]) == 16
    assert made.waves().tobytes() == again.waves().tobytes() and made.draw == again.draw
