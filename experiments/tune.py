"""Gives every method the same number of trials on a validation corruption, and writes the best options to a file.

Example: python -m experiments.tune --dataset=arabic_speech_commands --data_dir=FOLDER --noise_dir=FOLDER \
--checkpoint=out/train/checkpoint --method=tent,shot --corruption=CLP:esc50@6dB --workdir=out/tune --output=tuned.csv
The corruption must not be one of the test's (a held-out noise), and the split is "val": test labels are never used.
Of each method one option is tried at four values (dhauds_jax/recipes/tuned.py); the value with the best metric after
the last epoch wins, the default in a tie. Trials are records in WORKDIR and are not repeated.
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
