"""Equal tuning and the leaderboard's grid: budgets, files, and a whole tiny run."""

from pathlib import Path

import numpy as np
import pytest

from dhauds_jax.errors import BadInput
from dhauds_jax.recipes import tuned
from dhauds_jax.recipes.rows import share
from dhauds_jax.recipes.tuning import Choice, Trial
from dhauds_jax.runs import leaderboard
from dhauds_jax.runs import tune as tune_module
from dhauds_jax.runs.tune import Trials, TuneRun, tune
from dhauds_jax.tta import methods
from dhauds_jax.tta.options import able
from dhauds_jax.workdir import records
from tests.runs import tiny
from tests.tta import tiny as contract

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("method", [name for name in methods.METHODS if name != "source"])
def test_every_method_has_as_many_first_trials_and_its_options_exist(method):
    space, defaults = tuned.space(method, "reference"), methods.default_options(method, "reference")
    trials = [space[place].options(value) for place, value in tuned.trials_of(space)]
    has_rate = "lr" in defaults or method in tuned.SPACES
    assert len(trials) == (5 if method in tuned.SGD_METHODS else 4 if has_rate else 1)
    assert len({str(options) for options in trials}) == len(trials)
    assert any(all(defaults[k] == v for k, v in options.items()) for options in trials), "the default is one"
    for options in trials:
        resolved = methods.resolve_options(method, "reference", {k: str(v) for k, v in options.items()})
        assert all(resolved[key] == value for key, value in options.items())


def test_learning_rates_are_the_default_times_the_factors_and_move_sgd_methods():
    (rates,) = tuned.space("tent", "reference")
    assert rates.values == (3e-4, 1e-3, 5e-3, 2.5e-2)
    sgd, adam = tuned.space("eata", "reference")
    assert sgd.values == (2.5e-4, 2.5e-3, 1e-2, 3e-2)
    assert [adam.options(value) for value in adam.values] == [{"optimiser": "adam", "lr": 1e-3}]


def test_a_line_goes_on_at_both_ends_within_its_limits():
    (rates,) = tuned.space("tent", "reference")
    assert [rates.beyond(2.5e-2, up=True), rates.beyond(3e-4, up=False)] == [0.125, 6e-5]
    k = tuned.SPACES["lame"][1]
    assert [k.beyond(9, up=True), k.beyond(1, up=False)] == [18, None]
    assert tuned.SPACES["lame"][0].beyond(None, up=True) is None


def test_tuned_files_are_read_back_and_refused_with_row_and_column(tmp_path):
    path = tmp_path / "tuned.csv"
    tuned.write(
        path, [tuned.Tuned("tent", "lr", "0.003", 0.5), tuned.Tuned("norm", "statistics prior", "blend 16", 0.4)]
    )
    assert tuned.read(path) == {"tent": ["lr=0.003"], "norm": ["statistics=blend", "prior=16"]}
    header = "method,option,value,score,nll,floor,trials,why"
    assert path.read_text().splitlines()[:2] == [header, "tent,lr,0.003,0.5000,nan,nan,0,"]
    path.write_text("method,option,value,score\ntent,lr,0.1,0.5\nteint,lr,0.1,0.5\n")
    with pytest.raises(ValueError, match=r"tuned\.csv row 3, column method: unknown method 'teint'"):
        tuned.read(path)
    path.write_text("method,option,value,score\ntent,rate,0.1,0.5\n")
    with pytest.raises(ValueError, match=r"tuned\.csv row 2, column option: method tent has no option 'rate'"):
        tuned.read(path)
    path.write_text("method,option,value,score\nnorm,statistics prior,blend,0.4\n")
    with pytest.raises(BadInput, match=r"tuned\.csv row 2, column value: 1 values, expected 2, one a name"):
        tuned.read(path)
    path.write_bytes("method,option,value,score\nn\u00f6rm,lr,1,0.4\n".encode("latin-1"))
    with pytest.raises(BadInput, match=r"tuned\.csv: is no UTF-8 text \(byte 27\), expected a csv file in UTF-8"):
        tuned.read(path)
    path.write_text("a,b\n")
    with pytest.raises(
        ValueError, match=r"columns \['a', 'b'\], expected method, option, value, score, nll, floor, trials, why"
    ):
        tuned.read(path)
    with pytest.raises(ValueError, match=r"no such file, expected one that experiments\.tune wrote"):
        tuned.read(tmp_path / "nothing.csv")


def a_run(folder, **changes):
    run = TuneRun(
        dataset="arabic_speech_commands",
        data_dir=str(folder / "data"),
        noise_dir=None,
        checkpoint=str(folder / "checkpoint"),
        method=["t3a"],
        corruption="WHN",
        level="L2",
        profile="reference",
        split="val",
        clips=8,
        epochs=1,
        batch_size=4,
        seed=["0"],
        workdir=str(folder / "tune"),
        output=str(folder / "tuned.csv"),
    )
    return run.replace(**changes)


def test_the_test_split_is_refused(tmp_path):
    with pytest.raises(ValueError, match="--split=test: options must not be chosen on test labels"):
        tune(a_run(tmp_path, split="test"), "c")


@pytest.mark.slow
def test_a_tuning_run_picks_the_best_of_its_records_and_is_not_repeated(tmp_path, capsys):
    tiny.make_arabic(tmp_path / "data")
    tiny.make_checkpoint(tmp_path / "checkpoint")
    text = tune(a_run(tmp_path, seed=["0", "1"]), "c")
    assert text.endswith(f"1 method tuned: {tmp_path / 'tuned.csv'}")
    printed, found = capsys.readouterr().out, records.read(tmp_path / "tune")
    for seed in (0, 1):
        for pair in ("running", "batch, supports=5", "batch, supports=20", "batch, supports=100"):
            # Before, the lines of a method's trials were all alike.
            assert printed.count(f"WHN-L2 t3a [statistics={pair}] offline seed {seed}: non_adapted ") == 1
    assert {(r["n"], r["dataset"]) for r in found} == {(8, "arabic_speech_commands/val")}
    (whole,) = records.read(tmp_path / "tune", "tuning")
    by_cell = {r["cell"]: r for r in found}
    for trial in (whole["floor"], *whole["trials"]):
        mine = [by_cell[cell] for cell in trial["cells"]]
        assert [r["seed"] for r in mine] == [0, 1]
        assert trial["scores"] == [r["adapted_last"] for r in mine]
        assert trial["nll"] == [r["nll"] for r in mine]
        assert all(r["options"][key] == value for r in mine for key, value in trial["options"].items())
    assert {by_cell[cell]["method"] for cell in whole["floor"]["cells"]} == {"source"}
    (options,) = tuned.read(tmp_path / "tuned.csv").values()
    assert options == [f"{key}={value}" for key, value in whole["chosen"].items()]
    tune(a_run(tmp_path, seed=["0", "1"]), "c")
    assert len(records.read(tmp_path / "tune")) == len(found)
    assert len(records.read(tmp_path / "tune", "tuning")) == 1


def test_a_tuning_has_one_name_however_long_its_trials_took(tmp_path):
    """Before, seconds were a part of it: the same tuning in another folder was another one."""
    last = dict.fromkeys(("dataset", "corruption", "level", "net", "protocol", "profile", "metric", "n"), 1)
    last |= {"source_checkpoint": "c", "options": {"epochs": 2}}
    for seconds in (1.0, 2.0):
        trial = Trial({"lr": 0.1}, (0.5,), (1.0,), (False,), seconds, ("cell",))
        choice = Choice(trial, "best", trial._replace(options={"lr": 0.0}), (trial,))
        tune_module.keep(a_run(tmp_path, seed=["0"]), "tent", choice, last, "c")
    (whole,) = records.read(tmp_path / "tune", "tuning")
    assert whole["trials"][0]["seconds"] == 1.0


@pytest.mark.slow
def test_the_known_best_value_of_a_method_is_found_and_a_harmful_one_keeps_its_default(tmp_path):
    tiny.make_arabic(tmp_path / "data")
    tiny.make_checkpoint(tmp_path / "checkpoint")
    names = ["tests.runs.known:peaked", "tests.runs.known:harmful"]
    clean = {"corruption": "clean", "clips": 0, "seed": ["0", "1"], "score": "online"}
    tune(a_run(tmp_path, method=names, **clean), "c")
    peaked, harmful = records.read(tmp_path / "tune", "tuning")
    assert [trial["options"]["lr"] for trial in peaked["trials"]] == [3e-4, 1e-3, 5e-3, 2.5e-2, 0.125]
    assert (peaked["chosen"], peaked["why"], peaked["protocol"]) == ({"lr": 2.5e-2}, "best", "online")
    assert peaked["trials"][3]["scores"] == [1.0, 1.0], "and so have others: NLL tells them apart"
    assert peaked["trials"][2]["scores"] == [1.0, 1.0]
    assert peaked["floor"]["scores"] == [1 / 15] * 2
    assert (harmful["chosen"], harmful["why"], harmful["floor"]["scores"]) == ({"lr": 1e-3}, "harm", [1.0] * 2)
    assert len(harmful["trials"]) == 4, "lower rates are not hunted for"


@pytest.mark.slow
def test_a_trial_is_scored_by_its_own_record_whatever_else_lies_in_the_folder(tmp_path):
    """Before, the newest record of the same method and options counted, of another seed, level or split too."""
    tiny.make_arabic(tmp_path / "data", {"train": 1, "val": 6, "test": 1})
    tiny.make_checkpoint(tmp_path / "checkpoint")
    scores = {}
    asked = [(0, "L2"), (1, "L1"), (2, "L2")]
    for seed, level in (*asked, (0, "L2")):
        trials = Trials(a_run(tmp_path, seed=[str(seed)], level=level, clips=0), "c")
        (score,) = trials("norm", {"statistics": "batch"}).scores
        assert scores.setdefault((seed, level), score) == score
    found = records.read(tmp_path / "tune")
    assert [(r["seed"], r["level"]) for r in found] == asked
    assert [r["adapted_last"] for r in found] == list(scores.values())
    assert len(set(scores.values())) > 1, "else the test would not tell them apart"


def test_shards_share_the_methods_and_phases_put_offline_and_online_first():
    names = list("abcdefg")
    parts = [share(names, f"{i}/3") for i in (1, 2, 3)]
    assert parts == [["a", "d", "g"], ["b", "e"], ["c", "f"]]
    with pytest.raises(ValueError, match="--shard=4/3: expected I/N with I from 1 to N"):
        share(names, "4/3")
    assert leaderboard.phases(["mixed", "online", "batch1", "offline"]) == [
        ["offline", "online"],
        ["mixed"],
        ["batch1"],
    ]
    assert leaderboard.phases(["mixed"]) == [["mixed"]]


def test_a_part_of_the_board_is_followed_by_its_floors():
    """`memo` is asked for online alone; `t3a` has no rate, and tuned `norm` has its running statistics as a floor."""
    roots = {name: "x" for name in ("data_dir", "noise_dir", "checkpoint_root", "workdir")}
    run = leaderboard.LeaderboardRun(**roots)
    names = ["source", "norm", "tent", "t3a", "memo"]
    options = ["norm.statistics=blend", "norm.prior=64", "tent.lr=0.005"]
    parts = leaderboard.parts_of(run, names, ["offline", "online"], options)
    both, online = ("offline", "online"), ("online",)
    assert parts == [
        (("source", "norm", "tent", "t3a"), both, tuple(options)),
        (("tent",), both, ("tent.lr=0.005", "tent.lr=0.0")),
        (("norm",), both, ("norm.statistics=running",)),
        (("memo",), online, ()),
        (("memo",), online, ("memo.lr=0.0",)),
    ]
    assert [leaderboard.cells_of(part, run.corruption) for part in parts] == [32, 8, 8, 4, 4]
    without = leaderboard.parts_of(run.replace(floors=False), ["tent", "memo"], ["batch1"], ())
    assert without == [(("tent",), ("batch1",), ())]
    with pytest.raises(BadInput, match=r"^--options=lr=1: expected METHOD\.key=value on a board of several methods$"):
        leaderboard.fill(run.replace(options=["lr=1"], checkpoint_root=str(ROOT)), "c")


def test_a_boards_seeds_have_sources_of_their_own_or_one_together():
    run = leaderboard.LeaderboardRun(data_dir="x", workdir="w", seed=("0", "2"))
    root = run.replace(checkpoint_root="nets")
    assert leaderboard._sources(root) == {0: "nets/seed0/checkpoint", 2: "nets/seed2/checkpoint"}
    assert leaderboard._sources(run.replace(checkpoint="words15")) == {0: "words15", 2: "words15"}
    for wrong, given in ((run, "neither is"), (root.replace(checkpoint="words15"), "both are")):
        with pytest.raises(BadInput, match=f"^--checkpoint_root and --checkpoint: {given} given, expected one of the"):
            leaderboard.fill(wrong, "c")


def test_a_board_of_any_set_level_and_profile():
    run = leaderboard.LeaderboardRun(workdir="w", dataset="home_sounds", level="S0.3", profile="corrected")
    asked = leaderboard._adaptation(run, leaderboard.Part(("tent",), ("online",), ()), 2, "net")
    assert (asked.dataset, asked.data_dir, list(asked.level), asked.profile) == (
        "home_sounds",
        None,
        ["S0.3"],
        "corrected",
    )
    assert (asked.checkpoint, asked.seed, asked.subset, asked.draw) == ("net", 2, None, "single")


def test_ttt_is_left_out_unless_the_network_has_its_head(capsys):
    kept = [able(["source", "ttt"], contract.NETS[net]()) for net in ("batch_norm", "aux")]
    assert kept == [["source"], ["source", "ttt"]]
    assert capsys.readouterr().out.count("note: ttt is left out: method ttt needs a network trained with") == 1


def test_the_subset_of_the_leaderboard_has_twenty_clips_a_class():
    ids = (ROOT / "experiments" / "recipes" / "arabic_test_300.txt").read_text().split()
    assert len(ids) == len(set(ids)) == 300
    counts = np.unique([name.split("/")[1] for name in ids], return_counts=True)[1]
    assert list(counts) == [20] * 15


@pytest.mark.parametrize(("score", "asked"), [("offline", False), ("online", True)])
def test_all_methods_are_those_that_a_board_asks_for_under_the_protocol(monkeypatch, tmp_path, score, asked):
    monkeypatch.setattr(tune_module, "able", lambda names, *_: names)
    monkeypatch.setattr(tune_module.checkpoints, "load_config", lambda folder: None)
    monkeypatch.setattr(tune_module.zoo, "build", lambda config: None)
    names = tune_module._check(a_run(tmp_path, method=["all"], score=score))
    assert [("memo" in names), ("suta" in names), "source" in names] == [asked, asked, False]
    assert tune_module._check(a_run(tmp_path, method=["memo"], score="offline")) == ["memo"], "who names it gets it"


def test_what_no_trial_and_no_cell_would_run_on_is_refused(tmp_path):
    with pytest.raises(BadInput, match=r"^--clips=-1: expected 0 \(all\) or more$"):
        tune(a_run(tmp_path, clips=-1), "c")
    with pytest.raises(BadInput, match=r"^--epochs=0: expected at least 1$"):
        tune(a_run(tmp_path, epochs=0), "c")
    with pytest.raises(BadInput, match=r"^--score=both: expected offline or online$"):
        tune(a_run(tmp_path, score="both"), "c")
    with pytest.raises(BadInput, match=r"^--seed=one: expected whole numbers separated by commas$"):
        tune(a_run(tmp_path, seed=["one"]), "c")
    roots = {name: str(tmp_path) for name in ("data_dir", "noise_dir", "checkpoint_root", "workdir")}
    for flag in ("seed", "method", "protocol"):
        with pytest.raises(BadInput, match=f"^--{flag} is empty: expected at least one$"):
            leaderboard.fill(leaderboard.LeaderboardRun(**roots, **{flag: []}), "c")


def test_where_no_method_has_a_finite_trial_the_earlier_choice_stays(tmp_path, monkeypatch):
    """A header alone was written over it."""
    tiny.make_checkpoint(tmp_path / "checkpoint")
    tuned.write(tmp_path / "tuned.csv", [tuned.Tuned("tent", "lr", "0.003", 0.5)])
    monkeypatch.setattr(Trials, "__call__", lambda self, method, options: Trial(options, ()))
    said = r"^losses .* any trial of t3a, tent; nothing was chosen or written: .*tuned\.csv$"
    with pytest.raises(FloatingPointError, match=said):
        tune(a_run(tmp_path, method=["t3a", "tent"], clips=0), "c")
    assert tuned.read(tmp_path / "tuned.csv") == {"tent": ["lr=0.003"]}
