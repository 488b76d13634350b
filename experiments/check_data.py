"""Checks a copy of a data set before it is used: lists, counts, and every file.

Example: python -m experiments.check_data --dataset=arabic_speech_commands --data_dir=FOLDER
One line a finding (kind: file: what was found, expected what should be), then a summary. Exit code 0: the copy can
serve (with warnings, if any: silent, off-rate, off-length, duplicated); 1: it cannot (unreadable or empty files, absent
files, missing classes, other counts than the published, clips listed twice); 2: there is no such set or folder.
"""

from __future__ import annotations

import sys

from absl import flags

from dhauds_jax.command import app

CANNOT_SERVE = 1
"""Exit code for a copy that cannot serve."""

FLAGS = flags.FLAGS
flags.DEFINE_string("dataset", None, "Data set or noise corpus (an unknown name lists them).")
flags.DEFINE_string("data_dir", None, "Folder of the data set.")
flags.DEFINE_list("split", [], "Splits to check (default: all of the set's).")
flags.DEFINE_bool("allow_partial", False, "Absent files, missing classes and other counts are warnings only.")
flags.DEFINE_string("prepare", None, "If the copy can serve, build its TFDS cache (TFRecord files) in this folder.")
flags.DEFINE_bool("json", False, "Print one JSON object a finding, and a last one with the summary.")


def main() -> str:
    from dhauds_jax.runs.check_data import CheckRun, check

    text, serves = check(CheckRun(**{name: getattr(FLAGS, name) for name in CheckRun._fields}))
    if not serves:
        print(text)
        sys.exit(CANNOT_SERVE)
    return text


if __name__ == "__main__":
    flags.mark_flags_as_required(["dataset", "data_dir"])
    app.run(main)
