"""experiments.learn through the command: folders of tones become classes, more are added, taken away and joined."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from dhauds_jax import calibration
from dhauds_jax.errors import BadInput
from dhauds_jax.model.record import load
from dhauds_jax.nets import checkpoint as checkpoints
from dhauds_jax.runs import serve
from dhauds_jax.runs.classify import classify
from dhauds_jax.runs.learn import learn
from dhauds_jax.runs.listen import listen
from dhauds_jax.runs.requests.classify import ClassifyRun
from dhauds_jax.runs.requests.listen import ListenRun
from dhauds_jax.serve.naming import named
from dhauds_jax.serve.request import ServeRun
from tests.children import ROOT
from tests.runs import tiny
from tests.runs.learn_sounds import PITCHES, a_run, later, sounds


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("learn")
    tiny.make_checkpoint(folder / "checkpoint")
    sounds(folder / "first", ["low", "mid", "high"], range(4))
    sounds(folder / "more", ["top", "low"], range(4, 7))
    sounds(folder / "all", ["low", "mid", "high"], range(4))
    sounds(folder / "all", ["top", "low"], range(4, 7))
    sounds(folder / "new", ["low", "mid", "high", "top"], range(7, 9))
    return folder


@pytest.fixture(scope="module")
def learnt(place):
    learn(a_run(place, place / "learnt"), "the command")
    return place / "learnt"


def table(folder):
    with (folder / "classes.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def logits(place, folder):
    """Of new tones, by class name."""
    model = load(folder / "checkpoint")
    found = model.predict(place / "new")
    return {name: np.log(found.probabilities[:, k]) * model.temperature for k, name in enumerate(found.classes)}


def same(place, one, other):
    left, right = logits(place, one), logits(place, other)
    assert sorted(left) == sorted(right)
    # Log-probabilities differ by a number a clip where temperatures do.
    first = sorted(left)[0]
    for name in left:
        np.testing.assert_allclose(left[name] - left[first], right[name] - right[first], rtol=1e-5, atol=2e-5)


@pytest.mark.slow
def test_a_folder_becomes_a_classifier_with_a_forecast(place, learnt, capsys):
    assert sorted(path.name for path in learnt.iterdir()) == ["checkpoint", "classes.csv", "report.md", "run.json"]
    rows = table(learnt)
    assert [row["class"] for row in rows] == ["high", "low", "mid"]
    assert all((row["clips"], row["left_out"]) == ("4", "4") for row in rows)
    assert all(row["nearest_other"] in PITCHES and row["nearest_other"] != row["class"] for row in rows)
    right = sum(int(row["left_out_right"]) for row in rows)
    report = (learnt / "report.md").read_text()
    assert f"**{right} of 12 clips are right when left out: " in report and "(95 % interval)" in report
    assert "unknown whose largest logit (--score=max_logit) is below " in report and "`the command`" in report
    _, config, extra = checkpoints.load(learnt / "checkpoint")
    assert config.classes == ("high", "low", "mid") and config.head["kind"] == "prototypes"
    assert extra["learner"]["name"] == "prototype" and extra["learner"]["options"] == {"scale": 16.0, "unit": True}
    made = calibration.from_extra(extra)
    assert (made.score, len(made.known)) == ("max_score", 12)


@pytest.mark.slow
def test_the_same_again_changes_nothing_and_another_run_is_not_lost(place, learnt, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(learnt, copy)
    learn(a_run(place, copy), "again")
    assert json.loads((copy / "run.json").read_text())["command"] == "again"
    before = (copy / "classes.csv").read_bytes()
    with pytest.raises(BadInput, match=r"--output=.*: holds what another run learnt \(again\); give another folder"):
        learn(a_run(place, copy, min_clips=3), "c")
    with pytest.raises(BadInput, match="holds what another run learnt"):
        learn(a_run(place, copy, audio_dir=str(place / "new")), "c")
    about = {"checkpoint": str(learnt / "checkpoint"), "audio_dir": str(place / "more")}
    for command in ("first", "second"):
        learn(later(place, tmp_path / "later", **about), command)
    assert json.loads((tmp_path / "later" / "run.json").read_text())["command"] == "second"
    assert (copy / "classes.csv").read_bytes() == before
    learn(a_run(place, copy, audio_dir=str(place / "new"), overwrite=True), "c")
    assert len(table(copy)) == 4
    (copy / "letters.txt").write_text("mine")
    with pytest.raises(BadInput, match=r"holds letters.txt, which experiments.learn did not write and which would go"):
        learn(a_run(place, copy, overwrite=True), "c")
    assert (copy / "letters.txt").read_text() == "mine"


@pytest.mark.slow
def test_learning_in_two_sessions_is_learning_at_once(place, learnt, tmp_path, capsys):
    learn(later(place, tmp_path / "two", checkpoint=str(learnt / "checkpoint"), audio_dir=str(place / "more")), "c")
    said = capsys.readouterr().out
    assert "note: learnt 1 class: top\nnote: added clips to low\n" in said
    assert {row["class"]: row["clips"] for row in table(tmp_path / "two")} == {
        "high": "4",
        "low": "7",
        "mid": "4",
        "top": "3",
    }
    learn(a_run(place, tmp_path / "once", audio_dir=str(place / "all")), "c")
    same(place, tmp_path / "two", tmp_path / "once")


@pytest.mark.slow
def test_a_removed_class_was_never_learnt(place, learnt, tmp_path):
    learn(later(place, tmp_path / "gone", checkpoint=str(learnt / "checkpoint"), remove=["mid"]), "c")
    shutil.copytree(place / "first", tmp_path / "two")
    shutil.rmtree(tmp_path / "two" / "mid")
    learn(a_run(place, tmp_path / "never", audio_dir=str(tmp_path / "two")), "c")
    same(place, tmp_path / "gone", tmp_path / "never")
    assert table(tmp_path / "gone") == table(tmp_path / "never")


@pytest.mark.slow
def test_two_that_are_merged_have_learnt_together(place, learnt, tmp_path, capsys):
    learn(a_run(place, tmp_path / "b", audio_dir=str(place / "more")), "c")
    both = [str(learnt / "checkpoint"), str(tmp_path / "b" / "checkpoint")]
    learn(later(place, tmp_path / "merged", merge=both), "c")
    assert "3 classes and 2 are now 4\nnote: both know low, each now from the clips of both" in capsys.readouterr().out
    learn(a_run(place, tmp_path / "once", audio_dir=str(place / "all")), "c")
    same(place, tmp_path / "merged", tmp_path / "once")


@pytest.mark.slow
def test_windows_of_long_clips_and_what_cannot_be_used(place, tmp_path, capsys):
    sounds(tmp_path / "in", ["low", "mid"], range(3))
    sounds(tmp_path / "in", ["low"], [8], samples=20_000)
    sounds(tmp_path / "in", ["low"], [9], samples=200)
    silence = np.zeros(4000, np.float32)
    soundfile.write(tmp_path / "in" / "mid" / "silent.wav", silence, tiny.RATE)
    half = np.concatenate([tiny.tone(4, 7, 16_000), np.zeros(16_000)])
    soundfile.write(tmp_path / "in" / "mid" / "half.wav", half, tiny.RATE, subtype="PCM_16")
    (tmp_path / "in" / "low" / "broken.wav").write_bytes(b"RIFF")
    shutil.copy(tmp_path / "in" / "low" / "0.wav", tmp_path / "in" / "low" / "copy.wav")
    learn(a_run(place, tmp_path / "out", audio_dir=str(tmp_path / "in")), "c")
    assert {row["class"]: row["clips"] for row in table(tmp_path / "out")} == {"low": "4", "mid": "4"}
    report = (tmp_path / "out" / "report.md").read_text()
    for line in (
        "- `low/9.wav`: 0.013 s, shorter than 0.02 s\n",
        "- `low/broken.wav`: ",
        "- `low/copy.wav`: the same recording as low/0.wav\n",
        "- `mid/silent.wav`: silent\n",
        "- silent windows of clips that have sound elsewhere are not learnt: 4 of the 8 windows of 1 clip (4 of 8 of "
        "mid)\n",
    ):
        assert line in report
    rows = checkpoints.load(tmp_path / "out" / "checkpoint")[2]["learner"]["rows"]
    assert np.bincount(rows["clip"]).tolist() == [1, 1, 1, 5, 1, 1, 1, 8] and rows["weights"].sum() == 15
    assert "a clip of each class left out, 4 times" in report


@pytest.mark.slow
def test_what_it_learnt_is_a_classifier_to_every_command(place, learnt, tmp_path):
    """classify says unknown, what serves and what listens too, methods adapt it; the adapted one is not to learn on."""
    model = load(learnt / "checkpoint")
    sounds(tmp_path / "in", ["dog", "low", "mid", "high"], range(10, 13))
    for method in ("source", "t3a"):
        run = ClassifyRun(
            checkpoint=str(learnt / "checkpoint"),
            audio_dir=str(tmp_path / "in"),
            method=method,
            output=str(tmp_path / method),
            reject=0.05,
            epochs=1,
            batch_size=4,
        )
        classify(run, "c")
    with (tmp_path / "source" / "predictions.csv").open(newline="") as file:
        rows = {row["file"]: row for row in csv.DictReader(file)}
    made = calibration.from_extra(model.extra)
    names = sorted(rows)
    waves = np.stack([soundfile.read(tmp_path / "in" / name)[0] for name in names]).astype(np.float32)
    sure = model.logits(waves).max(-1)  # tones of the network's own length
    least = calibration.threshold(made, reject=0.05)
    assert [rows[name]["label"] == "unknown" for name in names] == (sure < least).tolist()
    assert all(row["best"] in model.classes for row in rows.values())
    service = serve.made(ServeRun(checkpoint=(str(learnt / "checkpoint"),), reject=0.05, max_batch=len(names)))
    served, ones = service.served, np.ones(len(names), np.float32)
    answers = served.predict(waves, ones)
    called = [named(row[None], served.classes, service.rule).label for row in served.answers(waves, ones)]
    assert called == [rows[name]["label"] for name in names] and 0 < called.count("unknown") < len(names)
    assert service.model["unknown"] == {"reject": 0.05, "score": "max_logit", "below": least}
    with (tmp_path / "source" / "probabilities.csv").open(newline="") as file:
        written = {row["file"]: row for row in csv.DictReader(file)}
    labelled = [[float(written[name][label]) for label in served.classes] for name in names]
    np.testing.assert_allclose(answers, labelled, atol=2e-6)  # which are written with six digits
    soundfile.write(tmp_path / "all.wav", waves.reshape(-1), tiny.RATE, subtype="FLOAT")
    whole = {"checkpoint": (str(learnt / "checkpoint"),), "input": str(tmp_path / "all.wav"), "hop": 0.0, "speed": 0.0}
    listen(ListenRun(**whole, reject=0.05, output=str(tmp_path / "heard.csv")))
    with (tmp_path / "heard.csv").open(newline="") as file:
        assert [row["label"] for row in csv.DictReader(file)] == called
    adapted = model.adapt(tmp_path / "in", "tent", epochs=1, online=True, options={"lr": 0.1}, batch_size=4)
    adapted.save(tmp_path / "moved")
    with pytest.raises(BadInput, match=r"is not the one that it learnt on .* as after an adaptation, expected"):
        learn(later(place, tmp_path / "x", checkpoint=str(tmp_path / "moved"), audio_dir=str(place / "more")), "c")


@pytest.mark.slow
def test_old_classes_are_kept_by_clips_or_as_rows_of_the_last_layer(place, tmp_path, capsys):
    tiny.make_checkpoint(tmp_path / "few", classes=("low", "mid"))
    sounds(tmp_path / "base", ["low", "mid", "dog"], range(20, 26))
    sounds(tmp_path / "in", ["top"], range(3))
    about = {"checkpoint": str(tmp_path / "few"), "audio_dir": str(tmp_path / "in")}
    kept = {"keep": "clips", "base_dir": str(tmp_path / "base"), "base_clips": 4}
    learn(a_run(place, tmp_path / "clips", **about, **kept), "c")
    assert [(row["class"], row["clips"]) for row in table(tmp_path / "clips")] == [
        ("low", "4"),
        ("mid", "4"),
        ("top", "3"),
    ]
    said = capsys.readouterr().out
    assert f"dog in {tmp_path / 'base'}: no class of the checkpoint, not read" in said
    # Their left-out clips are counted in the forecast; nothing said that the network may know them.
    assert "note: the network was trained on low, mid: clips that were in its training are right more often" in said
    learn(a_run(place, tmp_path / "head", **about, keep="head"), "c")
    assert "was trained on" not in capsys.readouterr().out  # top is a class that it has never heard
    assert [(row["class"], row["clips"], row["left_out"]) for row in table(tmp_path / "head")] == [
        ("low", "0", "0"),
        ("mid", "0", "0"),
        ("top", "3", "3"),
    ]
    assert (
        "as the rows of its last layer: how accurate they are was not measured"
        in (tmp_path / "head" / "report.md").read_text()
    )
    model, before = load(tmp_path / "head" / "checkpoint"), load(tmp_path / "few")
    kernel = np.asarray(before.classifier.head(before.variables).kernel)
    own = np.asarray(model.variables["params"]["head"]["kernel"])[:, :2]
    np.testing.assert_allclose(own, kernel / np.linalg.norm(kernel, axis=0), rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_a_killed_run_leaves_the_old_output_or_the_new_one(place, learnt, tmp_path):
    """Killed while it writes, before the folders are exchanged, and before the old one is removed."""
    given = repr(a_run(place, "OUTPUT", audio_dir=str(place / "new"), overwrite=True))
    here = "files._exchanged = lambda *given: ({}, os.kill(os.getpid(), signal.SIGKILL))"
    moments = {
        "files.write_csv = lambda *given: os.kill(os.getpid(), signal.SIGKILL)": False,
        here.format("None"): False,
        f"real = files._exchanged; {here.format('real(*given)')}": True,
    }
    running = []
    for number, moment in enumerate(moments):
        shutil.copytree(learnt, tmp_path / str(number))
        (tmp_path / f"kill_{number}.py").write_text(
            "import os, signal\n"
            "from dhauds_jax import files\n"
            "from dhauds_jax.runs.learn import learn\n"
            "from dhauds_jax.runs.requests.learn import LearnRun\n"
            f"{moment}\n"
            f"learn({given.replace('OUTPUT', str(tmp_path / str(number)))}, 'c')\n"
        )
        where = {**os.environ, "PYTHONPATH": str(ROOT)}
        running.append(subprocess.Popen([sys.executable, tmp_path / f"kill_{number}.py"], cwd=ROOT, env=where))
    for number, (process, new) in enumerate(zip(running, moments.values(), strict=True)):
        assert process.wait(timeout=600) == -signal.SIGKILL, number
        found = sorted(load(tmp_path / str(number) / "checkpoint").classes)
        assert found == [row["class"] for row in table(tmp_path / str(number))]
        assert ("top" in found) == new, number
    learn(a_run(place, tmp_path / "0", audio_dir=str(place / "new"), overwrite=True), "c")
    assert len(table(tmp_path / "0")) == 4


def test_another_reading_is_kept_by_the_checkpoint(place, tmp_path):
    learn(a_run(place, tmp_path / "bands", reading="bands"), "the command")
    model = load(tmp_path / "bands" / "checkpoint")
    assert model.config.head["inner"] == {"kind": "band_statistics", "segments": 4}
    assert model.predict(place / "new").probabilities.shape == (8, 3)
    taught = {"checkpoint": str(tmp_path / "bands" / "checkpoint"), "audio_dir": str(place / "more")}
    learn(later(place, tmp_path / "more", **taught), "the command")
    assert load(tmp_path / "more" / "checkpoint").config.head["inner"]["kind"] == "band_statistics"
    with pytest.raises(BadInput, match=r"--reading=rows: what .* reads was settled when it first learnt, expected the"):
        learn(later(place, tmp_path / "other", reading="rows", **taught), "the command")
    with pytest.raises(BadInput, match=r"--reading=bands: rows of the last layer are of the network's own embedding"):
        learn(a_run(place, tmp_path / "kept", reading="bands", keep="head", learner="prototype"), "the command")


@pytest.mark.slow
def test_what_was_learnt_of_levels_is_loaded_again_and_learns_more(place, tmp_path):
    """The head over levels uses nothing of the old head, which its checkpoint then does not hold."""
    tiny.make_checkpoint(tmp_path / "net", of=tiny.levelled)
    given = {"learner": "mar", "options": ["fusion=random", "epochs=1"], "checkpoint": str(tmp_path / "net")}
    learn(a_run(place, tmp_path / "one", **given), "c")
    learn(
        later(place, tmp_path / "two", checkpoint=str(tmp_path / "one" / "checkpoint"), audio_dir=str(place / "more")),
        "c",
    )
    assert load(tmp_path / "two" / "checkpoint").config.head["kind"] == "levels"
    assert len(table(tmp_path / "two")) == 4
