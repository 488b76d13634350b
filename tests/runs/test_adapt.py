"""experiments.adapt end to end on a tiny set: records, cells, skipping, streams."""

import json

import numpy as np
import pytest

from dhauds_jax.cells import targets
from dhauds_jax.cells.cell import Cell, cell_id
from dhauds_jax.cells.scoring import scored
from dhauds_jax.errors import BadInput
from dhauds_jax.runs.adapt import adapt, summary
from dhauds_jax.runs.report import write_report
from dhauds_jax.tta.options import _texts_for, parse_options
from dhauds_jax.workdir import records
from tests.runs import adapt_runs, tiny
from tests.runs.adapt_runs import a_run, without_cost


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return adapt_runs.made(tmp_path_factory.mktemp("adapt"))


@pytest.mark.parametrize("idle, said", [(0.97, "IDLE: 97 % of the updates kept no clip"), (0.5, None), (None, None)])
def test_a_run_that_learnt_from_no_clip_is_said(idle, said):
    numbers = dict.fromkeys(("non_adapted", "adapted_last", "adapted_selected", "adapted_oracle"), 0.5)
    names = {
        "corruption": "WHN",
        "level": "L1",
        "method": "eata",
        "protocol": "online",
        "seed": 0,
        "metric": "accuracy",
    }
    losses = {} if idle is None else {"idle": idle}
    curve = [{}, {"losses": losses}]
    found = summary({**names, **numbers, "seed": 0, "seconds": 1.0, "collapsed": False, "curve": curve})
    assert found.startswith("WHN-L1 eata online seed 0: non_adapted 50.0 last 50.0")
    assert ("IDLE" in found) == (said is not None) and (said or "") in found


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
