"""Measures a classifier on labelled clips: accuracy, macro F1, every class, confusions, calibration, the worst clips.

Example: python -m experiments.evaluate --checkpoint=out/train/checkpoint --dataset=synthetic --corruption=clean,WHN \
--output=out/evaluation
Writes OUTPUT/report.md and, for the clean clips and each corruption, a folder with clips.csv (every clip, the worst
first), classes.csv, confusion.csv, and figures of confusion and calibration; all numbers are in OUTPUT/evaluation.json.
"""

from __future__ import annotations

from dhauds_jax.command import app, flags
from dhauds_jax.runs.requests.evaluate import EvaluateRun

flags.flags_of(EvaluateRun)


def main() -> str:
    flags.start()
    from dhauds_jax.runs.evaluate import evaluate

    return evaluate(flags.from_flags(EvaluateRun), app.command())


if __name__ == "__main__":
    app.run(main)
