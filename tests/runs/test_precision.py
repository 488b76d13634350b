"""--precision of the commands: what it does to records, cells, checkpoints and to work that is there already."""

import jax
import numpy as np
import pytest

from dhauds_jax.cells import targets
from dhauds_jax.data.recordings import of_waves
from dhauds_jax.model import Model
from dhauds_jax.nets import checkpoint, zoo
from dhauds_jax.recipes.rows import command
from dhauds_jax.recipes.table import read
from dhauds_jax.runs import adapt as adapting
from dhauds_jax.runs import classify, elect, pretrain, study, train
from dhauds_jax.runs.adapt import adapt, drawing_of
from dhauds_jax.runs.classify import identity as classify_identity
from dhauds_jax.runs.classify import settings_of
from dhauds_jax.runs.requests.sweep import SweepRun
from dhauds_jax.runs.sweep import Finished
from dhauds_jax.runs.train import NAMED, train_and_save
from dhauds_jax.train import identity
from dhauds_jax.train.request import TrainOptions
from dhauds_jax.workdir import records
from tests.runs import adapt_runs, test_classify, test_elect, test_pretrain, test_study, test_train, tiny


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("precision")
    tiny.make_arabic(folder / "data")
    tiny.make_noises(folder / "noise")
    tiny.make_checkpoint(folder / "checkpoint", of=tiny.residual)
    return folder


@pytest.mark.slow
def test_each_precision_has_its_own_cell_and_float32_the_one_it_always_had(place, tmp_path):
    run = adapt_runs.a_run(place, tmp_path, method=["tent"], protocol=["online"])
    said = [adapt(run.replace(precision=name), "c") for name in ("float32", "tf32", "bfloat16", "float32", "bfloat16")]
    assert [text.split(":")[0] for text in said] == [
        "1 record written",
        "1 record written",
        "1 record written",
        "0 records written, 1 was there already",
        "0 records written, 1 was there already",
    ]
    exact, tf32, half = records.read(tmp_path)
    assert "precision" not in exact["options"]
    assert (tf32["options"]["precision"], half["options"]["precision"]) == ("tf32", "bfloat16")
    assert len({record["cell"] for record in (exact, tf32, half)}) == 3
    for name in ("curve", "non_adapted", "adapted_last", "nll"):  # a CPU has no TF32
        assert tf32[name] == exact[name]
    assert half["nll"] != exact["nll"]
    assert half["nll"] == pytest.approx(exact["nll"], rel=0.05)
    assert half["source_checkpoint"] == exact["source_checkpoint"]


@pytest.mark.slow
def test_recomputed_blocks_give_the_same_numbers_in_a_cell_of_their_own(place, tmp_path):
    run = adapt_runs.a_run(place, tmp_path, method=["tent"], protocol=["online"])
    for remat in (False, True):
        adapt(run.replace(remat=remat), "c")
    plain, again = records.read(tmp_path)
    assert ("remat" not in plain["options"], again["options"]["remat"]) == (True, True)
    assert plain["cell"] != again["cell"]
    assert again["nll"] == pytest.approx(plain["nll"], rel=1e-5)
    assert "--remat=True" in command(run.replace(remat=True))


def test_an_unknown_precision_is_refused_before_anything_is_read(place, tmp_path):
    with pytest.raises(ValueError, match="--precision=half: expected one of float32, tf32, bfloat16"):
        adapt(adapt_runs.a_run(place, tmp_path, precision="half"), "c")


def test_corrupted_sets_are_shared_between_precisions(place, tmp_path):
    run = adapt_runs.a_run(place, tmp_path)
    assert drawing_of(run) == drawing_of(run.replace(precision="bfloat16"))
    assert drawing_of(run) != drawing_of(run.replace(seed=2))


def test_commands_and_identities_name_the_precision(place, tmp_path):
    run = adapt_runs.a_run(place, tmp_path)
    assert "--precision" not in command(run)
    assert command(run.replace(precision="tf32")).endswith("--precision=tf32")
    training = test_train.a_run(place, tmp_path)
    config = zoo.preset("amaut_tiny", ["a", "b"])
    flags = [identity.of_flags(training.replace(precision=p), NAMED, config) for p in ("float32", "bfloat16")]
    assert [named["precision"] for named in flags] == ["float32", "bfloat16"]
    variables = {"params": {"w": np.zeros(2, np.float32)}}
    labelling = test_classify.a_run(place, tmp_path)
    found = of_waves([np.zeros(4, np.float32)], sample_rate=16_000, length=4)
    model = Model(zoo.build(config), variables, config)
    names = {
        classify_identity(settings_of(labelling.replace(precision=p), model), found) for p in ("float32", "bfloat16")
    }
    assert len(names) == 2


@pytest.mark.slow
def test_a_sweep_has_finished_rows_of_its_own_precision_alone():
    row = read("dhauds").rows[6]

    def key(**changes):
        return Finished(SweepRun(recipes="dhauds", **changes)).key(row)

    assert key() == f"7-{row.digest}"
    assert key(precision="bfloat16") == f"7-{row.digest}-bfloat16"
    assert key(precision="tf32", allow_partial=True) == f"7-{row.digest}-allow_partial-tf32"


class Seen(Exception):
    """Stands for a command's first step."""


@pytest.mark.parametrize("name", ["study", "elect", "pretrain", "adapt", "train", "classify"])
def test_every_command_that_makes_numbers_computes_exact_products(tmp_path, monkeypatch, name):
    """On a GPU JAX would else compute them in TF32; the tests' own setting is put aside here."""
    command, step, of, run = {
        "study": (study.run_study, "_check", study, test_study.a_study(tmp_path, tmp_path)),
        "elect": (elect.run_election, "expand", targets, test_elect.a_run(tmp_path)),
        "pretrain": (pretrain.pretrain_and_save, "get", pretrain.sets, test_pretrain.a_run(tmp_path, tmp_path)),
        "adapt": (adapt, "check", adapting, adapt_runs.a_run(tmp_path, tmp_path)),
        "train": (train_and_save, "get", train.sets, test_train.a_run(tmp_path, tmp_path)),
        "classify": (classify.classify, "_check", classify, test_classify.a_run(tmp_path, tmp_path)),
    }[name]

    def first(*args, **kwargs):
        raise Seen(jax.config.jax_default_matmul_precision)

    monkeypatch.setattr(of, step, first)
    with jax.default_matmul_precision("default"), pytest.raises(Seen, match="highest"):
        command(run, "c")


@pytest.mark.slow
def test_training_in_bfloat16_writes_float32_parameters(place, tmp_path):
    options = TrainOptions(epochs=1, batch_size=16, views=("shift",))
    run = test_train.a_run(place, tmp_path, options=options, precision="bfloat16")
    train_and_save(run, "c")
    variables, _, extra = checkpoint.load(tmp_path / "checkpoint")
    assert extra["training"]["identity"]["precision"] == "bfloat16"
    assert variables["params"]["encoder"]["embed"]["kernel"].dtype == np.float32
    with pytest.raises(ValueError, match="holds the checkpoint of another run"):
        train_and_save(run.replace(precision="float32"), "c")
