"""experiments.study: a grid of rates and seeds at once gives the records of experiments.adapt one by one."""

import numpy as np
import pytest

from dhauds_jax.cells import vectorised_loops
from dhauds_jax.runs import study
from dhauds_jax.runs.adapt import adapt
from dhauds_jax.runs.report import write_report
from dhauds_jax.runs.study import StudyRun, run_study
from dhauds_jax.workdir import records
from tests.runs import tiny


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    tiny.make_arabic(folder / "data")
    tiny.make_noises(folder / "noise")
    tiny.make_checkpoint(folder / "checkpoint")
    return folder


def a_study(place, workdir, **changes):
    run = StudyRun(
        dataset="arabic_speech_commands",
        data_dir=str(place / "data"),
        noise_dir=str(place / "noise"),
        checkpoint=str(place / "checkpoint"),
        method="tent",
        corruption="WHN",
        level="L2",
        protocol="offline",
        lr=["1e-3", "1e-2"],
        seeds=["0", "3"],
        copies=8,
        draw="two",
        evaluation_seed=5,
        source_clips=10,
        profile="reference",
        epochs=2,
        batch_size=8,
        options=[],
        criterion="information",
        split="test",
        workdir=str(workdir),
        allow_partial=False,
    )
    return run.replace(**changes)


def near(mine, other, where=""):
    """Equal texts and counts, numbers up to float32's rounding through the updates; `top_share` counts clips."""
    assert type(mine) is type(other), where
    if isinstance(other, dict):
        assert set(mine) == set(other), where
        for name in other:
            near(mine[name], other[name], f"{where}.{name}")
    elif isinstance(other, list):
        assert len(mine) == len(other), where
        for i, (a, b) in enumerate(zip(mine, other, strict=True)):
            near(a, b, f"{where}[{i}]")
    elif isinstance(other, float):
        assert mine == pytest.approx(other, rel=1e-3, abs=1e-5), where
    else:
        assert mine == other, where


COST = ("seconds", "peak_memory_mb", "command", "flops_per_clip")


@pytest.mark.slow
@pytest.mark.parametrize("protocol", ["offline", "online"])
def test_a_study_writes_the_records_of_the_loop(place, tmp_path, protocol, capsys):
    run = a_study(place, tmp_path / "study", protocol=protocol, copies=4 if protocol == "offline" else 3)
    assert run_study(run, "c") == f"4 records written: {tmp_path / 'study' / 'results.jsonl'}"
    assert capsys.readouterr().out.count(f"WHN-L2 tent [lr=0.01] {protocol} seed 3: non_adapted ") == 1
    for seed in (0, 3):
        for lr in (1e-3, 1e-2):
            one = study.adapt_run_of(run, seed, lr).replace(workdir=str(tmp_path / "loop"))
            adapt(one, "c")
    mine = {r["cell"]: r for r in records.read(tmp_path / "study")}
    loop = {r["cell"]: r for r in records.read(tmp_path / "loop")}
    assert set(mine) == set(loop) and len(loop) == 4
    # Online 3 copies at the most: both rates of one seed, then of the other.
    assert {r["options"].pop("vectorised") for r in mine.values()} == {4 if protocol == "offline" else 2}
    for cell, record in loop.items():
        near(*({k: v for k, v in r.items() if k not in COST} for r in (mine[cell], record)))
        assert mine[cell]["flops_per_clip"] == pytest.approx(record["flops_per_clip"], rel=1e-3)
    assert len({str(r["curve"][-1]["nll"]) for r in mine.values()}) == 4, "rates and seeds make a difference"


@pytest.mark.slow
def test_finished_runs_are_skipped_and_a_killed_study_goes_on(place, tmp_path, monkeypatch):
    run = a_study(place, tmp_path, protocol="online", copies=2)
    original, groups = study.through_streams, []

    def dies(*args):
        groups.append(1)
        if len(groups) == 2:
            raise KeyboardInterrupt
        return original(*args)

    with monkeypatch.context() as patched:
        patched.setattr(study, "through_streams", dies)
        with pytest.raises(KeyboardInterrupt):
            run_study(run, "c")
    assert [(r["seed"], r["options"]["lr"]) for r in records.read(tmp_path)] == [(0, 1e-3), (0, 1e-2)]
    assert run_study(run, "c").startswith("2 records written, 2 were there already: ")
    more = run.replace(lr=["1e-3", "5e-3", "1e-2"], seeds=["3"])
    assert run_study(more, "c").startswith("1 record written, 2 were there already: ")
    assert run_study(more, "c").startswith("0 records written, 3 were there already: ")
    assert [r["options"]["vectorised"] for r in records.read(tmp_path)] == [2, 2, 2, 2, 1]
    # Of seed 0 two rates, of seed 3 three: the report must tell them apart by the rate alone.
    write_report([str(tmp_path)])
    text = (tmp_path / "report" / "report.md").read_text()
    assert "tent [lr=0.001]" in text and "tent [lr=0.005]" in text
    assert "vectorised=2" not in text.split("Provenance")[0]


@pytest.mark.slow
def test_a_study_of_a_subset_has_the_cells_of_adapt_on_it(place, tmp_path):
    """Before, a study had no --subset: rates were compared on the whole split alone."""
    ids = [f"dataset/{word}/test_0.wav" for word in tiny.CLASSES[:6]]
    (tmp_path / "few.txt").write_text("\n".join(ids), encoding="utf-8")
    run = a_study(place, tmp_path / "study", protocol="online", method="norm", lr=None, seeds=["0", "1"])
    run = run.replace(subset=str(tmp_path / "few.txt"), batch_size=4)
    run_study(run, "c")
    for seed in (0, 1):
        adapt(study.adapt_run_of(run, seed).replace(workdir=str(tmp_path / "loop")), "c")
    mine, loop = (records.read(tmp_path / name) for name in ("study", "loop"))
    assert [(r["n"], r["options"]["subset"], r["cell"]) for r in mine] == [(6, "few.txt", r["cell"]) for r in loop]


@pytest.mark.slow
def test_copies_that_diverge_have_no_record_and_seeds_alone_need_no_rate(place, tmp_path):
    said = run_study(
        a_study(place, tmp_path / "a", protocol="online", lr=["1e-3", "3e38"], seeds=["0"], batch_size=4), "c"
    )
    assert said.startswith("1 record written, 1 diverged and has none (seed 0, lr 3e+38: ")
    assert [r["options"]["lr"] for r in records.read(tmp_path / "a")] == [1e-3]
    run_study(a_study(place, tmp_path / "b", protocol="online", method="norm", lr=None, seeds=["0", "1"]), "c")
    assert [(r["seed"], r["options"]["vectorised"]) for r in records.read(tmp_path / "b")] == [(0, 2), (1, 2)]


@pytest.mark.slow
def test_a_method_that_moves_everything_runs_with_a_note(place, tmp_path, capsys):
    run_study(a_study(place, tmp_path, options=["group=all"], protocol="online", seeds=["0"]), "c")
    assert "note: tent moves" in capsys.readouterr().out
    assert len(records.read(tmp_path)) == 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"subset": "nowhere.txt"}, "--subset=nowhere.txt: no such file"),
        ({"lr": []}, "--lr is empty"),
        ({"lr": ["0.1", "-0.1"]}, "--lr=-0.1: expected a finite number above 0"),
        ({"options": ["lr=-1"], "lr": None}, "option lr=-1.0: expected a finite number of at least 0"),
        ({"lr": ["0.1", "fast"]}, "--lr=0.1,fast: expected numbers separated by commas"),
        ({"method": "norm"}, "method norm has no learning rate to vary: expected one of tent, "),
        ({"method": "nrom"}, "unknown method 'nrom'"),
        ({"seeds": []}, "--seeds is empty"),
        ({"seeds": ["1.5"]}, "--seeds=1.5: expected whole numbers"),
        ({"copies": 0}, "--copies=0: expected at least 1"),
        ({"protocol": "continual"}, "--protocol=continual: a study takes offline or online"),
        ({"corruption": "all"}, "--corruption=all: a study is of one corruption at one level, got 7"),
        ({"options": ["lr=0.1"]}, "--options sets lr, and --lr does too"),
    ],
)
def test_bad_flags_are_one_sentence_and_write_nothing(place, tmp_path, changes, message):
    with pytest.raises(ValueError, match=message.replace("[", r"\[")):
        run_study(a_study(place, tmp_path / "out", **changes), "c")
    assert not (tmp_path / "out").exists()


def test_a_copy_is_lost_at_its_first_number_that_is_not_finite():
    fine, bad = np.zeros((2, 3)), np.array([[0.0, np.nan]])
    assert vectorised_loops.lost(1, {}, (0, 0), fine) is None
    assert vectorised_loops.lost(1, {(0, 0): "there"}, (0, 0), fine).where == "there"
    assert vectorised_loops.lost(2, {}, (0, 0), bad).where == "predictions are not finite after 2 passes"
