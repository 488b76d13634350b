"""Runs a table of experiments, one cell of `experiments.adapt` a row, and writes one record a row to
WORKDIR/results.jsonl.

Example: python -m experiments.sweep --recipes=dhauds --only="SpeechCommandsV2/HuBERT/*" --data_root=data \
--noise_dir=data/noise --checkpoint_root=checkpoints --workdir=out/dhauds
Finished rows are skipped, and a killed sweep goes on with the same command. Rows that cannot run are listed with the
reason in WORKDIR/unavailable.jsonl and tried again the next time. Exit code 1 when a row met a bug (its traceback is in
WORKDIR/bugs/), else 2 when one stopped on bad input, else 3 when a loss or a prediction was not finite; rows whose data
or checkpoint is missing do not count.
"""

from __future__ import annotations

import sys

from dhauds_jax.command import app, flags
from dhauds_jax.requests import Processes
from dhauds_jax.runs.requests.sweep import SweepRun

flags.flags_of(SweepRun, Processes)


def main() -> str:
    flags.start()
    from dhauds_jax.runs.sweep import sweep

    text, code = sweep(flags.from_flags(SweepRun), app.command())
    if code:
        print(text)
        sys.exit(code)
    return text


if __name__ == "__main__":
    app.run(main, stopped=app.GOES_ON)
