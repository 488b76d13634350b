"""Embedded sets of zero-shot rows: folds of groups and splits, soundscapes with their clips, the clean set."""

import numpy as np
import pytest

from dhauds_jax.runs import zeroshot_rows, zeroshot_sets
from dhauds_jax.runs.report import write_report
from dhauds_jax.runs.zeroshot import zeroshot
from tests.runs.zeroshot_sets import CLIPS, LABELS, drawn, rows, run_of, unit, write


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return write(tmp_path_factory.mktemp("zeroshot"))


def test_folds_of_groups_and_of_splits(place, tmp_path):
    groups = np.array([f"speaker{k // 6}" for k in range(CLIPS)])
    splits = np.where(np.arange(CLIPS) < 12, "train", np.where(np.arange(CLIPS) < 15, "val", "test"))
    write(tmp_path, folds=None, groups=groups, splits=splits)
    run = run_of(tmp_path, tmp_path / "out")
    (found,) = zeroshot_sets.read(run.embeddings, "", "test", "train", 0)
    assert (found.fold[:12] == zeroshot_sets.TRAINING).all() and len(found.tested) == 21
    assert found.training.sum() == 12
    (found,) = zeroshot_sets.read(run.embeddings, "3", "test", "train", 0)
    fold_of = {group: set(found.fold[groups == group]) for group in set(groups)}
    assert all(len(folds) == 1 for folds in fold_of.values()) and len(found.folds) == 3
    zeroshot(run, "zeroshot")
    (row,) = rows(tmp_path / "out")
    _, park, *_ = drawn()
    vectors = unit(park.astype(np.float64))
    means = unit(np.stack([vectors[:12][LABELS[:12] == k].mean(0) for k in range(3)]))
    assert row["n"] == 21 and row["adapted_last"] == pytest.approx(
        np.mean((vectors[15:] @ means.T).argmax(1) == LABELS[15:])
    )


def test_a_soundscape_is_in_the_fold_of_its_clean_clip(place, tmp_path):
    clean = [f"clip{k}" for k in range(CLIPS)]
    names = np.array([f"dog/{name}-park-{k % 2}.wav" for k, name in enumerate(clean)])
    write(tmp_path, folds=None, ids=names, groups=np.array(clean))
    places = [str(tmp_path / "clean.npz"), str(tmp_path / "park.npz")]
    np.savez(places[0], **{name: value for name, value in np.load(places[0]).items() if name != "folds"})
    of_clean, noisy = zeroshot_sets.read(places, "4", "test", "train", 0)
    np.testing.assert_array_equal(of_clean.fold, noisy.fold)
    two = np.where(np.arange(CLIPS) % 2, "", np.array(clean))  # where one group is not known, others still are
    write(tmp_path, folds=None, ids=names, groups=two)
    (some,) = zeroshot_sets.read(places[1:], "4", "test", "train", 0)
    assert zeroshot_sets.owners_of(some.about)[:2] == ("clip0", "dog/clip1-park-1.wav")


def test_the_clean_set_is_named(place, tmp_path, capsys):
    zeroshot(run_of(place, tmp_path, ("clean", "park")), "zeroshot")
    assert f"note: prototypes (clean) are of {place / 'clean.npz'}, the one set" in capsys.readouterr().out


def test_a_set_of_fewer_classes_is_said_and_reported_apart(tmp_path, capsys):
    place = write(tmp_path, labels=LABELS % 2, classes=np.array(["dog_bark", "rain"]))
    zeroshot(run_of(place, tmp_path / "out", train=("same",)), "zeroshot")
    assert "classes have clips" not in capsys.readouterr().out
    zeroshot(run_of(place, tmp_path / "out", ("clean", "park")), "zeroshot")
    assert capsys.readouterr().out.count("note: park: 2 of 3 classes have clips\n") == 1
    write_report([str(tmp_path / "out")])
    text = (tmp_path / "out" / "report" / "report.md").read_text()
    assert "profile corrected, 2 classes (dog_bark, rain)\n" in text
    assert "profile corrected, 3 classes (dog_bark, rain, siren)\n" in text


def test_a_scene_of_one_recording_is_left_out_before_the_work(tmp_path, capsys):
    place = write(tmp_path)
    known = dict(np.load(place / "places.npz"))
    np.savez(place / "places.npz", **{**known, "labels": np.array([0, 0, 0, 0, 1])})
    run = run_of(place, tmp_path / "out", background=("audio", "oracle"), scorer=("plain", "subtract"))
    assert zeroshot(run, "zeroshot").startswith("2 rows written")
    told = "left out: background audio of park: scene metro_station has one recording, and a clip's own is left out\n"
    assert told in capsys.readouterr().out
    assert [row["background"] for row in rows(tmp_path / "out")] == ["none", "oracle"]
    assert zeroshot(run.replace(profile="reference"), "zeroshot").startswith("3 rows written")


def test_a_background_that_no_scorer_takes_off_is_left_out(place, tmp_path, capsys):
    run = run_of(place, tmp_path, background=("none", "audio", "quiet"), scorer=("plain", "centre"))
    assert zeroshot(run, "zeroshot").startswith("2 rows written")
    told = capsys.readouterr().out
    assert told.count("left out: background ") == 2
    assert "left out: background audio: no scorer that is asked for takes one off, as subtract does\n" in told
    zeroshot(run.replace(scorer=("plain", "subtract")), "zeroshot")
    assert "no scorer that is asked for" not in capsys.readouterr().out


def test_fewer_labelled_clips_than_shots_are_said(place, tmp_path, capsys):
    zeroshot(run_of(place, tmp_path, scorer=("treff",), shots=9), "zeroshot")  # a fold has 6 of 12 dogs
    told = capsys.readouterr().out
    assert "note: scorer treff: of some classes there are 6 training clips in park, fewer than --shots=9\n" in told
    zeroshot(run_of(place, tmp_path, scorer=("treff",), shots=6), "zeroshot")
    assert "fewer than --shots" not in capsys.readouterr().out


def test_trains_of_profiles(place):
    run = run_of(place, "out", ("clean", "park"))
    sets = zeroshot_sets.read(run.embeddings, "", "test", "train", 0)
    assert zeroshot_rows.trains_of(run, sets) == ("clean",)
    assert zeroshot_rows.trains_of(run.replace(profile="reference"), sets) == ("same",)
