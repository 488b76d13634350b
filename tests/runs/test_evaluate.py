"""experiments.evaluate: numbers by another road, what is written, what is refused before the work."""

import csv
import json
import os

import numpy as np
import pytest
import soundfile

from dhauds_jax import metrics
from dhauds_jax.cells import subsets, targets
from dhauds_jax.data.corruptions import corrupt
from dhauds_jax.data.loading import Clips, load_split
from dhauds_jax.errors import BadInput
from dhauds_jax.model import load, own_sounds
from dhauds_jax.runs.evaluate import _remove_earlier, evaluate
from dhauds_jax.runs.requests.evaluate import EvaluateRun
from tests.runs import tiny


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("evaluate")
    tiny.make_arabic(folder / "data", {"train": 1, "val": 1, "test": 2})
    tiny.make_checkpoint(folder / "checkpoint")
    return folder


def a_run(place, output, **changes):
    run = EvaluateRun(
        checkpoint=str(place / "checkpoint"),
        dataset="arabic_speech_commands",
        data_dir=str(place / "data"),
        corruption=("clean", "WHN"),
        output=str(output),
        seed=3,
        worst=4,
    )
    return run.replace(**changes)


def table(path):
    with path.open(newline="") as file:
        return list(csv.reader(file))


@pytest.mark.slow
def test_every_number_by_another_road(place, tmp_path, capsys):
    said = evaluate(a_run(place, tmp_path), "the command")
    assert said.startswith(f"30 clips evaluated: {tmp_path / 'report.md'}")
    found = json.loads((tmp_path / "evaluation.json").read_text())
    assert (found["command"], found["seed"], found["split"]) == ("the command", 3, "test")
    printed, beside = capsys.readouterr()
    assert "work: a pass over 30 clips for each of 2 corruptions\n" in beside
    model = load(place / "checkpoint")
    length = model.config.length
    clips = load_split("arabic_speech_commands", place / "data", "test", sample_rate=16_000, length=length)
    noisy, _ = corrupt(
        clips.waves, clips.ids, dataset="arabic_speech_commands", bank=None, progress=False, sample_rate=16_000,
        length=length, lengths=clips.lengths, corruption="WHN", level="L2", seed=3, profile="corrected",
    )  # fmt: skip
    assert [cell["folder"] for cell in found["cells"]] == ["clean", "WHN-L2"]
    for cell, waves in zip(found["cells"], (clips.waves, noisy), strict=True):
        logits = model.logits(waves)
        right = (logits.argmax(-1) == clips.labels).mean()
        assert (cell["n"], cell["accuracy"], cell["accuracy_interval"][0]) == (30, right, right)
        assert abs(cell["nll"] - metrics.nll(logits, clips.labels)) < 1e-6
        folder = tmp_path / cell["folder"]
        rows = table(folder / "clips.csv")
        assert rows[0] == ["clip", "truth", "label", "confidence", "nll"] and len(rows) == 31
        believed = [float(row[4]) for row in rows[1:]]
        assert believed == sorted(believed, reverse=True) and len(cell["worst"]) == 4
        confusion = np.array([row[1:] for row in table(folder / "confusion.csv")[1:]], int)
        assert confusion.sum() == 30 and confusion.trace() == round(30 * right)
        assert confusion.sum(1).tolist() == [2] * 15
        by_class = {row[0]: float(row[3]) for row in table(folder / "classes.csv")[1:]}
        assert abs(np.mean(list(by_class.values())) - right) < 1e-9  # equal classes: mean recall is accuracy
        assert (folder / "confusion.png").stat().st_size > 1000 < (folder / "calibration.png").stat().st_size
        assert f"{cell['folder']}: accuracy {100 * right:.1f} % (" in printed
    report = (tmp_path / "report.md").read_text()
    assert "Evaluation of" in report and "| 30 | WHN-L2 | " in report and "`the command`" in report


def test_what_only_an_earlier_evaluation_measured_is_taken_away(tmp_path):
    """Before, the tables of another model's noisy clips stayed beside the report of this one's clean ones."""
    cells = [{"folder": name} for name in ("clean", "WHN-L2", "PSH-L1", "../beside", 3)]
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "evaluation.json").write_text(json.dumps({"cells": cells}))
    for name in ("out/clean", "out/WHN-L2", "out/PSH-L1", "beside"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "clips.csv").write_text("x")
    (tmp_path / "out" / "PSH-L1" / "my_notes.txt").write_text("x")
    _remove_earlier(tmp_path / "out", {"clean"})
    left = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file())
    assert left == ["beside/clips.csv", "out/PSH-L1/my_notes.txt", "out/clean/clips.csv", "out/evaluation.json"]
    assert not (tmp_path / "out" / "WHN-L2").exists()
    for text in ("[]", "{", '{"cells": 3}'):
        (tmp_path / "out" / "evaluation.json").write_text(text)
        _remove_earlier(tmp_path / "out", set())
    _remove_earlier(tmp_path / "nowhere", set())


def test_a_subset_is_measured_alone_and_named(place, tmp_path, capsys):
    """Before, `evaluate` had no --subset: numbers beside those of adapt --subset took a set of one's own."""
    model = load(place / "checkpoint")
    data = {"sample_rate": 16_000, "length": model.config.length}
    clips = load_split("arabic_speech_commands", place / "data", "test", **data)
    rows = [17, 3, 20, 4]
    (tmp_path / "few.txt").write_text("\ufeff" + "\n".join(clips.ids[row] for row in rows) + "\n", encoding="utf-8")
    run = a_run(place, tmp_path / "out", corruption=("clean",), subset=str(tmp_path / "few.txt"))
    assert evaluate(run, "c").startswith("4 clips evaluated: ")
    assert f"of these, --subset={tmp_path / 'few.txt'} takes 4\n" in capsys.readouterr().out
    found = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    (cell,), right = found["cells"], model.logits(clips.waves).argmax(-1)[rows] == clips.labels[rows]
    assert (cell["n"], cell["accuracy"], found["subset"]) == (4, right.mean(), "few.txt")
    written = {row[0] for row in table(tmp_path / "out" / "clean" / "clips.csv")[1:]}
    assert written == {clips.ids[row] for row in rows}
    report = (tmp_path / "out" / "report.md").read_text()
    assert " on arabic_speech_commands (test, subset=few.txt)\n" in report


def test_splits_are_measured_together(place, tmp_path, capsys):
    """Before, `--split=val,test` was an unknown split."""
    model = load(place / "checkpoint")
    data = {"sample_rate": 16_000, "length": model.config.length}
    parts = [load_split("arabic_speech_commands", place / "data", split, **data) for split in ("val", "test")]
    evaluate(a_run(place, tmp_path, corruption=("clean",), split=("val", "test", "val")), "c")
    said = capsys.readouterr().out
    assert "split val of arabic_speech_commands: 15 clips\n" in said and "split test of" in said
    found = json.loads((tmp_path / "evaluation.json").read_text())
    right = np.concatenate([model.logits(part.waves).argmax(-1) == part.labels for part in parts])
    (cell,) = found["cells"]
    assert (found["split"], cell["n"], cell["accuracy"]) == ("val,test", 45, right.mean())
    assert " on arabic_speech_commands (val, test)\n" in (tmp_path / "report.md").read_text()


def test_a_clip_of_two_splits_counts_once():
    def loaded(*ids):
        waves = np.stack([np.full(4, ord(name), np.float32) for name in ids])
        labels, lengths = np.arange(len(ids), dtype=np.int32), np.full(len(ids), 4, np.int32)
        return targets.Loaded(None, Clips(ids, waves, labels, lengths, ("x", "y"), 8, (f"note {ids[0]}",)), 4)

    whole = subsets.together([loaded("a", "b"), loaded("b", "c")]).clips
    assert (whole.ids, whole.labels.tolist(), whole.notices) == (("a", "b", "c"), [0, 1, 1], ("note a", "note b"))
    assert whole.waves[:, 0].tolist() == [97, 98, 99] and len(whole.lengths) == 3


@pytest.mark.slow
def test_a_bank_is_made_of_the_clips_and_stays_with_the_weights(place, tmp_path, monkeypatch):
    """Advice asks it from then on; an adapted model, whose weights are others, is saved without it."""
    monkeypatch.setattr(own_sounds, "FEWEST", 30)
    monkeypatch.setattr(own_sounds, "KINDS", ("white",))
    tiny.make_checkpoint(tmp_path / "checkpoint")
    assert load(tmp_path / "checkpoint").bank is None
    run = a_run(place, tmp_path / "out", bank=True, checkpoint=str(tmp_path / "checkpoint"), corruption=("clean",))
    evaluate(run, "c")
    model = load(tmp_path / "checkpoint")
    assert len(model.bank.running.means) == 15 and (tmp_path / "checkpoint" / "bank.npz").stat().st_size < 50_000
    model.save(tmp_path / "copy")
    assert load(tmp_path / "copy").bank.scrambled == model.bank.scrambled
    waves = np.random.default_rng(0).uniform(-1, 1, (30, model.config.length)).astype(np.float32)
    adapted = model.adapt(waves, "norm", rate=model.config.sample_rate, epochs=1)
    told = adapted.adapted.advice
    assert told.signs.far.running > -0.6 and "has no bank" not in told.sentence() and adapted.bank is None
    assert (
        "Adapted weights have no bank" in adapted.adapt(waves, "norm", rate=16_000, epochs=1).adapted.advice.sentence()
    )
    adapted.save(tmp_path / "adapted")
    assert not (tmp_path / "adapted" / "bank.npz").exists()


def test_too_few_clips_for_a_bank_are_said_before_the_pass(place, tmp_path, capsys):
    """Before, the pass was announced, and the sentence came after it."""
    with pytest.raises(BadInput, match="--bank: 30 clips of split test make none, it takes 200 labelled clips"):
        evaluate(a_run(place, tmp_path / "out", bank=True), "c")
    assert "work:" not in capsys.readouterr().err
    assert str(own_sounds.FEWEST) in EvaluateRun.__dataclass_fields__["bank"].metadata["flag"].help


def test_a_place_is_called_by_its_last_name_and_any_file_name_is_written(place, tmp_path):
    """Before, the path was part of folders and of the report's links, and a byte of a name ended it after the work."""
    for name in (*tiny.CLASSES, "noises"):
        (tmp_path / "data" / name).mkdir(parents=True)
        wave = os.path.join(os.fsencode(tmp_path / "data" / name), b"caf\xe9.wav")
        soundfile.write(tmp_path / "x.wav", tiny.tone(1, 1), tiny.RATE)
        os.rename(tmp_path / "x.wav", wave)
    (tmp_path / "data" / "noises").rename(tmp_path / "noises")
    (tmp_path / "data").rename(tmp_path / "test")
    (tmp_path / "sounds").mkdir()
    (tmp_path / "test").rename(tmp_path / "sounds" / "test")
    corruption = (f"ENU:{tmp_path / 'noises'}",)
    run = a_run(place, tmp_path / "out", dataset="folder", data_dir=str(tmp_path / "sounds"), corruption=corruption)
    evaluate(run, "c")
    assert sorted(path.name for path in (tmp_path / "out").iterdir() if path.is_dir()) == ["ENU.noises-L2"]
    assert table(tmp_path / "out" / "ENU.noises-L2" / "clips.csv")[1][0].endswith("/caf\\xe9.wav")
    text = (tmp_path / "out" / "report.md").read_text()
    assert "](ENU.noises-L2/confusion.png)" in text and str(tmp_path / "noises") not in text


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dataset": "nonsense"}, "unknown data set 'nonsense'"),
        (
            {"dataset": "synthetic", "data_dir": None},
            r"checkpoint: knows 15 classes \(.*\), but synthetic has 14 \(.*\), none of them the same; expected a "
            "checkpoint of these classes: give another --checkpoint, or train one with experiments.train "
            "--dataset=synthetic$",
        ),
        ({"split": ("test", "nonsense")}, "nonsense"),
        ({"split": ()}, "^--split: names no split, expected some of train, val, test$"),
        ({"corruption": ("ENQ",)}, "noise_dir"),
        ({"corruption": ("WHAT",)}, "WHAT"),
        ({"checkpoint": "nowhere"}, "nowhere"),
        ({"subset": "nowhere.txt", "data_dir": "nowhere"}, "^--subset=nowhere.txt: no such file, expected one with a"),
        ({"batch_size": 0}, "^--batch_size=0: expected at least 1$"),
        (
            {"bank": True, "checkpoint": None, "model": "words15"},
            "^--bank: words15 comes with the package and has one, ",
        ),
        (
            {"bank": True, "split": ("test", "train")},
            "^--bank: --split=test,train has clips that are trained on, it takes 200 labelled clips that it was not tr",
        ),
        (
            {"bank": True},
            "^--bank: 30 clips of split test make none, it takes 200 labelled clips that it was not trained",
        ),
    ],
)
def test_bad_input_is_said_before_the_work(place, tmp_path, changes, message):
    with pytest.raises(BadInput, match=message):
        evaluate(a_run(place, tmp_path / "out", **changes), "c")
    assert not (tmp_path / "out" / "report.md").exists()
