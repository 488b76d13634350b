"""Makes tables and figures from the records of one or more work folders.

Example: python -m experiments.report --workdir=out
Writes WORKDIR/report/report.md and its PNG figures (of the first folder when several are given).
"""

from __future__ import annotations

from absl import flags

from experiments import app

FLAGS = flags.FLAGS
flags.DEFINE_list("workdir", None, "Folders with results.jsonl, comma-separated; their records are put together.")
flags.DEFINE_string("output", None, "Folder for the report (default: report/ in the first work folder).")


def main() -> str:
    from experiments.reporting import write_report

    return write_report(FLAGS.workdir, FLAGS.output)


if __name__ == "__main__":
    flags.mark_flags_as_required(["workdir"])
    app.run(main)
