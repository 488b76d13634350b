"""What `experiments.report` is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dhauds_jax.requests import Request, flag


@dataclass(frozen=True, kw_only=True)
class ReportRun(Request):
    """The flags of `experiments.report`."""

    workdir: Sequence[str] | None = flag(
        "Folders with results.jsonl, zeroshot.jsonl, crossval.jsonl or incremental.jsonl, comma-separated; all records "
        "are put together.",
        None,
    )
    output: str | None = flag("Folder for the report (default: report/ in the first work folder).", None)
    html: bool = flag("Also write report.html: tables and figures in one self-contained page.", False)
    format: Sequence[str] = flag(
        "Also write every table as files for a paper, into tables/ of the report: csv (tidy, numbers in full), latex "
        "(booktabs), or csv,latex.",
        (),
    )
    compare: str | None = flag(
        "Methods to compare in pairs over seeds and cells, comma-separated, such as dhauds,tent: the first with "
        "each of the others.",
        None,
    )
    fill: str | None = flag("Render the marked tables of this Markdown page instead of a report.", None)
