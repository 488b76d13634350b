"""Cross-validates a classifier: folds that keep groups apart, epoch and temperature chosen inside the training part.

Example: python -m experiments.crossval --dataset=home_sounds --net=vggish_small --folds=5 --noise_clips=250 \
--selection=nested --workdir=out/home
Writes WORKDIR/fold1 ... fold5 (checkpoints with their temperature), out_of_fold.csv, test.csv (clips that no fold saw,
by all folds and shifted copies) and crossval.jsonl, which experiments.report reads. A killed run goes on with the same
command, within a fold too.
"""

from __future__ import annotations

from dhauds_jax.command import app, flags
from dhauds_jax.runs.requests.crossval import CrossvalRun
from dhauds_jax.train.request import Recipe

flags.flags_of(CrossvalRun, Recipe)


def main() -> str:
    flags.start()
    from dhauds_jax.runs.crossval import crossval_from_flags

    return crossval_from_flags(flags.FLAGS, app.command())


if __name__ == "__main__":
    app.run(main, stopped=app.GOES_ON)
