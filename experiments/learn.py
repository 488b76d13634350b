"""Teaches a classifier new classes from a folder of a few clips each, and says how far it can be trusted.

Example: python -m experiments.learn --checkpoint=out/train/checkpoint --audio_dir=new_sounds --keep=none \
--output=out/learned
Writes OUTPUT/checkpoint (an ordinary classifier of the learnt classes, for classify, adapt and serve, which says
"unknown" with --reject), classes.csv (of each class its clips, how many are right when left out, the nearest other
class) and report.md (a forecast of the accuracy with its interval, pairs that will be confused, of which classes more
clips help). With a checkpoint that has learnt already the folder's classes are added to its own, and clips of a known
class to that class; --remove=CLASS forgets one, --merge=A,B joins two checkpoints. The network itself is not trained.
"""

from __future__ import annotations

from dhauds_jax.command import app, flags
from dhauds_jax.runs.requests.learn import LearnRun

flags.flags_of(LearnRun)


def main() -> str:
    flags.start()
    from dhauds_jax.runs.learn import learn

    return learn(flags.from_flags(LearnRun), app.command())


if __name__ == "__main__":
    app.run(main)
