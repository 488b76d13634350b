"""Test-time augmentation: scores averaged over rolled views and over several models, on source or adapted weights.

Example: python -m experiments.elect --dataset=synthetic --checkpoint=out/a/checkpoint,out/b/checkpoint \
--corruption=clean,WHN --level=L2 --workdir=out/elect
Writes a record for each mode: single (first model, clip as it is), aug_elect (three views), multi_train (all models),
hybrid (both). Adapted weights are those that experiments.classify writes.
"""

from __future__ import annotations

from dhauds_jax.command import app, flags
from dhauds_jax.runs.requests.elect import ElectRun

flags.flags_of(ElectRun)


def main() -> str:
    flags.start()
    from dhauds_jax.runs.elect import run_election

    return run_election(flags.from_flags(ElectRun), app.command())


if __name__ == "__main__":
    app.run(main, stopped=app.THE_REST)
