"""The whole story on an embedded synthetic corpus: train, corrupt, adapt, report, in minutes on two CPU cores.

Example: python -m experiments.quickstart --workdir=out
Nothing is downloaded. A small AMAuT learns synthetic words from clean speakers; six corruptions break it on unseen
speakers; test-time adaptation repairs it without labels. The report appears in WORKDIR/report/report.md. A killed run
goes on with the same command.
"""

from __future__ import annotations

from dhauds_jax.command import app, flags
from dhauds_jax.runs.requests.quickstart import Quickstart

flags.flags_of(Quickstart)

MINUTES = "2 to 3"
"""What it takes on two CPU cores with nothing compiled before (docs/performance.md)."""


def greeting() -> str:
    run = flags.from_flags(Quickstart)
    about = f"with seed {run.seed}, {MINUTES} minutes on two CPU cores the first time"
    return f"the whole story on synthetic words, {about}; everything goes to {run.workdir}"


def main() -> str:
    from dhauds_jax.runs.quickstart import quickstart

    return quickstart(flags.from_flags(Quickstart), app.command())


if __name__ == "__main__":
    app.run(main, greeting, stopped=app.GOES_ON)
