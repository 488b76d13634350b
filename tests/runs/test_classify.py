"""experiments.classify on a folder of tones: files, resuming, interruption, advice."""

import csv
import dataclasses
import json
import signal
import sys
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import soundfile

from dhauds_jax import names
from dhauds_jax.data import recordings
from dhauds_jax.files import write_csv
from dhauds_jax.model import Model, adapting, record
from dhauds_jax.model.adapting import Request
from dhauds_jax.nets import checkpoint as checkpoints
from dhauds_jax.nets import zoo
from dhauds_jax.runs import classify as runs_classify
from dhauds_jax.runs import truth
from dhauds_jax.runs.classify import ClassifyRun, classify
from dhauds_jax.tta import methods, protocols
from dhauds_jax.types import AdaptState
from dhauds_jax.workdir.saver import Saver
from tests.runs import tiny
from tests.tta.tiny import tiny_classifier


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("classify")
    (folder / "audio" / "more").mkdir(parents=True)
    for take in range(9):
        samples = 4000 + 9000 * (take % 3)
        name = "more/" * (take % 2) + f"{take}.wav"
        soundfile.write(folder / "audio" / name, tiny.tone(take, take, samples), tiny.RATE, subtype="PCM_16")
    (folder / "audio" / "broken.wav").write_bytes(b"RIFF")
    tiny.make_checkpoint(folder / "checkpoint")
    return folder


def a_run(place, output, **changes):
    run = ClassifyRun(
        checkpoint=str(place / "checkpoint"),
        audio_dir=str(place / "audio"),
        method="tent",
        online=False,
        output=str(output),
        epochs=3,
        batch_size=4,
        overlap=0.0,
        profile="corrected",
        options=[],
        criterion="information",
        seed=0,
        on_bad_file="skip",
        save_every_s=0.0,
    )
    return run.replace(**changes)


def rows(folder):
    with (folder / "predictions.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_every_readable_file_gets_a_label_and_the_adapted_model_is_written(place, tmp_path, capsys):
    said = classify(a_run(place, tmp_path), "the command")
    assert said.startswith("9 files labelled: ")
    found = rows(tmp_path)
    assert [row["file"] for row in found] == sorted(f"{'more/' * (t % 2)}{t}.wav" for t in range(9))
    assert list(found[0])[:5] == ["file", "label", "confidence", "label_before", "confidence_before"]
    assert list(found[0])[5:] == ["label_2", "confidence_2", "label_3", "confidence_3", "seconds", "silent"]
    variables, config, extra = checkpoints.load(tmp_path / "checkpoint")
    assert all(row["label"] in config.classes and 0 < float(row["confidence"]) <= 1 for row in found)
    assert extra["adaptation"]["command"] == "the command"
    source = checkpoints.load(place / "checkpoint")[0]
    report = (tmp_path / "report.md").read_text()
    assert "9 recordings" in report
    assert "`broken.wav`: truncated" in report
    few = "9 files, and below 30 these signs mean little."
    assert f"**Too few to say: {few}**" in report
    stored = json.loads((tmp_path / "run.json").read_text())
    assert (stored["verdict"], stored["reason"], stored["finished"]) == ("too few to say", few, True)
    kept = "epoch 0 of 3" in report
    equal = all(np.array_equal(a, b) for a, b in zip(*map(jax.tree.leaves, (variables, source)), strict=True))
    assert kept == equal
    out = capsys.readouterr().out
    assert "note: 1 file skipped, the first: broken.wav" in out and f"\nToo few to say: {few}\n" in out
    assert not (tmp_path / "state").exists()


@pytest.mark.slow
@pytest.mark.parametrize("online", [False, True], ids=["offline", "online"])
def test_an_interrupted_run_writes_what_there_is_and_goes_on_to_the_same_labels(
    place, tmp_path, monkeypatch, capsys, online
):
    classify(a_run(place, tmp_path / "whole", online=online), "c")
    name = "online" if online else "offline"
    original = getattr(protocols, name)

    def stops(*args, **kwargs):
        for item in original(*args, **kwargs):
            yield item
            if item.index == 1:
                signal.raise_signal(signal.SIGINT)  # while the next step has the state's buffers

    with monkeypatch.context() as patched:
        patched.setattr(adapting.protocols, name, stops)
        with pytest.raises(KeyboardInterrupt):
            classify(a_run(place, tmp_path / "cut", online=online), "c")
    assert len(rows(tmp_path / "cut")) == 9
    assert "stopped before its end" in (tmp_path / "cut" / "report.md").read_text()
    capsys.readouterr()
    classify(a_run(place, tmp_path / "cut", online=online), "c")
    # Before, it said all of the work again.
    left = ("21 windows, one pass; the other 12 are done", "33 windows, 2 epochs over them; the other 1 is done")
    assert f"work: {left[not online]}\n" in capsys.readouterr().err
    assert rows(tmp_path / "cut") == rows(tmp_path / "whole")
    left, right = (checkpoints.load(tmp_path / n / "checkpoint")[0] for n in ("cut", "whole"))
    assert all(np.array_equal(a, b) for a, b in zip(jax.tree.leaves(left), jax.tree.leaves(right), strict=True))


@pytest.mark.slow
def test_the_source_method_changes_no_label(place, tmp_path, monkeypatch):
    """And predicts the files once; any other method twice, before and after it. Before, that was done for advice and
    again for what is written."""
    made, original = [], record.predictions
    monkeypatch.setattr(record, "predictions", lambda *given: made.append(1) or original(*given))
    classify(a_run(place, tmp_path, method="source", epochs=1), "c")
    assert all(row["label"] == row["label_before"] for row in rows(tmp_path)) and len(made) == 1
    classify(a_run(place, tmp_path / "norm", method="norm", epochs=1), "c")
    assert len(made) == 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"audio_dir": "nowhere"}, "no such folder"),
        ({"method": "nonsense"}, "unknown method 'nonsense'"),
        ({"criterion": "luck"}, "--criterion: unknown criterion 'luck': expected "),
        ({"criterion": "agreement"}, "--criterion: unknown criterion 'agreement': expected "),
        ({"criterion": "json:__doc__"}, "criterion 'json:__doc__' is a str, expected a function of logits"),
        ({"criterion": "nowhere:f"}, "criterion 'nowhere:f': there is no module 'nowhere'"),
        ({"options": ["k=1"]}, "method tent has no option 'k'"),
        ({"epochs": 0}, "--epochs=0: expected at least 1"),
        ({"overlap": 1.5}, "^--overlap=1.5: expected a finite number of at least 0 and below 1$"),
        ({"on_bad_file": "drop"}, "^--on_bad_file=drop: expected stop or skip$"),
        ({"options": ["lr=-1"]}, "^--options: method tent: option lr=-1.0: expected a finite number of at least 0$"),
        ({"method": "norm", "options": ["alpha=2"], "audio_dir": "nowhere"}, "^norm: alpha is 2.0, expected a share"),
        ({"checkpoint": "nowhere"}, "nowhere"),
    ],
)
def test_bad_input_ends_in_one_sentence(place, tmp_path, changes, message):
    with pytest.raises(ValueError, match=message) as error:
        classify(a_run(place, tmp_path / "out", **changes), "c")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "out").exists()


def nothing_written(folder):
    return not list(folder.glob("*.*")) and not (folder / "checkpoint").exists()


@pytest.mark.slow
def test_an_update_that_overflows_writes_no_label_and_no_checkpoint(place, tmp_path):
    """One update: its loss is finite, the predictions after it are not."""
    run = a_run(place, tmp_path / "out", epochs=1, batch_size=100, options=["lr=3e38"])
    message = r"predictions are not finite after epoch 1 of 1; lower the learning rate \(--options=lr=\.\.\.\)"
    with pytest.raises(FloatingPointError, match=message):
        classify(run, "c")
    assert nothing_written(tmp_path / "out")


@pytest.mark.slow
def test_a_stream_whose_last_update_overflows_writes_no_label_and_no_checkpoint(place, tmp_path, monkeypatch):
    """No prediction shows it: they were made before."""

    def overflows(run, state, *args, **kwargs):
        broken = state._replace(variables=jax.tree.map(lambda leaf: leaf + np.float32(np.inf), state.variables))
        yield protocols.StreamStep(0, broken, np.arange(33), np.zeros((33, 15), np.float32), {})

    monkeypatch.setattr(adapting.protocols, "online", overflows)
    with pytest.raises(FloatingPointError, match=r"the adapted weights \['batch_stats'\].* are not finite; lower the"):
        classify(a_run(place, tmp_path / "out", batch_size=100, online=True), "c")
    assert nothing_written(tmp_path / "out")


def test_ctrl_c_in_a_stream_ends_it_after_the_step(place, tmp_path, monkeypatch):
    """Before, what came while a step was under way ended in "Array has been deleted"."""

    def online(run, state, *args, **kwargs):
        for index in range(4):
            after = state._replace(step=state.step + index + 1)
            if index == 1:
                signal.raise_signal(signal.SIGINT)
            rows = np.arange(2 * index, 2 * index + 2)
            yield protocols.StreamStep(index, after, rows, np.full((2, 3), index, np.float32), {})

    monkeypatch.setattr(adapting.protocols, "online", online)
    first, before = AdaptState({}, (), (), jnp.int32(0)), np.full((8, 3), 9, np.float32)
    how, saver = Request("tent", {}, online=True), Saver(tmp_path / "state", 1e9)
    outcome = adapting._stream(how, None, first, np.zeros((8, 4), np.float32), 2, before, saver, True)
    assert (outcome.interrupted, outcome.position, int(outcome.state.step)) == (True, 2, 2)
    assert outcome.logits[:, 0].tolist() == [0, 0, 1, 1, 9, 9, 9, 9]


def test_an_epoch_whose_criterion_is_no_number_is_never_chosen(place, tmp_path, monkeypatch):
    """Before, it was taken, or left the report without its numbers."""
    values = iter([np.nan, np.float32(0.25), np.inf, 0.125])
    monkeypatch.setitem(sys.modules, "my_values", SimpleNamespace(criterion=lambda logits: next(values)))

    def offline(run, state, *args, **kwargs):
        for index in range(4):
            after, logits = state._replace(step=jnp.int32(index)), np.full((2, 3), index, np.float32)
            yield SimpleNamespace(index=index, state=after, logits=logits, losses={})

    monkeypatch.setattr(adapting.protocols, "offline", offline)
    first, before = AdaptState({}, (), (), jnp.int32(0)), np.zeros((2, 3), np.float32)
    how, saver = Request("tent", {}, epochs=3, criterion="my_values:criterion"), Saver(tmp_path / "state", 0.0)
    outcome = adapting._epochs(how, None, first, None, np.zeros((2, 4), np.float32), 2, before, saver, True)
    assert [point["criterion"] for point in outcome.curve] == [None, 0.25, None, 0.125]
    assert (outcome.position, int(outcome.state.step), outcome.logits[0, 0]) == (1, 1, 1.0)


def test_other_samples_or_another_method_file_are_another_run(place, tmp_path, monkeypatch):
    """Before, a folder whose recordings had changed under their names went on with the older ones' state."""
    config = zoo.preset("amaut_tiny", tiny.CLASSES)
    model = Model(zoo.build(config), {}, config)
    found = recordings.of_waves([np.zeros(8, np.float32)] * 2, sample_rate=16000, length=8)
    run = a_run(place, tmp_path, method="own_method:make")
    (tmp_path / "own_method.py").write_text("make = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    louder = recordings.of_waves([np.ones(8, np.float32)] * 2, sample_rate=16000, length=8)
    names = [runs_classify.identity(runs_classify.settings_of(run, model), found) for _ in range(2)]
    names.append(runs_classify.identity(runs_classify.settings_of(run, model), louder))
    hop = config.replace(front_end={**config.front_end, "hop": 200})
    names.append(runs_classify.identity(runs_classify.settings_of(run, dataclasses.replace(model, config=hop)), found))
    (tmp_path / "own_method.py").write_text("make = 2\n")
    names.append(runs_classify.identity(runs_classify.settings_of(run, model), found))
    assert names[0] == names[1] and len(set(names)) == 4
    assert all(len(name) == 16 for name in names)


def table(path):
    with path.open(newline="") as file:
        return list(csv.reader(file))


def test_labels_over_time_all_probabilities_and_the_truth_are_written(place, tmp_path, capsys):
    known = [f"{'more/' * (t % 2)}{t}.wav" for t in range(8)]
    named = [*known, "broken.wav", "gone.wav"]  # these two were passed over in silence
    (tmp_path / "truth.csv").write_text("file,label\n" + "".join(f"{name},{tiny.CLASSES[0]}\n" for name in named))
    run = a_run(place, tmp_path / "out", method="source", overlap=0.5, truth=str(tmp_path / "truth.csv"))
    classify(run, "c")
    found, every = rows(tmp_path / "out"), table(tmp_path / "out" / "probabilities.csv")
    assert every[0] == ["file", *tiny.CLASSES]
    for row, (name, *shares) in zip(found, every[1:], strict=True):
        shares = np.array(shares, float)
        best = np.argsort(-shares, kind="stable")[:3]
        assert row["file"] == name and abs(shares.sum() - 1) < 1e-4
        assert [row["label"], row["label_2"], row["label_3"]] == [tiny.CLASSES[k] for k in best]
        assert abs(float(row["confidence_3"]) - shares[best[2]]) < 1e-4
        assert (row["seconds"], row["silent"]) == (f"{(4000 + 9000 * (int(name[-5]) % 3)) / tiny.RATE:.2f}", "no")
    right = sum(row["label"] == tiny.CLASSES[0] for row in found if row["file"] in known)
    said = f"{100 * right / 8:.1f} % before, {100 * right / 8:.1f} % after adaptation; 1 file without a truth"
    said += "; 2 files of the truth not labelled (the first: broken.wav)"
    assert f"accuracy against the truth of 8 files: {said}\n" in capsys.readouterr().out
    report = (tmp_path / "out" / "report.md").read_text()
    assert "\n\n- note: 1 file skipped, the first: broken.wav: " in report, "a line of its own where it is rendered"
    confusion = table(tmp_path / "out" / "confusion.csv")
    assert confusion[0] == ["truth", *tiny.CLASSES] and int(confusion[1][1]) == right
    assert sum(map(int, confusion[1][1:])) == 8 and not any(map(int, confusion[2][1:]))
    segments = table(tmp_path / "out" / "segments.csv")
    assert segments[0] == ["file", "start_s", "end_s", "label", "confidence"]
    ends = {row[0]: row[2] for row in segments[1:]}  # the last of each
    assert ends == {row["file"]: f"{(4000 + 9000 * (int(row['file'][-5]) % 3)) / tiny.RATE:.3f}" for row in found}
    tracks = {path.relative_to(tmp_path / "out" / "audacity").as_posix() for path in
              (tmp_path / "out" / "audacity").rglob("*.txt")}  # fmt: skip
    assert tracks == {f"{row['file']}.txt" for row in found if float(row["seconds"]) > 0.3}
    track = [line.split("\t") for line in (tmp_path / "out" / "audacity" / "2.wav.txt").read_text().splitlines()]
    assert track == [row[1:4] for row in segments[1:] if row[0] == "2.wav"]


def test_the_labels_of_a_run_are_read_as_a_truth_whatever_files_are_called(tmp_path):
    """Before, "'=a.wav", as a spreadsheet gets "=a.wav", was no file; a name of two lines made two of a sentence."""
    files = ("=a.wav", "-b.wav", "it's.wav", "c\nd.wav")
    write_csv(tmp_path / "labels.csv", [("file", "label"), *((name, "+x") for name in files)])
    assert "'=a.wav,'+x\n" in (tmp_path / "labels.csv").read_text()
    known = truth.read(str(tmp_path / "labels.csv"), ["+x", "y"])
    assert known.labels == dict.fromkeys(("=a.wav", "-b.wav", "it's.wav", "c\\x0ad.wav"), "+x")
    (tmp_path / "own.csv").write_text('file,label\n"c\nd.wav",y\n')
    assert truth.read(str(tmp_path / "own.csv"), ["y"]).labels == {"c\\x0ad.wav": "y"}


def test_an_output_belongs_to_one_run(place, tmp_path):
    """Before, the labels of another method were overwritten without a word."""
    run = a_run(place, tmp_path / "out", method="source")
    classify(run, "the first command")
    before = (tmp_path / "out" / "predictions.csv").read_bytes()
    classify(run, "the same again")
    assert (tmp_path / "out" / "predictions.csv").read_bytes() == before
    with pytest.raises(
        ValueError, match=r"holds the labels of another run \(the same again\); give another folder, or"
    ):
        classify(run.replace(method="norm"), "c")
    with pytest.raises(ValueError, match="holds the labels of another run"):
        classify(run.replace(audio_dir=str(place / "audio" / "more")), "c")
    classify(run.replace(audio_dir=str(place / "audio" / "more"), overwrite=True), "another")
    assert len(rows(tmp_path / "out")) == 4


def test_a_run_that_is_killed_while_it_writes_goes_on_and_leaves_nothing_of_others(place, tmp_path, monkeypatch):
    """Before, its own labels without a name kept the same command out, and a new run's stood beside an older one's."""
    (tmp_path / "truth.csv").write_text(f"file,label\n0.wav,{tiny.CLASSES[0]}\n")
    run = a_run(place, tmp_path / "out", method="source")
    classify(run.replace(overlap=0.5, truth=str(tmp_path / "truth.csv")), "c")
    assert (tmp_path / "out" / "confusion.csv").is_file()
    (tmp_path / "out" / "audacity" / "old.wav.txt").write_text("of a recording that is gone")
    with monkeypatch.context() as patched:
        patched.setattr(Model, "save", lambda *args: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        with pytest.raises(OSError, match="No space left"):
            classify(run.replace(overwrite=True), "c")
    assert (tmp_path / "out" / "predictions.csv").is_file()
    classify(run, "c")
    left = {path.name for path in (tmp_path / "out").iterdir()}
    assert left == {"predictions.csv", "probabilities.csv", "segments.csv", "audacity", "checkpoint", "report.md",
                    "run.json", "run.lock"} & left  # fmt: skip
    assert not (tmp_path / "out" / "audacity" / "old.wav.txt").exists()


def test_what_a_method_lacks_and_whose_labels_there_are_is_said_before_files_are_read(place, tmp_path, monkeypatch):
    classify(a_run(place, tmp_path / "out", method="source"), "first")
    monkeypatch.setattr(runs_classify.recordings, "load", lambda *args, **options: pytest.fail("was read"))
    with pytest.raises(ValueError, match=r"holds the labels of another run \(first\)"):
        classify(a_run(place, tmp_path / "out", method="norm"), "c")
    with pytest.raises(ValueError, match="auxiliary"):
        classify(a_run(place, tmp_path / "new", method="ttt"), "c")
    with pytest.raises(ValueError, match="source"):
        classify(a_run(place, tmp_path / "new", method="eata"), "c")


def test_a_long_file_name_has_a_label_track(place, tmp_path):
    (tmp_path / "audio").mkdir()
    name = f"{'x' * 240}.wav"
    soundfile.write(tmp_path / "audio" / name, tiny.tone(2, 2, 9000), tiny.RATE)
    classify(a_run(place, tmp_path / "out", method="source", audio_dir=str(tmp_path / "audio")), "c")
    (track,) = (tmp_path / "out" / "audacity").iterdir()
    assert track.name.startswith("x" * 40 + "-") and rows(tmp_path / "out")[0]["file"] == name


def test_a_folder_is_no_model_of_the_box_and_goes_before_it_as_a_checkpoint(tmp_path, monkeypatch):
    (tmp_path / "words15").mkdir()
    monkeypatch.chdir(tmp_path)
    assert runs_classify.model_of(None, "words15")[0].config.net == "amaut_arabic15"
    with pytest.raises(ValueError, match=r"words15: has no config\.json"):
        runs_classify.model_of("words15", None)
    (tmp_path / "words15").rmdir()
    assert runs_classify.model_of("words15", None)[0].config.net == "amaut_arabic15"


def test_a_single_recording_is_labelled(place, tmp_path):
    assert classify(a_run(place, tmp_path, method="source", audio_dir=str(place / "audio" / "2.wav")), "c").startswith(
        "1 file labelled: "
    )
    (row,) = rows(tmp_path)
    assert row["file"] == "2.wav" and row["seconds"] == "1.38"
    assert json.loads((tmp_path / "run.json").read_text())["verdict"] == "too few to say"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,label\na.wav,x\n", r"columns \['name', 'label'\], expected file and label"),
        ("file,label\n0.wav,nonsense\n", "0.wav is 'nonsense', which is no class of the model; expected one of"),
        (f"file,label\n0.wav,{tiny.CLASSES[0]}\n0.wav,{tiny.CLASSES[1]}\n", "0.wav is both"),
        (f"file,label\nz.wav,{tiny.CLASSES[0]}\n", "names none of the recordings, expected names such as '0.wav'"),
    ],
)
def test_a_wrong_truth_is_said_before_anything_is_written(place, tmp_path, text, message):
    (tmp_path / "truth.csv").write_text(text)
    run = a_run(place, tmp_path / "out", method="source", truth=str(tmp_path / "truth.csv"))
    with pytest.raises(ValueError, match=message):
        classify(run, "c")
    assert nothing_written(tmp_path / "out")


@pytest.mark.slow
@pytest.mark.parametrize("method", names.METHODS)
def test_every_method_labels_a_folder_or_says_what_it_lacks(place, tmp_path, method):
    """Before, shot and gala ended in a TypeError after all their work."""
    run = a_run(place, tmp_path / "out", method=method, epochs=1)
    built = methods.make(method, tiny_classifier("batch_norm"), methods.default_options(method, "corrected"))
    lacks = [said for need, said in (("source_data", "source"), ("aux_head", "auxiliary")) if need in built.needs]
    if lacks:
        with pytest.raises(ValueError, match=lacks[0]):
            classify(run, "c")
        assert nothing_written(tmp_path / "out")
        return
    assert classify(run, "c").startswith("9 files labelled: ")
    assert len(rows(tmp_path / "out")) == 9


@pytest.mark.slow
def test_a_method_that_learns_from_no_file_is_said(place, tmp_path, capsys):
    classify(a_run(place, tmp_path / "new", method="pseudo_label", options=["threshold=1.0"], epochs=1), "c")
    assert "note: pseudo_label: 100 % of the updates kept no clip; expected some" in capsys.readouterr().out


@pytest.mark.slow
def test_it_is_said_when_no_update_was_kept(place, tmp_path, monkeypatch, capsys):
    """Before, labels were those of the model as it was, and only the report's "epoch 0" told why."""
    (tmp_path / "my_falling.py").write_text("values = iter([3, 2, 1])\ndef value(logits):\n    return next(values)\n")
    monkeypatch.syspath_prepend(tmp_path)
    classify(a_run(place, tmp_path / "out", criterion="my_falling:value", epochs=2), "c")
    said = "note: tent: no epoch was better than none by my_falling:value, so no update was kept\n"
    assert said in capsys.readouterr().out


def test_one_window_is_too_little_to_adapt_to(place, tmp_path):
    (tmp_path / "audio").mkdir()
    soundfile.write(tmp_path / "audio" / "a.wav", tiny.tone(0, 0), tiny.RATE)
    with pytest.raises(
        ValueError, match="one window of audio, expected at least two to adapt to; give --method=source"
    ):
        classify(a_run(place, tmp_path / "out", audio_dir=str(tmp_path / "audio")), "c")
