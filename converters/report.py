"""What a conversion did, for the screen and the folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

from dhauds_jax.files import write_atomically
from dhauds_jax.wording import of_markdown


class Report(NamedTuple):
    """The record of one conversion.

    Attributes:
      family, output: as on the command line.
      files: name, SHA-256, types of the tensors and key style of each source.
      used: how many source tensors became leaves; ignored: names of those that were set aside.
      parameters: trainable values in the checkpoint; checksum: `checkpoint.variables_hash` of its leaves.
      notes: sentences about what a user should know.
      verified: largest difference by layer, {} where nothing was run.
      beside: whose module it was compared with, "" where nothing was run.
    """

    family: str
    output: str
    files: list[dict[str, Any]]
    used: int
    ignored: list[str]
    parameters: int
    checksum: str
    notes: list[str]
    verified: dict[str, float]
    beside: str = ""


def text(report: Report) -> str:
    """The report as Markdown that also reads well on a screen."""
    lines = [f"# Conversion of {report.family}", ""]
    for file in report.files:
        lines.append(f"- {file['part']}: {file['name']}, {', '.join(file['types'])}, SHA-256 {file['sha256']}")
    lines += [
        f"- source tensors used: {report.used}",
        f"- set aside: {len(report.ignored)}"
        + (f" ({', '.join(_shortened(report.ignored))})" if report.ignored else ""),
        f"- parameters: {report.parameters:,}",
        f"- checksum of the leaves: {report.checksum}",
        *(f"- note: {note}" for note in report.notes),
    ]
    if report.verified:
        lines += ["", f"| layer | largest difference to {report.beside} |", "|---|---:|"]
        lines += [f"| {name} | {value:.2e} |" for name, value in report.verified.items()]
    return "\n".join([*lines, ""])


def write(report: Report, folder: Path) -> None:
    """Writes `report.json` and `report.md` into a checkpoint's folder."""
    record = json.dumps(report._asdict(), indent=2, sort_keys=True) + "\n"
    for name, content in (("report.json", record), ("report.md", of_markdown(text(report)))):
        write_atomically(folder / name, content)


def _shortened(names: list[str], most: int = 6) -> list[str]:
    return names if len(names) <= most else [*names[:most], f"and {len(names) - most} more"]
