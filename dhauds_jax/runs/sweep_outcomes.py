"""What became of the rows of a sweep: why one did not run, the list of those, the summary and the exit code."""

from __future__ import annotations

import json
import sys
import traceback
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from dhauds_jax import json_texts, parallel
from dhauds_jax.command import app
from dhauds_jax.data.corruptions import needs_noise
from dhauds_jax.data.corruptions.noise import find_recordings
from dhauds_jax.errors import BadInput, lost_process
from dhauds_jax.files import write_atomically
from dhauds_jax.names import CLEAN
from dhauds_jax.nets import checkpoint as checkpoints
from dhauds_jax.recipes.rows import Roots
from dhauds_jax.recipes.table import Recipe, Row
from dhauds_jax.wording import counted, plural
from dhauds_jax.workdir import records

UNAVAILABLE = "unavailable.jsonl"
BUGS = "bugs"
"""Folder in the work folder with the tracebacks of the rows that met a bug, row-NUMBER.txt each."""


class Outcome(NamedTuple):
    """What became of a row: `kind` is "run", "finished", or a key of `REASONS`; `sentence` says why it did not run."""

    kind: str
    sentence: str = ""


REASONS = {
    "waits": "wait for what the package does not have yet",
    "missing": "lack data or a checkpoint",
    "bad_input": "stopped on bad input",
    "diverged": "stopped at a loss or a prediction that was not finite",
    "bug": "met a bug",
}
_OF_ONE = {
    "waits": "waits for what the package does not have yet",
    "missing": "lacks data or a checkpoint",
}
"""The words of `REASONS` that differ for one row."""

_CODES = {"bug": app.BUG, "bad_input": app.BAD_INPUT, "diverged": app.DIVERGED}


def exit_code(outcomes: Mapping[int, Outcome]) -> int:
    """That of the worst outcome: 1 for a bug, else 2 for bad input, else 3 for what was not finite, else 0."""
    return min((_CODES[o.kind] for o in outcomes.values() if o.kind in _CODES), default=0)


def of_error(error: Exception, row: Row, workdir: Path | None) -> Outcome:
    """The outcome of a row that ended with an error; a bug's traceback is printed and kept in the work folder, if any.

    Raises:
      BrokenPipeError: the error is that nobody reads the output any more, which ends the sweep; so does one that
        another process of the run is lost.
    """
    if isinstance(error, BrokenPipeError) or lost_process(error):
        raise error
    if isinstance(error, FloatingPointError):
        return Outcome("diverged", str(error))
    sentence = app.said(error)
    if sentence is not None:
        return Outcome("bad_input", sentence)
    text = "".join(traceback.format_exception(error)) + app.bug_report(error) + "\n"
    print(f"row {row.number}, {row.name}:\n{text}", file=sys.stderr, end="", flush=True)
    what = " ".join(f"{type(error).__name__}: {error}".split())[:200]
    if workdir is None:
        return Outcome("bug", what)
    path = traceback_file(workdir, row)
    if parallel.writes():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, text)
    return Outcome("bug", f"{what}; traceback: {path}")


def traceback_file(workdir: Path, row: Row) -> Path:
    """Where the traceback of a row that met a bug is kept."""
    return workdir / BUGS / f"row-{row.number}.txt"


def lacking(row: Row, roots: Roots) -> Outcome | None:
    """Why a row cannot run, as far as folders tell; None when nothing is missing.

    Raises:
      BadInput: its checkpoint's config cannot be read.
    """
    if row.waits_for:
        return Outcome("waits", f"waits for {', '.join(row.waits_for)}")
    checkpoint, data_dir = roots.checkpoint_dir(row), roots.data_dir(row)
    if data_dir is not None and not data_dir.is_dir():
        return Outcome("missing", f"no data: {data_dir} is no folder, expected the data set {row.dataset}")
    if not (checkpoint / checkpoints.CONFIG).is_file():
        return Outcome("missing", f"no checkpoint: {checkpoint} has no {checkpoints.CONFIG}, expected one of {row.net}")
    if row.corruption != CLEAN and needs_noise(row.corruption) and (roots.noise or data_dir is not None):
        rate = checkpoints.load_config(checkpoint).sample_rate
        try:
            find_recordings(roots.noise, row.corruption, row.level, rate)
        except BadInput as error:
            return Outcome("missing", f"no noise: {error}")
    return None


def note(workdir: Path, recipe: Recipe, outcomes: Mapping[int, Outcome], command: Callable[[Row], str]) -> None:
    """Rewrites the list of rows that did not run: those of these outcomes are new, those of other rows stay."""
    if not parallel.writes():
        return
    path = workdir / UNAVAILABLE
    found = listed(path)
    for row in recipe.rows:
        if row.number in outcomes:
            earlier, outcome = found.pop(row.number, {}), outcomes[row.number]
            if earlier.get("kind") == "bug" != outcome.kind:
                traceback_file(workdir, row).unlink(missing_ok=True)
            if outcome.kind in REASONS:
                about = {name: getattr(row, name) for name in ("dataset", "net", "corruption", "level", "method")}
                reason = {"kind": outcome.kind, "reason": outcome.sentence, "command": command(row)}
                found[row.number] = {"recipes": recipe.name, "row": row.number, **about, **reason}
    if found or path.exists():
        write_atomically(path, "".join(json.dumps(found[number]) + "\n" for number in sorted(found)))


def listed(path: Path) -> dict[int, dict[str, Any]]:
    """What the list says, by row; lines that are no entry are left out."""
    found = {}
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else ():
        try:
            entry = json_texts.parsed(line)
        except json_texts.NotJson:
            continue
        if isinstance(entry, dict) and isinstance(entry.get("row"), int):
            found[entry["row"]] = entry
    return found


def summary(recipe: Recipe, rows: Sequence[Row], outcomes: Mapping[int, Outcome], workdir: Path, ran: str) -> str:
    """What became of the rows, and the sentences of those that stopped."""
    counts = Counter(outcome.kind for outcome in outcomes.values())
    words = {"run": ran, "finished": "finished before", **REASONS}
    parts = [
        f"{counts[kind]} {plural(counts[kind], _OF_ONE.get(kind, text), text)}"
        for kind, text in words.items()
        if counts[kind]
    ]
    stopped = [f"row {n}: {o.sentence}" for n, o in sorted(outcomes.items()) if o.kind in _CODES]
    listed = f" (reasons: {workdir / UNAVAILABLE})" if any(counts[kind] for kind in REASONS) else ""
    done = f"{counted(len(rows), 'row')} of {recipe.name}: {', '.join(parts)}"
    return "\n".join([*stopped, f"{done}{listed}: {workdir / records.FILE}"])
