"""experiments.adapt end to end on a tiny set: records, resuming, skipping, and bad input."""

import json

import jax
import numpy as np
import pytest

from dhauds_jax.cells import loops, running, source, targets
from dhauds_jax.cells.cell import Cell, cell_id
from dhauds_jax.cells.request import AdaptRun
from dhauds_jax.cells.scoring import scored
from dhauds_jax.errors import BadInput
from dhauds_jax.nets import checkpoint
from dhauds_jax.runs.adapt import adapt
from dhauds_jax.runs.report import write_report
from dhauds_jax.tta import protocols
from dhauds_jax.tta.options import _texts_for, parse_options
from dhauds_jax.workdir import records
from tests.runs import tiny


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("adapt")
    tiny.make_arabic(folder / "data")
    tiny.make_noises(folder / "noise")
    tiny.make_checkpoint(folder / "checkpoint")
    return folder


def a_run(place, workdir, **changes):
    run = AdaptRun(
        dataset="arabic_speech_commands",
        data_dir=str(place / "data"),
        noise_dir=str(place / "noise"),
        net=None,
        checkpoint=str(place / "checkpoint"),
        method=["source", "norm"],
        corruption=["WHN"],
        level=["L2"],
        protocol=["offline", "online"],
        profile="reference",
        seed=1,
        epochs=3,
        batch_size=8,
        options=[],
        criterion="information",
        split="test",
        workdir=str(workdir),
        save_every_s=0.0,
        allow_partial=False,
        draw="single",
    )
    return run.replace(**changes)


def without_cost(record):
    return {k: v for k, v in record.items() if k not in ("seconds", "peak_memory_mb", "command")}


@pytest.mark.slow
def test_records_are_whole_true_and_repeat(place, tmp_path, capsys):
    said = adapt(a_run(place, tmp_path / "a"), "the command")
    assert "work: 4 cells of 15 clips, 16 passes over them in all" in capsys.readouterr().err
    assert said == f"4 records written: {tmp_path / 'a' / 'results.jsonl'}"
    found = records.read(tmp_path / "a")
    assert [(r["protocol"], r["method"]) for r in found] == [
        ("offline", "source"),
        ("offline", "norm"),
        ("online", "source"),
        ("online", "norm"),
    ]
    for r in found:
        assert set(records.KEYS) <= set(r)
        assert (r["n"], r["metric"], r["seed"], r["command"]) == (15, "accuracy", 1, "the command")
        assert len(r["source_checkpoint"]) == 64
        assert r["curve"][0]["metric"] == r["non_adapted"] or r["method"] == "norm"
        assert r["adapted_oracle"] == max(p["metric"] for p in r["curve"])
        assert r["adapted_last"] == r["curve"][-1]["metric"]
        assert r["curve"][r["selection"]["epoch"]]["metric"] == r["adapted_selected"]
    source_offline, norm_offline, source_online, norm_online = found
    assert source_offline["adapted_last"] == source_offline["non_adapted"] == source_online["adapted_last"]
    assert len(norm_offline["curve"]) == 4
    assert len(norm_online["curve"]) == 2
    assert norm_offline["passes"] == {"forward": 3, "backward": 0, "evaluation": 4}
    adapt(a_run(place, tmp_path / "b"), "another command")
    assert [without_cost(r) for r in records.read(tmp_path / "b")] == [without_cost(r) for r in found]
    text = adapt(a_run(place, tmp_path / "a"), "again")
    assert "0 records written, 4 were there already" in text
    report = write_report([str(tmp_path / "a")])
    assert report.startswith("4 records reported")
    written = (tmp_path / "a" / "report" / "report.md").read_text()
    assert f"{100 * norm_offline['adapted_last']:.1f}" in written
    for figure in ("gain-1.png", "curves-1.png", "spectrograms.png"):
        assert (tmp_path / "a" / "report" / figure).stat().st_size > 10_000


@pytest.mark.slow
def test_a_finished_run_corrupts_nothing_and_one_of_another_format_is_run_again(place, tmp_path, monkeypatch):
    run = a_run(place, tmp_path, method=["source"], protocol=["online"])
    adapt(run, "c")

    def corrupts(*args, **kwargs):
        raise AssertionError("a finished cell needs no samples")

    with monkeypatch.context() as patched:
        patched.setattr(targets, "corrupt", corrupts)
        assert adapt(run, "c") == f"0 records written, 1 was there already: {tmp_path / 'results.jsonl'}"
        with pytest.raises(AssertionError, match="needs no samples"):
            adapt(run.replace(batch_size=7), "c")
    (record,) = records.read(tmp_path)
    assert record.pop("format") == records.FORMAT
    (tmp_path / "results.jsonl").write_text(json.dumps(record) + "\n")
    said = adapt(run, "c")
    assert said.startswith("1 record written, 1 of another format than 2 set aside (in reports, but run again): ")
    assert [r.get("format") for r in records.read(tmp_path)] == [None, records.FORMAT]
    first, again = (without_cost(r) for r in records.read(tmp_path))
    assert {**first, "format": records.FORMAT} == again


@pytest.mark.slow
def test_other_data_under_the_same_names_is_another_cell(place, tmp_path):
    """Before, a folder whose files had changed gave the record of the older ones."""
    data = tiny.make_arabic(tmp_path / "data")
    run = a_run(place, tmp_path / "out", data_dir=str(data), method=["source"], protocol=["online"])
    adapt(run, "c")
    path = data / "dataset" / "up" / "test_0.wav"
    path.write_bytes((data / "dataset" / "down" / "test_0.wav").read_bytes())
    assert adapt(run, "c").startswith("1 record written: ")
    (data / "dataset" / "up" / "train_0.wav").write_bytes(path.read_bytes())  # of no split that the run looks at
    assert adapt(run, "c").startswith("0 records written, 1 was there already")
    before, after = records.read(tmp_path / "out")
    assert before["options"] == after["options"] and before["content"] != after["content"]


@pytest.mark.slow
def test_source_clips_are_in_the_record_and_name_the_cell(place, tmp_path):
    run = a_run(place, tmp_path, method=["tent", "eata"], protocol=["online"], source_clips=10)
    adapt(run, "c")
    assert adapt(run.replace(source_clips=5), "c").startswith("1 record written, 1 was there already")
    told = [
        (r["method"], r["options"].get("source_clips"), "source_data" in r["content"]) for r in records.read(tmp_path)
    ]
    assert told == [("tent", None, False), ("eata", 10, True), ("eata", 5, True)]


class Killed(Exception):
    """Stands for SIGKILL at a chosen moment."""


@pytest.mark.slow
@pytest.mark.parametrize(("method", "protocol", "after"), [("norm", "offline", 2), ("norm", "online", 1)])
def test_a_killed_run_resumes_to_the_same_record(place, tmp_path, monkeypatch, method, protocol, after):
    changes = {"method": [method], "protocol": [protocol], "batch_size": 4}
    adapt(a_run(place, tmp_path / "whole", **changes), "c")
    original = getattr(protocols, protocol)
    sat = []

    def dies(*args, **kwargs):
        for item in original(*args, **kwargs):
            sat.append(item.index)
            yield item
            if item.index >= after:
                raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(loops.protocols, protocol, dies)
        with pytest.raises(Killed):
            adapt(a_run(place, tmp_path / "killed", **changes), "c")
    assert records.read(tmp_path / "killed") == []
    again = []

    def watched(*args, **kwargs):
        for item in original(*args, **kwargs):
            again.append(item.index)
            yield item

    with monkeypatch.context() as patched:
        patched.setattr(loops.protocols, protocol, watched)
        adapt(a_run(place, tmp_path / "killed", **changes), "c")
    assert again[0] == after + 1, "the finished part is not run again"
    whole, resumed = (records.read(tmp_path / name)[0] for name in ("whole", "killed"))
    assert without_cost(whole) == without_cost(resumed)
    assert not (tmp_path / "killed" / "state" / whole["cell"]).exists()


@pytest.mark.slow
def test_a_run_killed_at_its_record_keeps_its_last_state_until_the_record_is_there(
    place, tmp_path, monkeypatch, capsys
):
    """Before, the state was removed first, and the whole adaptation was lost."""
    run = a_run(place, tmp_path, method=["source"], corruption=["clean"], protocol=["offline"])

    def dies(*args, **kwargs):
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(records, "append", dies)
        with pytest.raises(Killed):
            adapt(run, "c")
    (state,) = (tmp_path / "state").iterdir()
    assert [step.name for step in state.iterdir()] == ["00000001"]
    assert "work: 1 cell of 15 clips, 4 passes over them in all " in capsys.readouterr().err
    with monkeypatch.context() as patched:
        patched.setattr(running.Saver, "clear", dies)
        with pytest.raises(Killed):
            adapt(run, "c")
    # Before, it said the four passes again; one is always left, since the record is.
    said = "work: 1 cell of 15 clips, 1 pass over them left (a backward pass counts as two); 1 of them goes on where"
    assert said in capsys.readouterr().err
    (record,) = records.read(tmp_path)
    assert (record["cell"], state.exists()) == (state.name, True)
    assert adapt(run, "c").startswith("0 records written, 1 was there already")
    assert not state.exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dataset": "speech"}, "unknown data set 'speech': expected "),
        ({"method": ["tnt"]}, "unknown method 'tnt': expected tent"),
        ({"corruption": ["RAIN"]}, r"unknown corruption 'RAIN': expected .* \(13 names: --list\)"),
        ({"level": ["L3"]}, "unknown level 'L3': expected L1 or L2"),
        ({"protocol": ["sometimes"]}, "unknown protocol 'sometimes': expected "),
        ({"profile": "faithful"}, "unknown profile 'faithful'"),
        ({"criterion": "luck"}, "unknown criterion 'luck': expected information, .*names: --list"),
        ({"options": ["lr=2"]}, "method source has no option 'lr'"),
        ({"options": ["tent.lr=2"]}, "'tent' in 'tent.lr=2' is not of this run"),
        ({"options": ["lr"]}, "'lr' has no value, expected key=value"),
        ({"data_dir": "nowhere"}, "--data_dir=nowhere: no such folder"),
        ({"data_dir": None}, "arabic_speech_commands needs --data_dir"),
        ({"checkpoint": "nowhere"}, "checkpoint .*nowhere: no such folder"),
        ({"net": "amaut_sc2"}, "--net=amaut_sc2: the checkpoint .* is of net amaut_tiny"),
        ({"corruption": ["ENQ"]}, "QUT-NOISE"),
        ({"split": "tset"}, "unknown split 'tset'"),
        ({"batch_size": 1}, r"^--batch_size=1: expected at least 2 \(batch statistics need two clips\)$"),
        ({"epochs": 0}, "^--epochs=0: expected at least 1$"),
        (
            {"method": ["tent"], "options": ["lr=-1"]},
            "^--options: method tent: option lr=-1.0: expected a finite number of at least 0$",
        ),
        (
            {"method": ["source", "tent"], "options": ["tent.b1=nan"]},
            "^--options: .* b1=nan: expected a finite number of at least 0 and below 1$",
        ),
        (
            {"method": ["memo"], "options": ["weight_decay=-0.1"]},
            "weight_decay=-0.1: expected a finite number of at least 0",
        ),
        (
            {"protocol": ["gradual"], "protocol_options": ["order=odd"]},
            "^--protocol_options: unknown order of protocol",
        ),
        ({"method": []}, "^--method is empty: expected at least one name$"),
        ({"corruption": []}, "^--corruption is empty: expected at least one name$"),
        ({"level": []}, "^--level is empty: expected at least one name$"),
        ({"protocol": []}, "^--protocol is empty: expected at least one name$"),
        ({"source_clips": 0}, "^--source_clips=0: expected at least 1$"),
        (
            {"corruption": ["clean"], "protocol": ["offline", "gradual"]},
            "^--protocol=gradual: its stream is of corruptions, but --corruption=clean names none$",
        ),
        ({"method": ["source", "ttt"]}, "^method ttt needs a network trained with an auxiliary head, and this one has"),
    ],
)
def test_bad_input_gets_one_sentence_and_nothing_is_written(place, tmp_path, changes, message):
    with pytest.raises(BadInput, match=message) as caught:
        adapt(a_run(place, tmp_path / "out", **changes), "c")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_the_split_is_looked_for_before_training_clips_are_read(place, tmp_path, monkeypatch):
    """Before, a method in need of source clips had read the training split when another one was found absent."""
    monkeypatch.setattr(source, "load_for", lambda *given: pytest.fail("it was read"))
    data = tiny.make_arabic(tmp_path / "data")
    (data / "val.csv").unlink()
    eata = {"method": ["eata"], "data_dir": str(data)}
    for split, said in (("tset", "unknown split 'tset'"), ("val", r"val\.csv")):
        with pytest.raises(BadInput, match=said):
            adapt(a_run(place, tmp_path / "out", split=split, **eata), "c")
    # So are the recordings that a corruption mixes in.
    for corruption, said in (("ENQ", "QUT-NOISE"), ("SCN:rain@10dB", "unknown level 'rain@10dB' of SCN")):
        with pytest.raises(BadInput, match=said):
            adapt(a_run(place, tmp_path / "out", corruption=["WHN", corruption], **eata), "c")


@pytest.mark.slow
def test_a_checkpoint_of_other_classes_is_refused(place, tmp_path):
    other = tiny.make_checkpoint(tmp_path / "other", ("yes", "no"))
    with pytest.raises(ValueError, match=r"knows 2 classes \(yes, no, ...\), but .* has 15 .*, none of"):
        adapt(a_run(place, tmp_path / "out", checkpoint=str(other)), "c")
    mixed = tiny.make_checkpoint(tmp_path / "mixed", tuple(reversed(tiny.CLASSES)))
    with pytest.raises(ValueError, match="in another order, so labels would be mixed up"):
        adapt(a_run(place, tmp_path / "out", checkpoint=str(mixed)), "c")


def test_absent_and_broken_files_are_named(place, tmp_path):
    data = tiny.make_arabic(tmp_path / "data")
    (data / "dataset" / "up" / "test_0.wav").unlink()
    (data / "dataset" / "zero" / "test_0.wav").unlink()
    run = a_run(place, tmp_path / "out", data_dir=str(data), corruption=["clean"], method=["source"])
    with pytest.raises(ValueError, match=r"names 15 files and 2 of them are absent \(the first: dataset/up/test_0.wav"):
        adapt(run, "c")
    (data / "dataset" / "down" / "test_0.wav").write_bytes(b"")
    with pytest.raises(ValueError, match=r"down/test_0.wav"):
        adapt(run.replace(allow_partial=True), "c")
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_allow_partial_goes_on_and_records_the_count(place, tmp_path):
    data = tiny.make_arabic(tmp_path / "data")
    (data / "dataset" / "up" / "test_0.wav").unlink()
    changes = {"corruption": ["clean"], "method": ["source"], "protocol": ["online"], "allow_partial": True}
    adapt(a_run(place, tmp_path / "out", data_dir=str(data), **changes), "c")
    (record,) = records.read(tmp_path / "out")
    assert record["n"] == 14
    assert "1 of them are absent" in record["notices"][0]


def test_options_reach_the_method_they_name():
    given = ["tent.lr=0.5", "norm.statistics=batch"]
    assert parse_options("tent", "reference", given, ["tent", "norm"])["lr"] == 0.5
    assert parse_options("norm", "reference", given, ["tent", "norm"])["statistics"] == "batch"


def test_options_of_ones_own_method_are_told_by_its_whole_name():
    """Before, the name was cut at its first dot and never found."""
    given, names = ["my.module:factory.lr=0.5", "tent.lr=0.25"], ["tent", "my.module:factory"]
    assert _texts_for("--options", "my.module:factory", given, names) == {"lr": "0.5"}
    assert _texts_for("--options", "tent", given, names) == {"lr": "0.25"}
    with pytest.raises(BadInput) as caught:
        _texts_for("--options", "tent", given, ["tent"])
    assert str(caught.value) == (
        "--options: 'my.module:factory' in 'my.module:factory.lr=0.5' is not of this run, expected one of tent"
    )


@pytest.mark.slow
def test_what_is_named_twice_runs_once(place, tmp_path):
    twice = {"method": ["source", "source"], "corruption": ["clean", "clean"], "protocol": ["online", "online"]}
    assert adapt(a_run(place, tmp_path, **twice), "c").startswith("1 record written: ")


def test_cells_expand_in_order():
    assert targets.expand(["PSH", "clean", "PSH:L2"], ["L2"]) == [("PSH", "L2"), ("clean", "-")]
    assert targets.expand(["clean", "PSH"], ["L1", "L2"]) == [("clean", "-"), ("PSH", "L1"), ("PSH", "L2")]
    assert len(targets.expand(["all"], ["L1", "L2"])) == 14


def test_a_cells_name_follows_from_every_field():
    cell = Cell("d", "WHN", "L1", "n", "tent", "offline", "reference", 0, (("lr", 0.1),), 2, 8, "information")
    names = {cell_id(cell, "h"), cell_id(cell, "g")}
    for field in ("dataset", "seed", "epochs", "options"):
        names.add(cell_id(cell._replace(**{field: "other"}), "h"))
    assert len(names) == 6
    assert json.dumps(sorted(names))


def test_the_online_record_scores_predictions_as_they_came(place):
    """Two points: unadapted and streamed; their metric is accuracy over all clips of the logits given."""
    labels = np.array([0, 1, 1, 0])
    logits = np.eye(2)[[0, 1, 0, 0]] * 4
    point = scored(1, logits, labels, "accuracy", {"total": 1.0})
    assert point["metric"] == 0.75
    assert point["top_share"] == 0.75
    assert point["losses"] == {"total": 1.0}


@pytest.mark.slow
def test_bad_files_stop_a_run_or_are_left_out_and_recorded(tmp_path):
    tiny.make_arabic(tmp_path / "data")
    tiny.make_checkpoint(tmp_path / "checkpoint")
    changes = {"method": ["source"], "corruption": ["clean", "WHN"], "protocol": ["online"]}
    whole, out = a_run(tmp_path, tmp_path / "whole", **changes), tmp_path / "out"
    adapt(whole, "c")
    (tmp_path / "data" / "dataset" / "up" / "test_0.wav").write_bytes(b"")
    with pytest.raises(ValueError, match=r"up/test_0\.wav: empty \(0 bytes\), expected a wav, flac, ogg or mp3 file"):
        adapt(whole.replace(workdir=str(out)), "c")
    assert not out.exists()
    adapt(whole.replace(workdir=str(out), on_bad_file="skip"), "c")
    reason = "empty (0 bytes), expected a wav, flac, ogg or mp3 file"
    assert (out / "bad_files.txt").read_text() == f"dataset/up/test_0.wav\t{reason}\n"
    before, after = records.read(tmp_path / "whole"), records.read(out)
    assert [(r["n"], r["skipped"]) for r in before + after] == [(15, 0), (15, 0), (14, 1), (14, 1)]
    assert [r["options"].get("skipped") for r in before + after] == [None, None, 1, 1]
    assert len({r["cell"] for r in before + after}) == 4, "other clips, other cells"
    assert after[0]["notices"] == [
        f"1 of 15 files are bad and were skipped (the first: dataset/up/test_0.wav: {reason})"
    ]
    for path in (tmp_path / "data" / "dataset").glob("*/test_0.wav"):
        path.write_text("text")
    with pytest.raises(ValueError, match="all 15 files of arabic_speech_commands test are bad"):
        adapt(whole.replace(workdir=str(tmp_path / "none"), on_bad_file="skip"), "c")


@pytest.mark.slow
def test_two_draws_and_a_set_read_from_disk(place, tmp_path):
    """Adapted to the draw of --seed; reported on that of --evaluation_seed, drawn in memory or read from a -C set."""
    from dhauds_jax.runs.corrupt import CorruptRun, write_set

    changes = {"method": ["norm"], "protocol": ["offline"], "epochs": 2, "draw": "two", "evaluation_seed": 5}
    adapt(a_run(place, tmp_path / "drawn", **changes), "c")
    (record,) = records.read(tmp_path / "drawn")
    assert [record["options"][k] for k in ("draw", "draw_seed", "evaluation_draw_seed")] == ["two", 1, 5]
    assert record["options"]["draw_checksum"] != record["options"]["evaluation_draw_checksum"]
    assert [record["adapted_last"], record["nll"]] == [record["curve"][-1]["evaluation"][k] for k in ("metric", "nll")]
    assert record["curve"][-1]["evaluation"]["nll"] != record["curve"][-1]["nll"]
    adapt(a_run(place, tmp_path / "single", **changes | {"draw": "single"}), "c")
    (single,) = records.read(tmp_path / "single")
    assert [p["nll"] for p in single["curve"]] == [p["nll"] for p in record["curve"]], "the same draw is adapted to"
    assert "evaluation" not in single["curve"][-1]

    data = {"dataset": "arabic_speech_commands", "data_dir": str(place / "data"), "noise_dir": None}
    cell = {"corruption": ["WHN"], "level": ["L2"], "output": str(tmp_path / "c"), "profile": "reference", "seed": 5}
    write_set(CorruptRun(**data, **cell, split="test", allow_partial=False))
    adapt(a_run(place, tmp_path / "read", **changes | {"corrupted_dir": str(tmp_path / "c")}), "c")
    (read,) = records.read(tmp_path / "read")
    assert read["options"]["evaluation_draw_seed"] == "read"
    assert read["options"]["evaluation_draw_checksum"].startswith("samples:")
    # The files are of the set's length, a second, and the tiny network hears a quarter of it: other samples of the same
    # draw, so the numbers are near and not equal.
    assert read["nll"] == pytest.approx(record["nll"], rel=0.03)
    assert read["nll"] != record["nll"]


def test_a_domain_reset_needs_several_domains(place, tmp_path):
    with pytest.raises(ValueError, match="reset=domain, but protocol online has one domain"):
        adapt(a_run(place, tmp_path / "x", protocol=["online"], protocol_options=["reset=domain"]), "c")
    with pytest.raises(ValueError, match="--draw=three: expected two or single"):
        adapt(a_run(place, tmp_path / "x", draw="three"), "c")
    assert not (tmp_path / "x").exists()


@pytest.mark.slow
def test_streams_over_several_corruptions_report_each(place, tmp_path):
    changes = {"method": ["tent"], "corruption": ["WHN", "PSH"], "protocol": ["continual", "mixed", "forgetting"]}
    adapt(a_run(place, tmp_path, **changes), "c")
    continual, mixed, forgetting = records.read(tmp_path)
    assert {r["corruption"] for r in (continual, mixed, forgetting)} == {"WHN+PSH"}
    assert (continual["n"], mixed["n"], forgetting["n"]) == (30, 15, 30)
    assert [(d["corruption"], d["n"]) for d in continual["domains"]] == [("WHN", 15), ("PSH", 15)]
    assert sum(d["n"] for d in mixed["domains"]) == 15
    mean = np.mean([d["metric"] for d in continual["domains"]])
    assert continual["adapted_last"] == pytest.approx(mean)
    assert all(0 <= d["clean"] <= 1 for d in forgetting["domains"])
    assert "clean" not in continual["domains"][0]
    assert len({r["stream_checksum"] for r in (continual, mixed)}) == 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"protocol": ["offline"]}, "predictions are not finite after epoch 1 of 1; lower the learning rate"),
        ({"protocol": ["online"]}, "predictions are not finite at step 1 of the stream; lower the learning rate"),
    ],
    ids=["offline", "online"],
)
def test_an_update_that_overflows_stops_the_run_and_has_no_record(place, tmp_path, changes, message):
    """One update: its loss is finite, the predictions after it are not."""
    run = a_run(place, tmp_path, method=["tent"], epochs=1, batch_size=16, options=["lr=3e38"], **changes)
    with pytest.raises(FloatingPointError, match=message):
        adapt(run.replace(protocol_options=["online.order=adapt_first"] if "online" in run.protocol else []), "c")
    assert records.read(tmp_path) == []


@pytest.mark.slow
def test_a_checkpoint_with_weights_that_are_not_finite_stops_the_run(place, tmp_path):
    variables, config, _ = checkpoint.load(place / "checkpoint")
    kernel = variables["params"]["head"]
    variables = {**variables, "params": {**variables["params"], "head": jax.tree.map(lambda w: w + np.nan, kernel)}}
    checkpoint.save(tmp_path / "broken", variables, config)
    with pytest.raises(FloatingPointError, match="predictions are not finite before any update; expected a checkpoint"):
        adapt(a_run(place, tmp_path / "out", method=["source"], checkpoint=str(tmp_path / "broken")), "c")
    assert records.read(tmp_path / "out") == []
