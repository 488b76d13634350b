"""Makes tables and figures from the records of one or more work folders.

Example: python -m experiments.report --workdir=out
Writes WORKDIR/report/report.md and its PNG figures (of the first folder when several are given), with --html also
report.html, one page that holds them all, with --format=csv,latex every table for a paper in WORKDIR/report/tables.
--compare=dhauds,tent compares methods in pairs over seeds and cells (docs/reports.md). Records of experiments.sweep are
printed beside the published values.
With --fill=docs/results.md the tables and figures marked in that page are rendered anew from the records that its
marks name.
"""

from __future__ import annotations

from dhauds_jax.command import app, flags, outputs
from dhauds_jax.runs.requests.report import ReportRun

flags.flags_of(ReportRun)


def main() -> str:
    outputs.check("output")
    from dhauds_jax.runs.report import report

    return report(flags.from_flags(ReportRun))


if __name__ == "__main__":
    app.run(main)
