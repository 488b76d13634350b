"""Finite losses, then predictions that are not: every command says so, and none in a library's words."""

import jax
import numpy as np
import pytest

from dhauds_jax.nets import checkpoint
from dhauds_jax.recipes import tuned
from dhauds_jax.runs.elect import run_election
from dhauds_jax.runs.pretrain import pretrain_and_save
from dhauds_jax.runs.requests.elect import ElectRun
from dhauds_jax.runs.requests.study import StudyRun
from dhauds_jax.runs.requests.sweep import SweepRun
from dhauds_jax.runs.requests.tune import TuneRun
from dhauds_jax.runs.study import run_study
from dhauds_jax.runs.sweep import sweep
from dhauds_jax.runs.train import train_and_save
from dhauds_jax.runs.tune import tune
from dhauds_jax.train.options import TrainOptions
from dhauds_jax.train.request import PretrainOptions, PretrainRun
from dhauds_jax.tta import selection
from dhauds_jax.workdir import records
from tests.runs import tiny

SET = "arabic_speech_commands"
AFTER = "predictions are not finite after epoch 1"
BAD = np.array([[0.0, 1.0], [np.nan, 0.0], [np.inf, -np.inf]])


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bounds")
    tiny.make_arabic(folder / "data" / SET)
    path = tiny.make_checkpoint(folder / f"amaut_tiny_{SET}")
    variables, config, _ = checkpoint.load(path)
    checkpoint.save(folder / "broken", jax.tree.map(lambda w: w * np.nan, variables), config)
    return folder


def request(kind, place, workdir, **changes):
    """A run whose one update, of all clips, overflows."""
    same = {"dataset": SET, "data_dir": str(place / "data" / SET), "epochs": 1, "batch_size": 16}
    where = {"checkpoint": str(place / f"amaut_tiny_{SET}"), "workdir": str(workdir)}
    return kind(**{**same, **where, **changes})


def test_criteria_of_predictions_that_are_not_finite_are_nan_and_no_error_of_linear_algebra():
    with np.errstate(invalid="ignore"):
        found = {name: criterion(BAD) for name, criterion in selection.CRITERIA.items()}
    assert all(np.isnan(value) for value in found.values()), found


@pytest.mark.slow
def test_a_study_of_which_no_copy_is_left_stops_and_says_where(place, tmp_path):
    many = {"method": "tent", "corruption": "clean", "lr": ["1e30", "1e31"], "seeds": ["0"], "level": "L2"}
    said = r"^none of 2 runs has a record: seed 0, lr 1e\+30: predictions are not finite after 1 pass; seed 0"
    with pytest.raises(FloatingPointError, match=said):
        run_study(request(StudyRun, place, tmp_path, **many), "c")
    assert records.read(tmp_path) == []


@pytest.mark.slow
def test_tune_names_the_method_without_a_finite_trial_and_keeps_the_others(place, tmp_path, monkeypatch):
    sky = tuned.Line("lr", (1e30,), lowest=1e30)
    monkeypatch.setattr(tuned, "space", lambda method, _: (sky,) if method == "tent" else (tuned.Line(""),))
    asked = {"method": ["tent", "norm"], "corruption": "clean", "seed": ["0"], "output": str(tmp_path / "t.csv")}
    run = request(TuneRun, place, tmp_path, **asked)
    with pytest.raises(FloatingPointError, match=r"^losses or predictions are not finite in any trial of tent; 1"):
        tune(run.replace(split="val"), "c")
    assert list(tuned.read(tmp_path / "t.csv")) == ["norm"]


@pytest.mark.slow
def test_a_sweep_ends_with_3(place, tmp_path):
    table = tmp_path / "mine.csv"
    names = "dataset,net,corruption,level,method,epochs,batch_size,seed,lr"
    table.write_text(f"{names}\n{SET},amaut_tiny,clean,-,tent,1,16,0,1e30\n")
    roots = {"data_root": str(place / "data"), "checkpoint_root": str(place), "workdir": str(tmp_path / "out")}
    text, code = sweep(SweepRun(recipes=str(table), **roots), "c")
    assert code == 3, text
    assert text.startswith(f"row 1: {AFTER} of 1; lower the learning rate\n1 row of mine: 1 stopped at")


@pytest.mark.slow
@pytest.mark.parametrize("views", ["padded", "unpadded"])
def test_an_election_of_weights_that_are_not_finite_stops(place, tmp_path, views):
    run = ElectRun(
        dataset=SET,
        data_dir=str(place / "data" / SET),
        checkpoint=[str(place / "broken")],
        corruption=["clean"],
        views=views,
        workdir=str(tmp_path),
    )
    with pytest.raises(FloatingPointError, match=r"^predictions are not finite .*; expected .*checkpoint.* of finite"):
        run_election(run, "c")
    assert records.read(tmp_path) == []


@pytest.mark.slow
def test_a_training_whose_last_update_overflows_writes_no_checkpoint(place, tmp_path):
    """It wrote weights that are not finite, and ended as one that went well."""
    options = TrainOptions(epochs=1, batch_size=64, lr=1e30, views=("clean",))
    where = {"data_dir": str(place / "data" / SET), "noise_dir": None}
    with pytest.raises(FloatingPointError, match=r"^predictions are not finite after epoch 1 of 1; lower --lr$"):
        train_and_save(tiny.a_training(place, tmp_path, options, **where), "c")
    assert not (tmp_path / "checkpoint").exists() and not (tmp_path / "progress.jsonl").exists()


@pytest.mark.slow
def test_a_pretraining_whose_last_update_overflows_writes_no_checkpoint(place, tmp_path):
    options = PretrainOptions(epochs=1, batch_size=64, mask_patches=5, clusters=True, warmup_steps=0, lr=1e30)
    run = PretrainRun(dataset=SET, data_dir=str(place / "data" / SET), net="ssast_test", workdir=str(tmp_path))
    with pytest.raises(FloatingPointError, match=r"^the validation loss is (nan|inf) after epoch 1: lower --lr$"):
        pretrain_and_save(run.replace(options=options), "c")
    assert not (tmp_path / "checkpoint").exists()
