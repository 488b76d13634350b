"""Clips of class-incremental runs: what cannot be heard is left out, listed, and the classes are counted again."""

import numpy as np
import pytest
import soundfile

from dhauds_jax.data.loading import Clips
from dhauds_jax.errors import BadInput
from dhauds_jax.runs import incremental_clips
from dhauds_jax.runs.incremental_loading import unheard
from tests.runs import tiny
from tests.runs.test_incremental import of_tones

CLASSES = tiny.CLASSES


@pytest.fixture
def some(tmp_path):
    """Fifteen tones, three clips each to learn from and two to test; of the first class two cannot be heard."""
    tiny.make_arabic(tmp_path / "data", {"train": 4, "val": 1, "test": 2})
    folder = tmp_path / "data" / "dataset" / CLASSES[0]
    soundfile.write(folder / "train_1.wav", np.zeros(4000), tiny.RATE, subtype="PCM_16")
    soundfile.write(folder / "test_0.wav", tiny.tone(0, 0, 100), tiny.RATE, subtype="PCM_16")
    return tmp_path


def read(place, **changes):
    run = of_tones(place, place / "out", checkpoint=None, sessions=3).replace(**changes)
    return incremental_clips.read(run, tiny.smallest(CLASSES), False)


def test_what_cannot_be_heard_is_left_out_and_listed(some, capsys):
    pool = read(some)
    names = [pool.clips.ids[k] for k in np.flatnonzero(pool.clips.labels == 0)]
    assert sorted(name.rpartition("/")[2] for name in names) == [
        "test_1.wav", "train_0.wav", "train_2.wav", "train_3.wav"]  # fmt: skip
    assert len(pool.loaded.clips.waves) == 4 + 14 * 5
    listed = [line.split("\t") for line in (some / "out" / "bad_files.txt").read_text().splitlines()]
    assert [(name.rpartition("/")[2], why) for name, why in listed] == [
        ("train_1.wav", "silent"), ("test_0.wav", "0.006 s, shorter than 0.02 s")]  # fmt: skip
    assert "note: 1 clip left out (the first: " in capsys.readouterr().out


def test_a_class_that_has_too_few_then_is_refused(some):
    with pytest.raises(BadInput, match=rf"class {CLASSES[0]}: has 3 clips to learn from, expected at least 4"):
        read(some, shot=4)


def test_seeds_apart_are_seeds_of_one_line_whether_or_not_they_met_the_silent_clip(some):
    """Of four clips of the class seed 0 draws another one, seed 2 the silent one first."""
    found = [read(some, shot=1, seeds=(seed,)) for seed in (0, 2)]
    listed = (some / "out" / "bad_files.txt").read_text()
    assert listed.count("train_1.wav") == 1 and found[0].listing == found[1].listing


def test_the_first_that_cannot_be_heard_stops_where_that_is_wanted(some):
    with pytest.raises(BadInput, match=r"the clip \S*train_1.wav is silent, expected one that can be heard; mend it"):
        read(some, on_bad_file="stop", shot=4)


def test_silence_is_judged_by_what_the_network_hears():
    waves = np.zeros((4, 1125), np.float32)
    waves[0, :1000], waves[1, 1050], waves[2, 562] = 1e-3 * np.sin(np.arange(1000)), 0.5, 2.0**-14
    clips = Clips(("a", "b", "c", "d"), waves, np.zeros(4, int), np.array([1125, 1125, 1125, 4]), ("x",), 1000)
    assert unheard(clips, 1000) == [
        ("b", "silent in its first 1 s, all that the network hears"),
        ("d", "0.004 s, shorter than 0.02 s"),
    ]
