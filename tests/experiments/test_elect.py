"""experiments.elect end to end on a tiny set."""

import numpy as np
import pytest

from experiments import records
from experiments.elect_run import ElectRun, run_election
from tests.experiments import tiny


def a_run(folder, **changes):
    run = ElectRun(
        dataset="arabic_speech_commands",
        data_dir=str(folder / "data"),
        noise_dir=None,
        checkpoint=[str(folder / "checkpoint"), str(folder / "checkpoint")],
        corruption=["clean", "WHN"],
        level=["L2"],
        profile="reference",
        seed=0,
        shift=0.17,
        average="logits",
        batch_size=8,
        split="test",
        workdir=str(folder / "work"),
    )
    return run._replace(**changes)


@pytest.mark.slow
def test_a_record_a_mode_and_corruption(tmp_path):
    tiny.make_arabic(tmp_path / "data")
    tiny.make_checkpoint(tmp_path / "checkpoint")
    assert run_election(a_run(tmp_path), "the command").startswith("8 records written: ")
    found = records.read(tmp_path / "work")
    assert [(r["corruption"], r["method"]) for r in found[:4]] == [
        ("clean", mode) for mode in ("single", "aug_elect", "multi_train", "hybrid")
    ]
    assert [r["passes"]["forward"] for r in found[:4]] == [1, 3, 2, 6]
    for one, views, models, both in (found[:4], found[4:]):
        assert one["adapted_last"] == one["non_adapted"] == models["adapted_last"]  # the same model twice
        assert np.isclose(views["nll"], both["nll"])
        assert views["metrics"]["accuracy"] == views["adapted_last"]
    assert len({r["cell"] for r in found}) == 8
    with pytest.raises(ValueError, match="--average=median: expected logits or softmax"):
        run_election(a_run(tmp_path, average="median"), "c")
