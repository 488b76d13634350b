"""experiments.sweep on a tiny set: records, skipping, what cannot run."""

import json

import jax
import numpy as np
import pytest

from dhauds_jax.cells import loops, targets
from dhauds_jax.nets import checkpoint, zoo
from dhauds_jax.runs import sweep as runs_sweep
from dhauds_jax.runs import sweep_outcomes
from dhauds_jax.runs.adapt import adapt
from dhauds_jax.runs.requests.sweep import SweepRun
from dhauds_jax.runs.sweep import sweep
from dhauds_jax.tta import protocols
from dhauds_jax.workdir import records
from tests.runs import tiny

HEADER = (
    "source,dataset,net,corruption,level,method,epochs,batch_size,seed,protocol,published_non_adapted,published_adapted"
)
SET = "arabic_speech_commands,amaut_tiny"


def make_place(folder):
    """Data, noises and a checkpoint; of `test_sweep_killed.py` too."""
    tiny.make_arabic(folder / "data" / "arabic_speech_commands")
    tiny.make_noises(folder / "noise")
    tiny.make_checkpoint(folder / "checkpoints" / "amaut_tiny_arabic_speech_commands")
    return folder


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return make_place(tmp_path_factory.mktemp("sweep"))


def table(folder, *rows, header=HEADER, name="mine.csv"):
    path = folder / name
    path.write_text("\n".join(["# mine", header, *rows]) + "\n")
    return str(path)


def a_run(place, recipes, folder, **changes):
    roots = {"data_root": str(place / "data"), "checkpoint_root": str(place / "checkpoints")}
    run = SweepRun(recipes=recipes, noise_dir=str(place / "noise"), workdir=str(folder), **roots)
    return run.replace(**changes)


def unavailable(workdir):
    return [json.loads(line) for line in (workdir / "unavailable.jsonl").read_text().splitlines()]


WHN = f"here,{SET},WHN,L1,source,1,8,3,online,0.4,0.9"


@pytest.mark.slow
def test_a_row_gives_a_record_that_names_it_and_is_run_once(place, tmp_path):
    path, out = table(tmp_path, WHN, WHN.replace("L1", "L2").replace("0.4,0.9", ",")), tmp_path / "out"
    text, code = sweep(a_run(place, path, out), "the command")
    assert (code, text) == (0, f"2 rows of mine: 2 run: {out / 'results.jsonl'}")
    first, second = records.read(out)
    assert first["published"] == {"non_adapted": 0.4, "adapted": 0.9}
    assert second["published"] == {"non_adapted": None, "adapted": None}
    assert (first["recipe"]["name"], first["recipe"]["row"], first["recipe"]["source"]) == ("mine", 1, "here")
    assert (first["corruption"], first["level"], first["seed"], first["command"]) == ("WHN", "L1", 3, "the command")
    assert "experiments.adapt --dataset=arabic_speech_commands" in first["recipe"]["command"]
    assert f"--checkpoint={place / 'checkpoints' / 'amaut_tiny_arabic_speech_commands'}" in first["recipe"]["command"]
    text, code = sweep(a_run(place, path, out), "again")
    assert (code, text) == (0, f"2 rows of mine: 2 finished before: {out / 'results.jsonl'}")
    assert len(records.read(out)) == 2
    assert not (out / "unavailable.jsonl").exists()
    assert not (out / "run.lock").exists()


@pytest.mark.slow
def test_new_weights_make_a_new_record(place, tmp_path):
    path, out = table(tmp_path, WHN), tmp_path / "out"
    sweep(a_run(place, path, out), "c")
    variables, config, _ = checkpoint.load(place / "checkpoints" / "amaut_tiny_arabic_speech_commands")
    others = jax.tree.map(lambda leaf: 1.5 * leaf, variables)
    checkpoint.save(tmp_path / "others" / "amaut_tiny_arabic_speech_commands", others, config)
    text, _ = sweep(a_run(place, path, out, checkpoint_root=str(tmp_path / "others")), "c")
    assert "1 run" in text
    hashes = [r["source_checkpoint"] for r in records.read(out)]
    assert len(set(hashes)) == 2


@pytest.mark.slow
def test_a_row_finished_in_another_format_is_run_again_and_said(place, tmp_path, capsys):
    path, out = table(tmp_path, WHN), tmp_path / "out"
    sweep(a_run(place, path, out), "c")
    (record,) = records.read(out)
    del record["format"]
    (out / "results.jsonl").write_text(json.dumps(record) + "\n")
    capsys.readouterr()
    assert "1 run" in sweep(a_run(place, path, out), "c")[0]
    assert "1 of another format than 2 set aside (in reports, but run again)" in capsys.readouterr().out
    assert "1 finished before" in sweep(a_run(place, path, out), "c")[0]


@pytest.mark.slow
def test_rows_of_one_cell_have_a_record_each_and_one_of_adapt_gets_its_row(place, tmp_path, monkeypatch):
    """Before, the second of two such rows never had a record, and read its data at every sweep."""
    path, out = table(tmp_path, WHN, WHN.replace("here,", "there,").replace("0.4,0.9", "0.5,0.8")), tmp_path / "out"
    run = a_run(place, path, out)
    adapt(runs_sweep.adapt_run_of(run, runs_sweep.read(path).rows[0]), "of adapt")
    text, code = sweep(run, "c")
    assert (code, text) == (0, f"2 rows of mine: 2 finished before: {out / 'results.jsonl'}")
    plain, first, second = records.read(out)
    assert "recipe" not in plain and plain["cell"] == first["cell"] == second["cell"]
    assert [(r["recipe"]["row"], r["recipe"]["source"]) for r in (first, second)] == [(1, "here"), (2, "there")]
    assert [r["published"]["adapted"] for r in (first, second)] == [0.9, 0.8]
    numbers = [{k: v for k, v in r.items() if k not in ("recipe", "published")} for r in (plain, first, second)]
    assert numbers[0] == numbers[1] == numbers[2]
    monkeypatch.setattr(targets, "load_split", None)
    assert sweep(run, "again") == (text, 0)
    assert len(records.read(out)) == 3


@pytest.mark.slow
def test_a_method_of_ones_own_that_was_edited_runs_again(place, tmp_path, monkeypatch):
    code = "from dhauds_jax.tta.methods.source import source\n\nmethod = source\n"
    (tmp_path / "edited_method.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    path, out = table(tmp_path, WHN.replace("source", "edited_method:method")), tmp_path / "out"
    run = a_run(place, path, out)
    assert "1 run" in sweep(run, "c")[0]
    assert "1 finished before" in sweep(run, "c")[0]
    (tmp_path / "edited_method.py").write_text(code + "# edited\n")
    assert "1 run" in sweep(run, "c")[0]
    first, second = records.read(out)
    assert first["content"]["method_source"] != second["content"]["method_source"]


@pytest.mark.slow
def test_rows_of_one_set_share_what_was_corrupted_and_compiled(place, tmp_path, monkeypatch):
    made = []
    real = {name: getattr(targets, name) for name in ("corrupt", "load_split")}
    for name, function in real.items():
        monkeypatch.setattr(targets, name, lambda *a, _n=name, _f=function, **k: made.append(_n) or _f(*a, **k))
    sweep(a_run(place, table(tmp_path, WHN, WHN.replace("source", "norm")), tmp_path / "out"), "c")
    assert made == ["load_split", "corrupt"]


@pytest.mark.slow
def test_what_cannot_run_is_listed_with_its_reason_and_tried_again(place, tmp_path):
    rows = [
        WHN,
        WHN.replace(SET, "esc50,amaut_tiny"),
        WHN.replace("amaut_tiny", "amaut_small"),
        WHN.replace("WHN", "ENQ"),
        WHN.replace("source,1", "vggish,1"),
        WHN.replace("amaut_tiny", "amaut_arabic15"),
        WHN.replace("L1", "L2"),
    ]
    lines = [row + (",vggish" if "vggish" in row else ",") for row in rows]
    path, out = table(tmp_path, *lines, header=HEADER + ",waits_for"), tmp_path / "out"
    mine = tmp_path / "mine"
    mine.mkdir()
    for name in ("amaut_tiny", "amaut_arabic15"):  # the second is of another net than its folder says
        (mine / f"{name}_arabic_speech_commands").symlink_to(
            place / "checkpoints" / "amaut_tiny_arabic_speech_commands"
        )
    run = a_run(place, path, out, checkpoint_root=str(mine))
    text, code = sweep(run, "c")
    assert code == 2
    assert [line.partition(":")[0] for line in text.splitlines()] == ["row 6", "7 rows of mine"]
    assert (
        "2 run, 1 waits for what the package does not have yet, 3 lack data or a checkpoint, 1 stopped on bad" in text
    )
    assert [r["recipe"]["row"] for r in records.read(out)] == [1, 7]
    found = {entry["row"]: (entry["kind"], entry["reason"]) for entry in unavailable(out)}
    assert {row: kind for row, (kind, _) in found.items()} == {
        2: "missing",
        3: "missing",
        4: "missing",
        5: "waits",
        6: "bad_input",
    }
    assert f"{place / 'data' / 'esc50'} is no folder, expected the data set esc50" in found[2][1]
    assert "amaut_small_arabic_speech_commands has no config.json, expected one of amaut_small" in found[3][1]
    assert "no recordings of HOME, REVERB, STREET for ENQ" in found[4][1]
    assert found[5][1] == "waits for vggish"
    assert "--net=amaut_arabic15: the checkpoint" in found[6][1]
    tiny.make_checkpoint(mine / "amaut_small_arabic_speech_commands")  # still of another net: now it stops
    _, code = sweep(run.replace(only=["*/amaut_small/*"]), "c")
    assert code == 2
    kinds = {entry["row"]: entry["kind"] for entry in unavailable(out)}
    assert kinds == {2: "missing", 3: "bad_input", 4: "missing", 5: "waits", 6: "bad_input"}


@pytest.mark.slow
def test_a_row_that_runs_at_last_leaves_the_list(place, tmp_path):
    path, out = table(tmp_path, WHN), tmp_path / "out"
    text, code = sweep(a_run(place, path, out, data_root=str(tmp_path / "nowhere")), "c")
    assert (code, [entry["kind"] for entry in unavailable(out)]) == (0, ["missing"])
    assert "1 lacks data or a checkpoint (reasons: " in text
    assert records.read(out) == []
    sweep(a_run(place, path, out), "c")
    assert unavailable(out) == []
    assert len(records.read(out)) == 1


@pytest.mark.slow
def test_a_loss_that_is_not_finite_stops_its_row_alone(place, tmp_path, monkeypatch):
    def diverges(*args, **kwargs):
        raise FloatingPointError("loss total is nan in epoch 1, step 1")
        yield

    rows = (WHN.replace("online", "offline"), WHN.replace("L1", "L2"))
    path, out = table(tmp_path, *rows), tmp_path / "out"
    with monkeypatch.context() as patched:
        patched.setattr(loops.protocols, "offline", diverges)
        text, code = sweep(a_run(place, path, out), "c")
    assert code == 3
    assert text.startswith("row 1: loss total is nan in epoch 1, step 1\n2 rows of mine: 1 run, 1 stopped at a loss or")
    assert [r["recipe"]["row"] for r in records.read(out)] == [2]
    assert protocols.offline is not diverges


@pytest.mark.slow
def test_a_bug_stops_its_row_alone_and_is_no_bad_input(place, tmp_path, monkeypatch, capsys):
    def buggy(*args, **kwargs):
        raise ValueError("operands could not be broadcast together")
        yield

    rows = (WHN.replace("online", "offline"), WHN.replace("amaut_tiny", "amaut_arabic15"), WHN.replace("L1", "L2"))
    path, out, checkpoints = table(tmp_path, *rows), tmp_path / "out", tmp_path / "checkpoints"
    checkpoints.mkdir()
    for name in ("amaut_tiny", "amaut_arabic15"):  # the second is of another net than its folder says
        (checkpoints / f"{name}_arabic_speech_commands").symlink_to(
            place / "checkpoints" / "amaut_tiny_arabic_speech_commands"
        )
    run = a_run(place, path, out, checkpoint_root=str(checkpoints))
    with monkeypatch.context() as patched:
        patched.setattr(loops.protocols, "offline", buggy)
        text, code = sweep(run, "c")
    assert code == 1  # of a bug and bad input the bug is said
    kept = out / "bugs" / "row-1.txt"
    bug = f"ValueError: operands could not be broadcast together; traceback: {kept}"
    assert [(entry["row"], entry["kind"]) for entry in unavailable(out)] == [(1, "bug"), (2, "bad_input")]
    assert unavailable(out)[0]["reason"] == bug
    assert text.startswith(f"row 1: {bug}\nrow 2: --net=amaut_arabic15: the checkpoint")
    assert "3 rows of mine: 1 run, 1 stopped on bad input, 1 met a bug (reasons: " in text
    assert [r["recipe"]["row"] for r in records.read(out)] == [3]
    lines = kept.read_text().splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert lines[-2] == "ValueError: operands could not be broadcast together"
    assert lines[-1].startswith("this is a bug, please report it with the lines above: dhauds_jax ")
    assert kept.read_text() in capsys.readouterr().err
    _, code = sweep(run, "c")
    assert (code, [entry["row"] for entry in unavailable(out)]) == (2, [2])
    assert not kept.exists()


def test_a_bug_before_a_row_runs_stops_it_alone(place, tmp_path, monkeypatch):
    def buggy(*args):
        raise IndexError("list index out of range")

    path, out = table(tmp_path, WHN.replace("WHN", "ENSC"), WHN), tmp_path / "out"
    monkeypatch.setattr(sweep_outcomes, "find_recordings", buggy)
    _, code = sweep(a_run(place, path, out), "c")
    assert (code, [(entry["row"], entry["kind"]) for entry in unavailable(out)]) == (1, [(1, "bug")])
    assert [r["recipe"]["row"] for r in records.read(out)] == [2]


def test_a_row_on_clean_clips_can_run(place, tmp_path, capsys):
    """Before, recordings were looked for of a corruption that there is not."""
    path = table(tmp_path, WHN.replace("WHN,L1", "clean,-"))
    text, code = sweep(a_run(place, path, tmp_path / "out", dry_run=True), "c")
    assert (code, text.partition(":")[2]) == (0, f" 1 can run: {tmp_path / 'out' / 'results.jsonl'}")
    assert capsys.readouterr().out.endswith("/clean/source: can run\n")


def test_a_config_or_a_list_that_is_damaged_is_said_and_stops_its_row_alone(place, tmp_path, capsys):
    """Before: "no noise" of the one, in a dry run a traceback, and a traceback of the other."""
    folder = tmp_path / "checkpoints" / "amaut_tiny_arabic_speech_commands"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{")
    path, out = table(tmp_path, WHN.replace("WHN", "ENSC"), WHN.replace("amaut_tiny", "amaut_small")), tmp_path / "out"
    run = a_run(place, path, out, checkpoint_root=str(tmp_path / "checkpoints"))
    damaged = f"{folder / 'config.json'}: is not JSON"
    text, _ = sweep(run.replace(dry_run=True), "c")
    assert f": {damaged}" in capsys.readouterr().out.splitlines()[0]
    assert text.startswith(f"row 1: {damaged}") and not out.exists()
    out.mkdir()
    (out / "unavailable.jsonl").write_text('{"row": 7, "kind": "waits"}\n{"row": 8, "ki\n[]\n')
    text, code = sweep(run, "c")
    assert code == 2
    assert [(entry["row"], entry["kind"]) for entry in unavailable(out)] == [
        (1, "bad_input"),
        (2, "missing"),
        (7, "waits"),
    ]


@pytest.mark.slow
def test_a_row_of_other_weights_settings_or_numbers_is_not_finished(place, tmp_path):
    path, out, name = table(tmp_path, WHN), tmp_path / "out", "amaut_tiny_arabic_speech_commands"
    run = a_run(place, path, out, checkpoint_root=str(tmp_path / "ordinary"))
    (row,) = runs_sweep.read(path).rows
    config = zoo.preset("amaut_tiny", tiny.CLASSES)
    variables = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), zoo.shapes(zoo.build(config)))
    checkpoint.save(tmp_path / "ordinary" / name, variables, config)
    about = {"cell": "x", "content": {"clips": "c"}, "source_checkpoint": checkpoint.variables_hash(variables)}
    key = runs_sweep.Finished(run).key(row)
    records.append(out, {**dict.fromkeys(records.KEYS, 0), **about, "recipe": {"key": key}})
    records.append(out, {**dict.fromkeys(records.KEYS, 0), **about})  # of experiments.adapt, later
    assert dict(runs_sweep.Finished(run).recorded(row)) == {"x": False}
    assert not runs_sweep.Finished(run).has(row), "nobody knows which data it was made from"
    assert not runs_sweep.Finished(run.replace(remat=True)).recorded(row)
    front_end = {**config.front_end, "f_min": 40.0}
    checkpoint.save(tmp_path / "others" / name, variables, config.replace(front_end=front_end))
    assert not runs_sweep.Finished(run.replace(checkpoint_root=str(tmp_path / "others"))).recorded(row)


def test_nobody_to_read_the_output_is_no_bug_of_a_row(tmp_path):
    (row,) = runs_sweep.read(table(tmp_path, WHN)).rows
    lost = RuntimeError("Gloo AllGather failed: Connection reset by peer")  # every later row would end so
    with pytest.raises(RuntimeError, match="Gloo"):
        sweep_outcomes.of_error(lost, row, tmp_path / "out")
    with pytest.raises(BrokenPipeError):
        sweep_outcomes.of_error(BrokenPipeError(), row, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_dry_run_and_a_list_write_nothing(place, tmp_path, capsys):
    path, out = table(tmp_path, WHN, WHN.replace("WHN", "END1")), tmp_path / "out"
    text, code = sweep(a_run(place, path, out, dry_run=True), "c")
    assert (code, text.partition(" (")[0]) == (0, "2 rows of mine: 1 can run, 1 lacks data or a checkpoint")
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "   1 arabic_speech_commands/amaut_tiny/WHN-L1/source: can run"
    assert "no recordings of NFIELD, OOFFICE, PRESTO, TCAR for END1" in said[1]
    text, _ = sweep(a_run(place, path, out, list=True, workdir=None, only=["*/whn-l1/*"]), "c")
    said = capsys.readouterr().out
    assert text.startswith("1 of 2 rows: ")
    assert "1 arabic_speech_commands/amaut_tiny/WHN-L1/source  published 40.00 % -> 90.00 %" in said
    assert "python -m experiments.adapt --dataset=arabic_speech_commands" in said
    assert not out.exists()
    with pytest.raises(ValueError, match="--workdir is missing"):
        sweep(a_run(place, path, out, workdir=None), "c")


@pytest.mark.slow
def test_a_folder_of_another_table_or_version_is_refused(place, tmp_path, monkeypatch):
    path, out = table(tmp_path, WHN), tmp_path / "out"
    sweep(a_run(place, path, out), "c")
    assert json.loads((out / "sweep.json").read_text())["format"] == runs_sweep.FORMAT
    other = table(tmp_path, WHN, name="other.csv")
    with pytest.raises(ValueError, match="holds a sweep of mine, and this one is of other; give another --workdir"):
        sweep(a_run(place, other, out), "c")
    table(tmp_path, WHN.replace("online,0.4", "online,0.3"))
    sweep(a_run(place, path, out), "c")  # another published number is no other table
    table(tmp_path, WHN.replace("1,8,3", "1,7,3"))
    with pytest.raises(ValueError, match=r"holds a sweep of another version of mine\.csv \([0-9a-f]{16}, now"):
        sweep(a_run(place, path, out), "c")
    table(tmp_path, WHN)
    monkeypatch.setattr(runs_sweep, "FORMAT", 2)
    with pytest.raises(ValueError, match="holds a sweep of format 1, and this version writes format 2") as caught:
        sweep(a_run(place, path, out), "c")
    assert "\n" not in str(caught.value)
    (out / "sweep.json").write_text("{")
    with pytest.raises(ValueError, match=r"sweep\.json: cannot be read, expected what a sweep wrote"):
        sweep(a_run(place, path, out), "c")


@pytest.mark.slow
def test_hours_of_sound_weigh_the_rows():
    rows = {row.name: row for row in runs_sweep.read("dhauds").rows}
    row = rows["vocal_sound/hubert_base_vs/WHN-L1/dhauds"]  # 15 epochs and an evaluation of 3,591 clips of 10 s
    assert runs_sweep.hours_of_sound(row) == pytest.approx(16 * 35_910 / 3600)
