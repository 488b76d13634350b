"""What the child process of `test_parallel_runs.py` does on its devices: trains and adapts each way."""

from __future__ import annotations

import sys
from pathlib import Path

import jax

from dhauds_jax.cells.request import AdaptRun
from dhauds_jax.runs.adapt import adapt
from dhauds_jax.runs.train import train_and_save
from dhauds_jax.train.request import TrainOptions, TrainRun

OPTIONS = TrainOptions(epochs=1, batch_size=12, views=("shift",), mixup=0.5, lr=1e-3)


def main(folder: Path) -> None:
    """`train-KIND` and `adapt-KIND` under the folder; 15 test clips and 30 training clips of `tiny.make_arabic`."""
    place = {"dataset": "arabic_speech_commands", "data_dir": str(folder / "data"), "noise_dir": str(folder / "noise")}
    for kind in ("jit", "pmap", "mesh"):
        run = TrainRun(**place, net="amaut_tiny", workdir=str(folder / f"train-{kind}"), seed=1, options=OPTIONS)
        train_and_save(run.replace(parallel=kind), "c")
        adapt(
            AdaptRun(
                **place,
                net=None,
                checkpoint=str(folder / "checkpoint"),
                method=["source", "tent"],
                corruption=["WHN"],
                level=["L2"],
                protocol=["offline", "online"],
                profile="reference",
                seed=1,
                epochs=1,
                batch_size=6,
                options=[],
                criterion="information",
                split="test",
                workdir=str(folder / f"adapt-{kind}"),
                save_every_s=0.0,
                allow_partial=False,
                draw="single",
                parallel=kind,
            ),
            "c",
        )


if __name__ == "__main__":
    jax.config.update("jax_default_matmul_precision", "highest")
    main(Path(sys.argv[1]))
