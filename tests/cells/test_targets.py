"""Cells of a command line, shifts among them, and the recordings they need."""

import functools

import numpy as np
import pytest
import soundfile

from dhauds_jax.cells import read_sets, targets, worklist
from dhauds_jax.data import sets
from dhauds_jax.data.loading import Clips
from dhauds_jax.errors import BadInput
from dhauds_jax.nets import zoo
from dhauds_jax.runs.corrupt import CorruptRun, write_set
from tests.runs import tiny
from tests.runs.adapt_runs import a_run

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
        ("GAU", r"unknown corruption 'GAU': expected WHN, ENQ or END1 \(19 names: --list\)"),
        ("GAU:0.1", r"unknown corruption 'GAU': expected WHN, ENQ or END1 \(19 names: --list\)"),
        ("cleen", "unknown corruption 'cleen': expected clean"),
    ],
)
def test_wrong_cells_list_the_right_ones(name, message):
    with pytest.raises(ValueError, match=message):
        targets.expand([name], ["L2"])


def test_two_places_of_noises_with_one_name_are_refused():
    """Their records, and folders, had one name."""
    with pytest.raises(BadInput) as caught:
        targets.expand(["ENU:kitchen/noise", "WHN", "ENU:street/noise:L1"], ["L2"])
    assert str(caught.value) == (
        "--corruption: ENU:kitchen/noise and ENU:street/noise are both called ENU:noise in what is written, expected "
        "places with different last names: rename one, or give them in commands with different output folders"
    )
    assert len(targets.expand(["ENU:noise", "ENU:noise/:L1", "ENU:street"], ["L1", "L2"])) == 5


def test_banks_of_shifts():
    assert targets.bank_for(WORDS, None, "UNI", "0.005", 16_000) is None
    bank = targets.bank_for(WORDS, None, "SCN", "running_tap@10dB", 16_000)
    assert bank.names == ("white/0",) and bank.lengths.tolist() == [160_000]
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


@pytest.mark.slow
def test_what_is_done_to_clips_that_are_noise_is_said_by_adapt_and_corrupt(tmp_path, capsys):
    """Before, of CLP alone neither said it."""
    data, path = tiny.make_arabic(tmp_path / "data"), tmp_path / "ESC-50" / "audio" / "1.wav"
    path.parent.mkdir(parents=True)
    soundfile.write(path, tiny.tone(1, 1), 44_100)
    about = {"dataset": "arabic_speech_commands", "data_dir": str(data), "noise_dir": str(tmp_path)}
    run = a_run(tmp_path, tmp_path / "out", **about)
    loaded = targets.load_for(run, "test", zoo.preset("amaut_tiny", tiny.CLASSES))
    noise = functools.partial(targets.noise_for, loaded, run.noise_dir, "CLP", "esc50@3dB")
    made = targets.corrupted(loaded, "CLP", "esc50@3dB", seed=1, profile="reference", noise=noise)
    said = "note: noise: 1 of 1 files: resampled from 44100 Hz to 16000 Hz\n"
    assert said not in capsys.readouterr().out
    made.waves()
    assert capsys.readouterr().out.count(said) == 1
    write_set(CorruptRun(**about, corruption=["CLP:esc50@3dB"], level=["L2"], output=str(tmp_path / "c")))
    assert capsys.readouterr().out.count(said) == 1


@pytest.mark.slow
def test_a_corrupted_set_of_another_split_with_files_left_out_is_read(tmp_path, capsys):
    """Before, neither was: the split was test, and what `corrupt --on_bad_file=skip` left out was missed."""
    data, noise = tiny.make_arabic(tmp_path / "data"), tiny.make_noises(tmp_path / "noise")
    (data / "dataset" / "up" / "val_0.wav").write_bytes(b"")
    about = {"dataset": "arabic_speech_commands", "data_dir": str(data), "split": "val", "on_bad_file": "skip"}
    out, noises = str(tmp_path / "c"), {"noise_dir": str(noise)}
    write_set(CorruptRun(**about, **noises, corruption=["WHN"], level=["L2"], output=out))
    run = a_run(tmp_path, tmp_path / "out", **about, corrupted_dir=out, draw="single", protocol=["online"])
    loaded = targets.load_for(run, "val", zoo.preset("amaut_tiny", tiny.CLASSES))
    capsys.readouterr()
    (work,) = worklist.works_of(run, loaded, [("WHN", "L2")])
    said = capsys.readouterr().out.splitlines()
    assert said == [
        f"note: {tmp_path}/c/clips.csv names 15 files and 1 of them are absent (the first: dataset/up/val_0.wav); "
        "going on with 14",
        "note: 14 of 14 files: longer than 4000 samples, the head is kept",
    ]
    assert work.target().waves.shape == (14, 4_000)
    with pytest.raises(BadInput, match="names 15 files and 1 of them are absent"):
        read_sets.read_corrupted(loaded, out, "WHN", "L2", split="val")


def test_which_split_was_taken_is_said(tmp_path, capsys):
    """Before, neither adapt nor corrupt said it."""
    tiny.make_arabic(tmp_path)
    config = tiny.smallest(sets.get("arabic_speech_commands").classes)
    targets.load("arabic_speech_commands", str(tmp_path), "val", config)
    assert capsys.readouterr().out.splitlines()[0] == "split val of arabic_speech_commands: 15 clips"
