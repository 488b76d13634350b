"""`soundfont_notes`: its classes, notes and splits, on a SoundFont that the tests write."""

import numpy as np
import pytest

from dhauds_jax.data import sets
from dhauds_jax.data.loading import load_split
from dhauds_jax.data.sets import soundfont_notes
from dhauds_jax.errors import BadInput
from tests.data.fakes import soundfont as fake

PLAYS = "tinysoundfont is not installed"


def test_twelve_pitches_to_learn_from_and_twelve_others_to_know_by():
    train, test = (soundfont_notes.SPLIT_KEYS[split] for split in ("train", "test"))
    assert len(train) == len(test) == 12 and not set(train) & set(test)
    assert min(train) == 21 and max(test) == 108 and sorted(train + test) == list(soundfont_notes.KEYS)
    assert set(np.diff(soundfont_notes.KEYS)) == {3, 4}
    one = soundfont_notes.notes_of((0, 5), "test", False)
    every = soundfont_notes.notes_of((0, 5), "test", True)
    assert len(one) == 24 and len(every) == 120 and set(one) < set(every)
    struck = {note.velocity for note in soundfont_notes.notes_of(tuple(range(20)), "train", False)}
    assert struck == {25, 50, 75, 100, 127}
    assert soundfont_notes.velocity_of(0, 21) == 75  # of any font, on any machine
    assert soundfont_notes.group_of("005/021_127") == "005/021"


def test_classes_are_the_programs_of_the_font(tmp_path):
    fake.soundfont(tmp_path / "a.sf2", ((3, 0, "Honky-tonk"), (0, 0, "Piano"), (0, 128, "Drums")))
    data = sets.get("soundfont_notes/velocities", tmp_path)
    assert data.classes == ("000 Piano", "003 Honky-tonk") and data.splits == ("train", "test")
    with pytest.raises(BadInput, match=r"soundfont_notes needs --data_dir"):
        load_split("soundfont_notes", None, "train", sample_rate=16_000, length=64_000)
    with pytest.raises(BadInput, match=r"there is no split 'val' of soundfont_notes"):
        load_split(data, None, "val", sample_rate=16_000, length=64_000)


def test_notes_are_played_and_silent_ones_left_out(tmp_path):
    pytest.importorskip("tinysoundfont", reason=PLAYS)
    fake.soundfont(tmp_path / "a.sf2", keys=(40, 70))
    clips = load_split("soundfont_notes", tmp_path, "test", sample_rate=16_000, length=64_000, progress=False)
    keys = [key for key in soundfont_notes.SPLIT_KEYS["test"] if 40 <= key <= 70]
    wanted = [
        f"{program:03d}/{key:03d}_{soundfont_notes.velocity_of(program, key):03d}" for program in (0, 5) for key in keys
    ]
    assert clips.ids == tuple(wanted) and clips.labels.tolist() == [0] * len(keys) + [1] * len(keys)
    assert clips.classes == ("000 Sine", "005 Other") and clips.waves.shape == (2 * len(keys), 64_000)
    assert np.abs(clips.waves).max(1).min() > 1e-3
