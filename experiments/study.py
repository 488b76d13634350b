"""Runs one method over many learning rates and seeds at once, and writes one record for each to WORKDIR/results.jsonl.

Example: python -m experiments.study --dataset=synthetic --checkpoint=out/train/checkpoint --method=tent \
--corruption=WHN --level=L2 --protocol=offline --lr=1e-4,3e-4,1e-3,3e-3 --seeds=0,1,2,3 --workdir=out/study
Each record is that of experiments.adapt with --options=lr=RATE --seed=SEED, up to rounding. Copies of a run go through
one compiled step: only the parameters that the method moves have copies, and all rates of a seed share its batches.
Finished runs are skipped; a killed study goes on at the group of copies it was in.
"""

from __future__ import annotations

from dhauds_jax.command import app, flags
from dhauds_jax.runs.requests.study import StudyRun

flags.flags_of(StudyRun)


def main() -> str:
    flags.start()
    from dhauds_jax.runs.study import run_study

    return run_study(flags.from_flags(StudyRun), app.command())


if __name__ == "__main__":
    app.run(main, stopped=app.THE_REST)
