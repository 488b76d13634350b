"""Result records: one JSON object a finished cell, from which every table and figure is made."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from dhauds_jax import json_texts, schemas
from dhauds_jax.errors import BadInput
from dhauds_jax.files import check_no_link, named, one_line, write_atomically
from dhauds_jax.parallel import writes
from dhauds_jax.workdir import record_types

KEYS = (
    "dataset",
    "corruption",
    "level",
    "net",
    "method",
    "protocol",
    "profile",
    "metric",
    "n",
    "seed",
    "non_adapted",
    "adapted_last",
    "adapted_selected",
    "adapted_oracle",
    "selection",
    "curve",
    "ece",
    "nll",
    "seconds",
    "passes",
    "parameters_moved",
    "peak_memory_mb",
    "collapsed",
    "options",
    "source_checkpoint",
    "git_revision",
    "versions",
    "device",
    "command",
)
"""What every record of a cell has; more keys are welcome."""

SCHEMA = schemas.Schema(2)
FORMAT = SCHEMA.number
"""Of the records that are written, under the key "format"; those without one are of format 1.

A cell's name (`cells.cell.cell_id`) is made of other things in each format: a record of another one never counts as
done. Since 2 it covers the content of the data, source clips and plug-ins.
"""

_ALWAYS = ("dataset", "corruption", "level", "net", "method", "protocol", "metric", "seed", "adapted_last", "options")
_UNKNOWN: Mapping[str, Any] = MappingProxyType(
    {
        "profile": "reference",
        "n": 0,
        **dict.fromkeys(("non_adapted", "adapted_selected", "adapted_oracle", "ece", "nll", "seconds"), math.nan),
        "selection": {"criterion": "unknown", "epoch": 0, "oracle_epoch": 0},
        "curve": [],
        "passes": {"forward": math.nan, "backward": math.nan, "evaluation": math.nan},
        "parameters_moved": 0,
        "peak_memory_mb": math.nan,
        "collapsed": False,
        **dict.fromkeys(("source_checkpoint", "git_revision", "device", "command"), "unknown"),
        "versions": {},
    }
)


class Kind(NamedTuple):
    """Records that lie in one file.

    Attributes:
      file: its name in a work folder.
      keys: that each record must have.
      always: keys without which a line is no record; the others are filled when an older record lacks them.
      unknown: what they are filled with.
    """

    file: str
    keys: tuple[str, ...]
    always: tuple[str, ...]
    unknown: Mapping[str, Any]


ZEROSHOT_KEYS = (
    *KEYS,
    "scorer",
    "prototypes",
    "background",
    "weight",
    "weight_chosen_by",
    "template",
    "scale",
    "train",
    "normalised",
    "uses",
    "long",
    "topn",
    "gap",
)
"""Of a row of `experiments.zeroshot`: `non_adapted` is without any correction, `adapted_last` with the row's weight,
`adapted_selected` with the weight that is chosen without labels, `adapted_oracle` with the best by labels."""

CROSSVAL_KEYS = (
    "dataset",
    "net",
    "profile",
    "metric",
    "n",
    "seed",
    "selection",
    "chosen_by",
    "folds",
    "fold_rule",
    "views",
    "noise_clips",
    "extra_dataset",
    "extra",
    "classes",
    "absent",
    "by_fold",
    "majority",
    "auc",
    "accuracy",
    "ece",
    "ece_before",
    "nll",
    "oracle_auc",
    "gap",
    "pooled_auc",
    "test",
    "options",
    "seconds",
    "peak_memory_mb",
    "source_checkpoint",
    "git_revision",
    "versions",
    "device",
    "command",
)
"""Of a whole cross-validation: `auc`, `accuracy`, `ece` and `nll` are means over the folds, each with the epoch and the
temperature that `selection` chose; `ece_before` at temperature 1; `majority` the share of the largest class;
`oracle_auc` with those that are best on the fold itself, `gap` what that adds (None where the oracle chose), `test`
what models and ensemble say of unseen clips."""
_CROSSVAL_ALWAYS = ("dataset", "net", "profile", "metric", "seed", "selection", "folds", "auc", "by_fold", "options")

INCREMENTAL_KEYS = (
    "dataset",
    "corruption",
    "level",
    "net",
    "profile",
    "metric",
    "n",
    "seed",
    "learner",
    "head",
    "tta",
    "tta_reset",
    "shots_corruption",
    "way",
    "shot",
    "sessions",
    "base_way",
    "base_shot",
    "order",
    "memory",
    "exemplars_from",
    "labels_used",
    "bytes_held",
    "classes",
    "per_session",
    "AA",
    "PD",
    "last",
    "forgetting",
    "bwt",
    "matrix",
    "ece",
    "nll",
    "seconds",
    "peak_memory_mb",
    "options",
    "backbone",
    "source_checkpoint",
    "git_revision",
    "versions",
    "device",
    "command",
)
"""Of a course of sessions, one learner with one seed, for one head, corruption and adaptation: `per_session` has of
each number a list with an entry a session (`per_class` by the class's name), None where there is nothing to measure;
`AA` is the mean over sessions of `all`, `PD` its first minus its last, `last` the last; `ece` and `nll` are those
after the last session; `labels_used` counts the distinct labelled clips that were looked at, `bytes_held` what is
kept."""
_INCREMENTAL_ALWAYS = ("dataset", "corruption", "level", "net", "seed", "learner", "head", "tta", "per_session", "AA")

TUNING_KEYS = (
    *("dataset", "corruption", "level", "net", "method", "protocol", "profile", "metric", "n", "seeds", "epochs"),
    *("batch_size", "chosen", "why", "floor", "trials", "seconds", "source_checkpoint", "git_revision", "versions"),
    *("device", "command"),
)
"""Of one method's tuning: `trials` and the `floor` (the method at rate 0) each with `options`, and with `scores`, `nll`
and `collapsed` a seed; `chosen` are the options of the trial that won, `why` a word of `recipes.tuning.REASONS`."""
_TUNING_ALWAYS = ("dataset", "corruption", "level", "net", "method", "protocol", "chosen", "floor", "trials")

KINDS = {
    "results": Kind("results.jsonl", KEYS, _ALWAYS, _UNKNOWN),
    "zeroshot": Kind(
        "zeroshot.jsonl", ZEROSHOT_KEYS, (*_ALWAYS, "scorer", "prototypes", "background", "weight", "uses"), _UNKNOWN
    ),
    "crossval": Kind("crossval.jsonl", CROSSVAL_KEYS, _CROSSVAL_ALWAYS, {}),
    "incremental": Kind("incremental.jsonl", INCREMENTAL_KEYS, _INCREMENTAL_ALWAYS, {}),
    "tuning": Kind("tuning.jsonl", TUNING_KEYS, _TUNING_ALWAYS, {}),
}
FILE = KINDS["results"].file
_OTHERS = ", experiments.zeroshot, experiments.crossval, experiments.incremental or experiments.tune"
BAD_FILES = "bad_files.txt"
"""Beside the results: what `--on_bad_file=skip` left out, one line a file."""


def append(folder: Path, record: Mapping[str, Any], kind: str = "results") -> None:
    """Adds a record to its file in `folder` in one write, so that a killed run never leaves half of one behind it.

    Its "format" is written before its own keys. Of several processes of one run the first one alone writes.

    Raises:
      ValueError: the record lacks a key of its kind.
      BadInput: the file is a link: what it leads to belongs to somebody else.
    """
    missing = [key for key in KINDS[kind].keys if key not in record]
    if missing:
        raise ValueError(f"the record lacks the keys {', '.join(missing)}")
    if not writes():
        return
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / KINDS[kind].file
    line = json.dumps({"format": FORMAT, **record}, sort_keys=False, allow_nan=False) + "\n"
    check_no_link(path)
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0)
    handle = os.open(path, flags, 0o666)  # less what the umask takes
    try:
        size = os.fstat(handle).st_size
        if size and _last_byte(handle) != b"\n":
            line = "\n" + line  # a torn last line (power cut) is skipped when reading; keep ours apart from it
        with named(path):
            _write_all(handle, line.encode())
            os.fsync(handle)
    finally:
        os.close(handle)


def _last_byte(handle: int) -> bytes:
    os.lseek(handle, -1, os.SEEK_END)  # an appending handle writes at the end wherever it stands
    return os.read(handle, 1)


def _write_all(handle: int, data: bytes) -> None:
    """Writes all of `data`: the system may take a part at a time, such as on a network disk or one that is filling."""
    while data:
        data = data[os.write(handle, data) :]


def note_bad_files(folder: Path, skipped: Iterable[tuple[str, str]]) -> None:
    """Adds files that were left out to `folder/bad_files.txt`: id, tab, what is wrong with it; earlier ones stay.

    Of several processes of one run the first one alone writes.

    Args:
      folder: where the results are.
      skipped: (id, reason) of each; nothing is written for none.
    """
    found = {name: " ".join(reason.split()) for name, reason in skipped}
    if not found or not writes():
        return
    path = Path(folder) / BAD_FILES
    earlier = path.read_text(encoding="utf-8").splitlines() if path.exists() else ()
    lines = {**dict(line.partition("\t")[::2] for line in earlier), **found}
    text = "".join(f"{name}\t{reason}\n" for name, reason in lines.items())
    write_atomically(path, text.encode("utf-8", errors="backslashreplace"))


def read(folder: Path, kind: str = "results", checked: bool = False) -> list[dict[str, Any]]:
    """The records of a folder in the order they were written, of every format.

    What an older record lacks is filled as unknown; lines that are no record are left out.

    Args:
      folder: where they lie.
      kind: of them.
      checked: whether tables and figures are made of them, so that values of other types than ours are refused.

    Raises:
      BadInput: a newer version wrote one of them; values that no table can show.
    """
    about = KINDS[kind]
    path = Path(folder) / about.file
    if not path.exists():
        return []
    records = []
    for line in path.read_bytes().split(b"\n"):
        try:
            record = json_texts.parsed(line)
        except json_texts.NotJson:
            continue
        record = _without_controls(record) if _CONTROL.search(line) else record
        if not isinstance(record, dict):
            continue
        schemas.refuse_newer(record, SCHEMA, str(path))
        if all(key in record for key in about.always):
            records.append({**about.unknown, **record})
    if checked:
        record_types.check(records, kind, path)
    return records


_CONTROL = re.compile(rb"\\[bfnrtu]|[^\x20-\x7e]")  # how JSON may hold one; most lines have neither


def _without_controls(value: Any) -> Any:
    """A record whose texts begin no line and move no cursor: what was in a file goes into tables and sentences."""
    if isinstance(value, str):
        return one_line(value)
    if isinstance(value, dict):
        return {one_line(key): _without_controls(one) for key, one in value.items()}
    return [_without_controls(one) for one in value] if isinstance(value, list) else value


class Done(NamedTuple):
    """The records of a folder that count as done, by the names of their cells, and how many are of another format."""

    cells: dict[str, dict[str, Any]]
    set_aside: int

    @property
    def note(self) -> str:
        """A clause that says how many records were set aside, with a comma before it; "" for none."""
        if not self.set_aside:
            return ""
        return f", {self.set_aside} of another format than {FORMAT} set aside (in reports, but run again)"


def done(folder: Path, kind: str = "results") -> Done:
    """What need not be run again: the last record of each cell, of this format alone."""
    found = read(folder, kind)
    mine = [record for record in found if record.get("format") == FORMAT]
    named = {record["cell"]: record for record in mine if isinstance(record.get("cell"), str)}
    return Done(named, len(found) - len(mine))


def read_all(folders: Iterable[Path], expected: str = FILE) -> list[dict[str, Any]]:
    """Records of several folders, `checked`.

    Args:
      folders: the folders.
      expected: the files that would do, for the sentence on a folder without any.

    Raises:
      BadInput: a folder has none, or what `read` refuses.
    """
    records = []
    for folder in folders:
        found = read(folder, checked=True)
        path = Path(folder) / FILE
        if not found and path.exists() and path.stat().st_size:
            raise BadInput(
                f"no records in {folder}: no line of its {FILE} has the keys {', '.join(_ALWAYS)}; expected what "
                "experiments.adapt wrote"
            )
        if not found:
            raise BadInput(
                f"no records in {folder}: expected a {expected} there, as experiments.adapt"
                f"{_OTHERS if expected != FILE else ''} writes it"
            )
        records += found
    return records
