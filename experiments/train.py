"""Trains a source classifier.

Example: python -m experiments.train --dataset=synthetic --net=amaut_small --workdir=out/train
The checkpoint (Orbax + config.json) appears in WORKDIR/checkpoint. A killed run goes on with the same command.
"""

from __future__ import annotations

from dhauds_jax.command import app, flags, outputs
from dhauds_jax.requests import Processes
from dhauds_jax.train.request import Recipe, TrainRun

flags.flags_of(TrainRun, Recipe, Processes)


def main() -> str:
    outputs.check("cache_dir")
    flags.start()
    from dhauds_jax.runs.train import train_from_flags

    return train_from_flags(flags.FLAGS, app.command())


if __name__ == "__main__":
    app.run(main, stopped=app.GOES_ON)
