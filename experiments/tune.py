"""Tries the same number of first values of every method on a validation corruption, and writes the best to a file.

Example: python -m experiments.tune --dataset=arabic_speech_commands --data_dir=FOLDER --noise_dir=FOLDER \
--checkpoint=out/train/checkpoint --method=tent,shot --corruption=CLP:esc50@6dB --workdir=out/tune --output=tuned.csv
The corruption must not be one of the test's (a held-out noise), and the split is "val": test labels are never used.
Of each method the values of dhauds_jax/recipes/tuned.py are tried with every seed, and further ones while the best is
the last of its row; it is scored as a cell of a board is (--score=offline, online), ties go to the lower NLL, then to
the default. What collapses cannot win, and a method that no value makes better than it is at rate 0 keeps its default
(dhauds_jax/recipes/tuning.py). Trials are records in WORKDIR and are not repeated; tuning.jsonl there has all curves.
"""

from __future__ import annotations

from dhauds_jax.command import app, flags, outputs
from dhauds_jax.runs.requests.tune import TuneRun

flags.flags_of(TuneRun)


def main() -> str:
    outputs.check("output", file=True)
    flags.start()
    from dhauds_jax.runs.tune import tune

    return tune(flags.from_flags(TuneRun), app.command())


if __name__ == "__main__":
    app.run(main, stopped=app.GOES_ON)
