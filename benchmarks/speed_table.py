"""The table of every network and method beside PyTorch, from docs/records/speed/rows.jsonl.

Example: python -m benchmarks.speed_table --fill=docs/performance.md
Rows that the records lack are said to be not measured; of several records of a row the last one counts.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from dhauds_jax.benchmark import pytorch
from dhauds_jax.files import write_atomically

RECORDS = Path("docs/records/speed/rows.jsonl")
BEGIN, END = "<!-- speed: docs/records/speed/rows.jsonl -->\n", "<!-- end -->"
CLASSES = 15


class Row(NamedTuple):
    """One row of the table: what is timed, of which network, by which method ("" forward), with how many clips."""

    what: str
    net: str
    method: str
    batch: int

    @property
    def command(self) -> str:
        """What measures it."""
        method = f" --method={self.method}" if self.method else ""
        sizes = f"--batch={self.batch} --classes={CLASSES}"
        return f"python -m experiments.benchmark --vs_torch --json --what={self.what} --net={self.net}{method} {sizes}"


METHODS_NET = "hubert_small"
"""The network by which methods are compared: it hears waves, so that copies of clips are the same on both sides."""

ROWS = (
    *(Row("forward", net, "", 8) for net in pytorch.NETS),
    *(Row("adapt", METHODS_NET, name, 8) for name in pytorch.METHODS),
    *(Row("adapt", net, name, 8) for net in pytorch.NETS if net != METHODS_NET for name in ("tent", "dhauds")),
)

WITHOUT_NORM = ("ssast_tiny", "ssast_base", "ast_sc2", "vggish")
"""Networks without BatchNorm, whose layer norms tent moves (vggish has neither)."""


def rows() -> list[Row]:
    """All rows, those that can be; small networks first, so that a run that is stopped has most of them."""
    found = [row for row in ROWS if (row.net, row.method) != ("vggish", "tent")]
    return sorted(found, key=lambda row: pytorch.NETS.index(row.net))


WINOGRAD = ("vggish_small", "vggish")
"""Networks that have Winograd's convolutions, which are for long runs on a processor."""


def options_of(row: Row) -> list[str]:
    """Options that a row needs beside its command."""
    found = ["--options=tent.group=norm"] if row.method == "tent" and row.net in WITHOUT_NORM else []
    return found + ["--compute=convolution=winograd"] * (row.net in WINOGRAD)


def key_of(record: Mapping[str, Any]) -> Row:
    """The row that a record is of."""
    return Row(record["what"], record["net"], record.get("method", ""), record.get("batch", 8))


def read(path: Path) -> dict[Row, Mapping[str, Any]]:
    """The records by their rows, the last one of each."""
    if not path.is_file():
        return {}
    return {key_of(record): record for record in map(json.loads, path.read_text(encoding="utf-8").splitlines())}


def cells(row: Row, record: Mapping[str, Any] | None) -> list[str]:
    """One line of the table."""
    first = [f"`{row.net}`", row.method or "forward", str(row.batch)]
    if record is None:
        return [*first, "", "", "", "not measured", "", ""]
    if "reason" in record:
        return [*first, "", "", "", f"not measured: {record['reason']}", "", ""]
    low, high = record["vs_torch_interval"]
    ratio = f"**{record['vs_torch']:.2f}** ({low:.2f} to {high:.2f})"
    if not record["settled"]:
        ratio = f"not settled: {record['vs_torch']:.2f} ({low:.2f} to {high:.2f}) in {record['vs_torch_rounds']} rounds"
    times = (1000 * seconds for seconds in (record["seconds"], record["torch"]["seconds"]))
    ours, theirs = (f"{ms:,.0f}" if ms >= 1000 else f"{ms:.3g}" for ms in times)
    share = record.get("peak_share")
    peak = "" if share is None else f"{100 * share:.0f} %"
    return [*first, ours, theirs, record["torch"]["mode"], ratio, peak, record["date"]]


HEADER = (
    "network",
    "work",
    "clips",
    "here, ms",
    "PyTorch, ms",
    "PyTorch's mode",
    "ratio (95 %)",
    "share of the peak",
    "date",
)


def table(found: Mapping[Row, Mapping[str, Any]]) -> str:
    """The table of all rows, and how many are measured."""
    lines = ["| " + " | ".join(HEADER) + " |", "|---|---|" + "---:|" * (len(HEADER) - 2)]
    lines += ["| " + " | ".join(cells(row, found.get(row))) + " |" for row in rows()]
    ran = [found[row] for row in rows() if "vs_torch" in found.get(row, {})]
    sure = [record for record in ran if record["settled"]]
    said = f"{len(ran)} of {len(rows())} rows are measured, {len(sure)} of them settled."
    return "\n".join([said, "", *lines]) + "\n"


def filled(text: str, found: Mapping[Row, Mapping[str, Any]]) -> str:
    """A page with its part between `BEGIN` and `END` rendered anew."""
    pattern = re.compile(re.escape(BEGIN) + ".*?" + re.escape(END), re.DOTALL)
    return pattern.sub(lambda _: BEGIN + table(found) + END, text)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=Path, default=RECORDS)
    parser.add_argument("--fill", type=Path, required=True, help="page whose part is rendered")
    given = parser.parse_args(arguments)
    page = given.fill.read_text(encoding="utf-8")
    write_atomically(given.fill, filled(page, read(given.records)))
    print(f"table rendered: {given.fill}")


if __name__ == "__main__":
    main()
