"""Checks a copy of a data set before it is used: lists, counts, and every file.

Example: python -m experiments.check_data --dataset=arabic_speech_commands --data_dir=FOLDER
One line a finding (kind: file: what was found, expected what should be), then a summary. Exit code 0: the copy can
serve (with warnings, if any: silent, off-rate, off-length, duplicated); 4: it cannot (unreadable or empty files, absent
files, missing classes, other counts than the published, clips listed twice); 2: there is no such set or folder.
"""

from __future__ import annotations

import sys

from dhauds_jax.command import app, flags, outputs
from dhauds_jax.runs.requests.check_data import CheckRun

CANNOT_SERVE = 4
"""Exit code for a copy that cannot serve."""

flags.flags_of(CheckRun)


def main() -> str:
    outputs.check("prepare")
    from dhauds_jax.runs.check_data import check

    text, serves = check(flags.from_flags(CheckRun))
    if not serves:
        print(text)
        sys.exit(CANNOT_SERVE)
    return text


if __name__ == "__main__":
    app.run(main)
