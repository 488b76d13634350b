"""Pretrains an SSAST on unlabelled clips: hidden patches are told apart and drawn again.

Example: python -m experiments.pretrain --dataset=synthetic --net=ssast_tiny --workdir=out/pretrain
then     python -m experiments.train --dataset=synthetic --net=ssast_tiny --checkpoint=out/pretrain/checkpoint ...
The checkpoint (Orbax + config.json) appears in WORKDIR/checkpoint, the curve in WORKDIR/pretraining.csv. A killed run
goes on with the same command. Labels are never looked at.
"""

from __future__ import annotations

from dhauds_jax.command import app, flags, outputs
from dhauds_jax.train.request import PretrainRun

flags.flags_of(PretrainRun)


def main() -> str:
    outputs.check("cache_dir")
    flags.start()
    from dhauds_jax.runs.pretrain import pretrain_and_save

    return pretrain_and_save(flags.from_flags(PretrainRun), app.command())


if __name__ == "__main__":
    app.run(main, stopped=app.GOES_ON)
