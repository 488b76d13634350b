"""Makes tables and figures from the records of one or more work folders.

Example: python -m experiments.report --workdir=out
Writes WORKDIR/report/report.md and its PNG figures (of the first folder when several are given), with --html also
report.html, one page that holds them all. Records of experiments.sweep are printed beside the published values.
With --fill=docs/results.md the tables marked in that page are rendered anew from the records that its marks name.
"""

from __future__ import annotations

from absl import flags

from dhauds_jax.command import app

FLAGS = flags.FLAGS
flags.DEFINE_list("workdir", None, "Folders with results.jsonl, comma-separated; their records are put together.")
flags.DEFINE_string("output", None, "Folder for the report (default: report/ in the first work folder).")
flags.DEFINE_bool("html", False, "Also write report.html: tables and figures in one self-contained page.")
flags.DEFINE_string("fill", None, "Render the marked tables of this Markdown page instead of a report.")


def main() -> str:
    from dhauds_jax.runs.report import report

    return report(FLAGS.workdir, FLAGS.output, FLAGS.html, FLAGS.fill)


if __name__ == "__main__":
    app.run(main)
