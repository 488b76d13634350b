"""Rewrites `frozen.json`: `python -m tests.frozen.make` (all) or `python -m tests.frozen.make NAME ...` (commands).

Only when a number is meant to change; the commit that does so says which numbers and why. A command whose numbers are
not meant to change must not be in the difference: look at `git diff --stat` and at the lines (one cell a line).
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.frozen.commands import COMMANDS
from tests.frozen.compare import kind
from tests.frozen.runs import Runs

STORE = Path(__file__).with_name("frozen.json")


def load() -> dict[str, Any]:
    """The stored kind of processor (`kinds`: of commands made anew on another), and the summaries by command."""
    return json.loads(STORE.read_text(encoding="utf-8"))


def kind_of(stored: dict[str, Any], name: str) -> dict[str, Any]:
    """The kind of processor that a command's summary was made on."""
    return stored.get("kinds", {}).get(name, stored["kind"])


def text(stored: dict[str, Any]) -> str:
    """The file's content, one cell (or leaf of a checkpoint) a line."""
    kinds = f'"kinds": {json.dumps(stored["kinds"])}, ' if stored.get("kinds") else ""
    lines = [f'{{"kind": {json.dumps(stored["kind"])}, {kinds}"commands": {{']
    for name, summary in stored["commands"].items():
        lines.append(f'"{name}": {{')
        for part, cells in summary.items():
            lines.append(f'"{part}": {{')
            for cell, value in cells.items():
                if cell == "leaves":
                    leaves = ",\n".join(f" {json.dumps(path)}: {json.dumps(leaf)}" for path, leaf in value.items())
                    lines.append(f'"leaves": {{\n{leaves}}},')
                else:
                    lines.append(f"{json.dumps(cell)}: {json.dumps(value)},")
            lines[-1] = lines[-1].removesuffix(",") + "},"
        lines[-1] = lines[-1].removesuffix(",") + "},"
    lines[-1] = lines[-1].removesuffix(",") + "}}"
    return "\n".join(lines) + "\n"


def main(names: list[str]) -> None:
    """Runs the commands and writes what they give.

    Raises:
      ValueError: an unknown name.
    """
    unknown = [name for name in names if name not in COMMANDS]
    if unknown:
        raise ValueError(f"unknown commands {', '.join(unknown)}, expected some of {', '.join(COMMANDS)}")
    stored = load() if names else {"kind": kind(), "commands": {}}
    here = {name: kind() for name in names if stored["kind"] != kind()}
    kinds = {name: of for name, of in stored.pop("kinds", {}).items() if name not in names} | here
    if kinds:  # before the commands, as `text` writes it
        stored = {"kind": stored["kind"], "kinds": kinds, "commands": stored["commands"]}
    with tempfile.TemporaryDirectory() as folder:
        runs = Runs(Path(folder))
        try:
            for name in names or COMMANDS:
                stored["commands"][name] = runs.found(name)
                print(f"{name}: {runs.seconds[name]:.1f} s of processor time", flush=True)
        finally:
            runs.close()
    written = text(stored)
    if json.loads(written) != stored:
        raise AssertionError("the written file does not hold what was found")
    STORE.write_text(written, encoding="utf-8")
    print(f"{sum(runs.seconds.values()):.0f} s of processor time in all: {STORE}")


if __name__ == "__main__":
    main(sys.argv[1:])
