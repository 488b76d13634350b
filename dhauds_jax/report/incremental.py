"""Tables of class-incremental courses: learner x head, each corruption, what adaptation did, and who was forgotten."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dhauds_jax.names import CLEAN
from dhauds_jax.report import incremental_figures as figures
from dhauds_jax.report.intervals import student
from dhauds_jax.report.tables import Record, grouped, latest, table
from dhauds_jax.wording import counted

PLACE = ("dataset", "net", "way", "shot", "sessions", "base_way", "base_shot")
"""What must be equal for courses to stand in one table."""

CONDITION = ("corruption", "level")

_LINE = ("learner", "head", "profile", "order", "memory", "exemplars_from", "shots_corruption", "tta", "tta_reset")
_LINE = (
    *_LINE,
    "tta_sessions",
    "tta_batch_size",
    "tta_options",
    "reject",
    "precision",
    "cache_dtype",
    "noise",
    "listing",
)
_LINE = (*_LINE, "source_checkpoint", "options")
"""What names a line: its seeds are averaged."""

_APART = (*PLACE, *CONDITION)
"""Names a line too, where a page has several of them in one table."""

_HASHES = ("source_checkpoint", "listing", "noise")
"""Of these, what a name has the first digits of; `listing` names all clips that shots and tests are drawn from."""

_NAMED = ("learner", "head", "tta", "options", "tta_options")
"""Of these, what stands in the line's name in another way."""

_MAY_LACK = ("tta_sessions", "tta_batch_size", "noise", "reject", "precision", "cache_dtype", "listing")
"""Of these, what does not differ between a line that has it and one that lacks it."""

NONE = "none"

_INTRODUCTION = (
    "Every number comes from the records in incremental.jsonl. *AA*: mean over the sessions of the accuracy on all "
    "classes seen by then (the mean over classes); *PD*: its first minus its last value; *last*: after the last "
    "session; *forgetting*, *BWT*: over the sessions before the last. Every head of a learner stands there, none is "
    "chosen by test labels. *labels*: distinct labelled clips that were looked at; *held*: what is kept between "
    "sessions; *seconds*: learning all sessions, the network read apart. *AUROC*: test clips of classes not yet learnt "
    "against those of known ones, mean over the sessions that have some; *accepted*: share of known test clips above "
    "the threshold that the shots gave. What adapts after the last session alone has no means over sessions. ECE at "
    "temperature 1 and at that of left-out shots. In %, with ± half of Student's 95 % interval over seeds."
)


class Line(NamedTuple):
    """Courses that differ in their seed alone: of each seed the record that was written last."""

    name: str
    members: list[Record]

    @property
    def first(self) -> Record:
        """One of them, for what they share."""
        return self.members[0]


def lines_of(found: Sequence[Record]) -> list[Line]:
    """The lines of a table, each named by its learner and head, and by what else differs between some of them."""
    same: dict[str, dict[str, Record]] = {}
    for record in found:
        same.setdefault(repr([_told(record, key) for key in (*_LINE, *_APART)]), {})[str(record["seed"])] = record
    lines = [list(members.values()) for members in same.values()]
    varying = [key for key in (*_APART, *_LINE) if key not in _NAMED and len(_values(lines, key)) > 1]
    return [Line(_name(members[0], varying, lines), members) for members in lines]


def _told(record: Record, key: str) -> Any:
    """What a record says under a key; older ones adapted after every session, and rounded nothing that was read."""
    older = {"cache_dtype": "float32", "tta_sessions": None if record["tta"] == NONE else "all"}
    return record.get(key, older.get(key))


def _values(lines: Sequence[Sequence[Record]], key: str) -> set[str]:
    """What lines have under a key."""
    found = [_told(members[0], key) for members in lines]
    return {str(value) for value in found if value is not None or key not in _MAY_LACK}


def _name(record: Record, varying: Sequence[str], lines: Sequence[Sequence[Record]]) -> str:
    """Learner, head where it has another name, adaptation, and what differs between lines."""
    head = f" ({record['head']})" if record["head"] != record["learner"] else ""
    adapted = f" + {record['tta']}" if record["tta"] != NONE else ""
    known = {key: _told(record, key) for key in varying if _told(record, key) is not None}
    for key in ("way", "shot"):  # of a first session like the others nothing is said
        if str(known.get(f"base_{key}")) == str(record[key]):
            del known[f"base_{key}"]
    marks = [f"{key}={str(value)[:8] if key in _HASHES else value}" for key, value in known.items()]
    for named, key, before in (("learner", "options", ""), ("tta", "tta_options", f"{record['tta']}.")):
        others = [m[0].get(key) or {} for m in lines if m[0][named] == record[named]]
        own = (record.get(key) or {}).items()
        marks += [
            f"{before}{k}={v}"
            for k, v in own
            if f"{before}{k}" not in known and any(other.get(k) != v for other in others)
        ]
    return f"{record['learner']}{head}{adapted}" + (f" [{', '.join(marks)}]" if marks else "")


def with_student(values: Sequence[float | None], scale: float = 100.0, digits: int = 1) -> str:
    """Mean and half width of Student's interval; the mean alone of one value, "-" of none."""
    known = [scale * value for value in values if value is not None]
    if not known:
        return "-"
    found = student(known)
    mean = f"{np.mean(known):.{digits}f}"
    return mean if found is None else f"{mean} ± {found[1]:.{digits}f}"


def over_sessions(record: Record, key: str) -> float | None:
    """The mean over the sessions that have the number."""
    known = [value for value in record["per_session"].get(key) or () if value is not None]
    return float(np.mean(known)) if known else None


def last_of(record: Record, key: str) -> float | None:
    """The number after the last session."""
    values = record["per_session"].get(key) or [None]
    return values[-1]


def size(count: int) -> str:
    """Bytes, kB or MB, in powers of ten."""
    for unit, scale in (("MB", 1e6), ("kB", 1e3)):
        if count >= scale:
            return f"{count / scale:.3g} {unit}"
    return f"{count} B"


def lines_table(found: Sequence[Record]) -> str:
    """A line a learner and head: accuracies with their intervals, labels, bytes, seconds, calibration, unknowns."""
    header = ["learner (head)", "seeds", "AA", "PD", "last", "forgetting", "BWT", "ECE", "ECE calibrated"]
    header += ["AUROC", "accepted", "labels", "held", "seconds"]
    rows = []
    for line in lines_of(found):
        members, first = line.members, line.first
        row = [line.name, str(len(members))]
        row += [with_student([r[key] for r in members]) for key in ("AA", "PD", "last", "forgetting", "bwt")]
        row += [with_student([last_of(r, key) for r in members]) for key in ("ece", "ece_calibrated")]
        row += [with_student([over_sessions(r, key) for r in members]) for key in ("auroc_unknown", "accepted")]
        row += [str(first["labels_used"]), size(first["bytes_held"])]
        row.append(f"{np.mean([r['seconds'] for r in members]):.3g}")
        rows.append(row)
    return table(header, rows)


def adaptation_table(found: Sequence[Record]) -> str:
    """What adaptation changed after the last session, in points; "" where there was none."""
    plain = {_twin(record): record for record in found if record["tta"] == NONE}
    rows = []
    adapted = grouped([record for record in found if record["tta"] != NONE], CONDITION)
    for line in [line for some in adapted.values() for line in lines_of(some)]:
        pairs = [(plain.get(_twin(r)), r) for r in line.members]
        pairs = [(before, after) for before, after in pairs if before is not None]
        row = [line.name, f"{line.first['corruption']}-{line.first['level']}".removesuffix("--"), str(len(pairs))]
        row.append(with_student([before["last"] for before, _ in pairs]))
        for key in ("all", "former", "current"):
            row.append(with_student([_change(*pair, key) for pair in pairs]))
        row.append(f"{np.mean([np.nansum(_seconds(r)) for r in line.members]):.3g}")
        rows.append(row)
    header = ["learner + adaptation", "corruption", "seeds", "last, before", "all", "former", "current", "seconds"]
    return table(header, rows) if rows else ""


def _twin(record: Record) -> tuple[Any, ...]:
    keys = [key for key in (*PLACE, *CONDITION, *_LINE, "seed") if not key.startswith("tta")]
    return tuple(repr(_told(record, key)) for key in keys)


def _change(before: Record, after: Record, key: str) -> float | None:
    values = [last_of(record, key) for record in (before, after)]
    return None if None in values else values[1] - values[0]


def _seconds(record: Record) -> list[float]:
    return [np.nan if value is None else value for value in record["per_session"].get("seconds_tta") or [np.nan]]


def sessions_table(found: Sequence[Record]) -> str:
    """All, former and current classes after each session, mean over seeds."""
    count = found[0]["sessions"]
    header = ["learner (head)", "classes", *(str(number + 1) for number in range(count))]
    rows = []
    for line in lines_of(found):
        for key in ("all", "former", "current"):
            values = [[r["per_session"][key][s] for r in line.members] for s in range(count)]
            known = [[value for value in some if value is not None] for some in values]
            rows.append([line.name, key, *(f"{100 * np.mean(some):.1f}" if some else "-" for some in known)])
    return table(header, rows)


def title(place: Sequence[Any]) -> str:
    """The values of `PLACE` as a heading."""
    dataset, net, way, shot, sessions, base_way, base_shot = place
    base = f" after {base_way} classes" if base_way != way else ""
    clips = f" ({base_shot} clips each)" if base_shot != str(shot) else ""
    return f"{dataset}, {net}: {sessions} sessions of {way} classes{base}{clips}, {shot} clips each"


def render(found: Sequence[Record], folder: Path) -> str:
    """The report's text on class-incremental courses; figures are written into `folder`."""
    kept = latest(found)
    parts = ["# Class-incremental learning", "", _INTRODUCTION, ""]
    for number, (place, members) in enumerate(grouped(kept, PLACE).items(), 1):
        parts += [f"## {title(place)}", "", _of_place(members), ""]
        for (corruption, level), some in grouped(members, CONDITION).items():
            where = "As recorded" if corruption == CLEAN else f"Tested under {corruption}-{level}"
            parts += [f"{where}:", "", lines_table(some)]
        if said := adaptation_table(members):
            parts += ["Changes by adaptation after the last session, in points:", "", said]
        shown = next(iter(grouped([r for r in members if r["tta"] == NONE] or members, CONDITION).values()))
        parts += [*_figures(lines_of(shown), number, folder), "After each session:", "", sessions_table(shown)]
    return "\n".join([*parts, "## Provenance of the courses", "", _provenance(kept) + _left_out(kept)])


def _of_place(found: Sequence[Record]) -> str:
    """What is tested, and of every network among the records whether it knew these classes beforehand."""
    counts = sorted({record["n"] for record in found})  # seeds draw classes, which may have more or fewer clips
    tested = f"{counts[0]:,}" if len(counts) == 1 else f"{counts[0]:,} to {counts[-1]:,}"
    clips = f"{tested} test clips of {len(found[0]['classes'])} classes"
    networks = {record["source_checkpoint"]: record["backbone"] for record in found}
    return f"{clips}; {'; '.join(map(_of_network, networks.values()))}."


def _of_network(backbone: Mapping[str, Any]) -> str:
    knew, trained_on, weights = backbone["knew_these_classes"], backbone["trained_on"], backbone["hash"]
    if (trained_on, weights) == ("unknown", "unknown"):  # vectors of another tool
        return "what made the vectors, and whether it was trained on these classes, is not known"
    heard = f"was trained to tell {knew} of these classes apart" if knew else "was not trained on these classes"
    if knew is None:
        heard = "knew an unknown number of these classes beforehand"
    return f"the network {heard} (trained on: {trained_on}, {weights[:12]})"


def _left_out(kept: Sequence[Record]) -> str:
    """Says how many records were written anew for a seed of a line, so that they count once; "" where none was."""
    shown = sum(len(line.members) for some in grouped(kept, (*PLACE, *CONDITION)).values() for line in lines_of(some))
    older = len(kept) - shown
    said = f"{counted(older, 'record')} of a seed that was run again later: the last one counts"
    return f"* left out: {said}\n" if older else ""


def _figures(lines: Sequence[Line], number: int, folder: Path) -> list[str]:
    """The figures of one place, as Markdown."""
    made = [(line.name, line.members) for line in lines]
    figures.over_sessions(made, folder / f"incremental-sessions-{number}.png")
    figures.matrices(made, folder / f"incremental-matrix-{number}.png")
    figures.sureness(made, folder / f"incremental-sureness-{number}.png")
    figures.against_bytes(made, folder / f"incremental-bytes-{number}.png")
    names = {
        "sessions": "accuracy over sessions",
        "matrix": "accuracy on each session's classes after each session",
        "sureness": "reliability, and unknown against known clips kept",
        "bytes": "accuracy against bytes held",
    }
    return [line for key, said in names.items() for line in (f"![{said}](incremental-{key}-{number}.png)", "")]


def _provenance(found: Sequence[Record]) -> str:
    commands = dict.fromkeys(f"`{record['command']}`" for record in found)
    said = [f"commands: {'; '.join(commands)}"]
    for word, key in (("code", "git_revision"), ("device", "device"), ("network", "source_checkpoint")):
        said.append(f"{word}: {', '.join(sorted({str(r[key])[:40] for r in found}))}")
    return "".join(f"* {line}\n" for line in said)


def tidy_rows(found: Sequence[Record]) -> list[Mapping[str, object]]:
    """A row a session of every course for a csv file, numbers in full."""
    keys = (
        *PLACE[:-1],
        *CONDITION,
        "seed",
        *(k for k in _LINE if not k.endswith("options")),
        "labels_used",
        "bytes_held",
    )
    own = ("all", "former", "current", "base", "novel", "ece", "nll", "auroc_unknown", "accepted", "seconds")
    some = ("auroc_background", "accepted_background", "before_all", "seconds_tta")
    return [
        {
            **{key: record.get(key) for key in keys},
            "options": " ".join(f"{k}={v}" for k, v in record["options"].items()),
            "tta_options": " ".join(f"{k}={v}" for k, v in (record.get("tta_options") or {}).items()),
            "session": number,
            **{key: record["per_session"][key][number] for key in own},
            **{key: (record["per_session"].get(key) or {number: None})[number] for key in some},
        }
        for record in latest(found)
        for number in range(record["sessions"])
    ]
