"""Tables of a report: Markdown from records."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import numpy as np

from dhauds_jax.names import CLEAN, TRANSMISSIONS
from dhauds_jax.report import floors
from dhauds_jax.workdir.records import FORMAT

Record = dict[str, Any]
"""A line of results.jsonl (`dhauds_jax.workdir.records`)."""

GROUP = ("dataset", "net", "metric", "profile", "protocol")
"""What must be equal for records to stand in one table."""

_CELL = ("corruption", "level", "seed", "source_checkpoint")


def title(place: Sequence[str]) -> str:
    """The values of `GROUP` as a heading."""
    dataset, net, metric, profile, protocol = place
    where = "all data sets and networks" if dataset == "all" else f"{dataset}, {net}"
    return f"{where}: {protocol}, profile {profile} ({metric})"


def latest(found: Iterable[Record]) -> list[Record]:
    """One record a cell: of those with equal cell names, the last written.

    A cell's name is made of other things in each format of the records, so one of an older format is left out where a
    record of today's has its place, seed, source weights and options.
    """
    kept: dict[Any, Record] = {}
    for index, record in enumerate(found):
        kept[record.get("cell", index)] = record
    again = {_run_of(record) for record in kept.values() if record.get("format") == FORMAT}
    return [record for record in kept.values() if record.get("format") == FORMAT or _run_of(record) not in again]


def _run_of(record: Record) -> str:
    """What a record was asked for, whatever names its cell; a draw's seed is part of it, its checksum is not."""
    place = [record.get(key) for key in (*GROUP, "method", *_CELL)]
    draws = {name: value for name, value in record["options"].items() if "draw" in name and "checksum" not in name}
    return json.dumps([place, {**settings(record), **draws}], sort_keys=True, default=str)


def grouped(found: Sequence[Record], keys: Sequence[str]) -> dict[tuple, list[Record]]:
    """Records by the values of some keys, in the order of first appearance."""
    groups: dict[tuple, list[Record]] = {}
    for record in found:
        groups.setdefault(tuple(record[key] for key in keys), []).append(record)
    return groups


def of_transmissions(corruption: str) -> bool:
    """Whether rooms, microphones, lines or codecs have a part in a corruption, or in a stream of several."""
    return any(part.partition(":")[0] in TRANSMISSIONS for part in re.split(r"[+()]", corruption))


def apart(found: Sequence[Record]) -> list[Record]:
    """The records without transmissions, which are ours and in no published mean; all where there are no others."""
    return [r for r in found if not of_transmissions(r["corruption"])] or list(found)


def shifted(found: Sequence[Record]) -> list[Record]:
    """What means are over: the records of corrupted cells, transmissions `apart`; all where there are none."""
    return apart([r for r in found if r["corruption"] != CLEAN] or found)


def settings(record: Record) -> dict[str, Any]:
    """What a record was run with, draws apart: the method's options, and the protocol's as `protocol.NAME`.

    How many runs went at once (`vectorised`, of experiments.study) is no setting: the numbers are the same.
    """
    own = {name: value for name, value in record["options"].items() if "draw" not in name and name != "vectorised"}
    return {**own, **{f"protocol.{name}": value for name, value in record.get("protocol_options", {}).items()}}


_OF_SET, _OF_CORRUPTION = ("clips", "dataset_source"), ("noise", "corruption_source")
"""Names of digests of data among a record's `content`; the others are of code, settings and source clips."""

_MEASURED = ("subset", "draw", "evaluation_draw_seed")
"""Options that say on which clips and draws all of a cell's methods are measured."""


def of_one_make(found: Sequence[Record]) -> list[Record]:
    """The records, data sets (or methods) renamed where one run is there of several makes: speech [clips 1a2b3c4d].

    Without this, runs on other recordings in a folder of the same name would be averaged as if they were seeds. Records
    of one cell that were measured on other draws are of data sets of their own, too, speech [draw=single]: whatever
    their methods, they have another accuracy before adaptation. A subset always names its data set, speech
    [subset=few.txt], or a report on 30 clips would be read as one on all.
    """
    return _of_one_content(_of_one_measure(found))


def _measured(record: Record) -> dict[str, Any]:
    options = record["options"]
    read = {"draw_seed": "read"} if options.get("draw_seed") == "read" else {}  # of --corrupted_dir; else it is a seed
    return {**{name: options.get(name) for name in _MEASURED}, **read}


def _of_one_measure(found: Sequence[Record]) -> list[Record]:
    varying: dict[str, dict[str, None]] = {}
    for cell in grouped(found, (*GROUP, "corruption", "level")).values():
        for name in (*_MEASURED, "draw_seed"):
            if len({_measured(record).get(name) for record in cell}) > 1:
                varying.setdefault(cell[0]["dataset"], {})[name] = None
    out = []
    for record in found:
        names = {"subset": None, **varying.get(record["dataset"], {})}
        values = {name: _measured(record).get(name) for name in names}
        said = ", ".join(f"{name}={value}" for name, value in values.items() if value is not None)
        out.append({**record, "dataset": f"{record['dataset']} [{said}]"} if said else record)
    return out


def _of_one_content(found: Sequence[Record]) -> list[Record]:
    same: dict[str, list[Record]] = {}
    for record in found:
        place = [record[key] for key in (*GROUP, "method", "corruption", "level")]
        same.setdefault(json.dumps([place, settings(record)], sort_keys=True, default=str), []).append(record)
    varying: set[tuple[str, ...]] = set()
    for cell in same.values():
        contents = [record.get("content") or {} for record in cell]
        for name in dict.fromkeys(name for content in contents for name in content):
            if len({content[name] for content in contents if name in content}) > 1:
                varying.add((name, *_kept_apart(cell[0], name)))
    return [_marked(record, varying) for record in found]


def _kept_apart(record: Record, name: str) -> tuple[str, ...]:
    """Among which records a digest of `content` is compared: it names a set, a corruption of it, or a method on it."""
    beside = {**dict.fromkeys(_OF_SET, ()), **dict.fromkeys(_OF_CORRUPTION, ("corruption", "level"))}
    return tuple(record[key] for key in ("dataset", *beside.get(name, ("method",))))


def shown_apart(found: Sequence[Record]) -> str:
    """The sentence about what `of_one_make` has renamed; "" where there is nothing."""
    forms: dict[str, dict[str, None]] = {}
    for name in (record[key] for key in ("dataset", "method") for record in found):
        forms.setdefault(name.partition(" [")[0], {})[name] = None
    names = [name for same in forms.values() if len(same) > 1 for name in same if " [" in name]
    said = "Made from other data, other draws or other code under the same names, and therefore shown apart: "
    return f"{said}{', '.join(names)}." if names else ""


def _marked(record: Record, varying: Collection[tuple[str, ...]]) -> Record:
    """A record with the first digits of these digests behind the name of its data set or its method."""
    marks: dict[str, list[str]] = {"dataset": [], "method": []}
    for name, digest in (record.get("content") or {}).items():
        if (name, *_kept_apart(record, name)) in varying:
            marks["dataset" if name in (*_OF_SET, *_OF_CORRUPTION) else "method"].append(f"{name} {str(digest)[:8]}")
    return {**record, **{key: f"{record[key]} [{', '.join(said)}]" for key, said in marks.items() if said}}


def with_variants(found: Sequence[Record]) -> list[Record]:
    """The records, their methods renamed where one cell was run with several settings: dhauds [momentum=0.7].

    Without this, runs that differ only in a setting would be averaged as if they were seeds. Runs at rate 0 and those
    under a sliding window have names of their own first (`floors.named`).
    """
    found = floors.named(found)
    varying: dict[tuple, dict[str, None]] = {}
    for (*place, _, _, _, _), cell in grouped(found, (*GROUP, "method", *_CELL)).items():
        tried = [_chosen_by(r) for r in cell]
        for name in dict.fromkeys(name for one in tried for name in one):
            if len({str(one.get(name)) for one in tried}) > 1:
                varying.setdefault(tuple(place), {})[name] = None
    out = []
    for record in found:
        names = varying.get(tuple(record[key] for key in (*GROUP, "method")), {})
        listed = ", ".join(f"{name}={_chosen_by(record).get(name)}" for name in names)
        out.append({**record, "method": f"{record['method']} [{listed}]"} if listed else record)
    return out


def _chosen_by(record: Record) -> dict[str, Any]:
    """The settings, and the criterion that chose the epoch of `adapted_selected`."""
    return {**settings(record), "criterion": record["selection"]["criterion"]}


def mean_and_spread(values: Sequence[float], scale: float = 100.0, digits: int = 1) -> str:
    """Mean, with the sample standard deviation when there are several values."""
    values = np.asarray(values, np.float64) * scale
    text = f"{values.mean():.{digits}f}"
    return text if len(values) == 1 else f"{text} ± {values.std(ddof=1):.{digits}f}"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table, numbers to the right."""
    first, *others = ("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in (header, *rows))
    return "\n".join([first, "|---" * 2 + "|---:" * (len(header) - 2) + "|", *others]) + "\n"


def summary_table(found: Sequence[Record]) -> str:
    """A row a corruption and level, a column a method: the metric after the last epoch in %, mean over seeds.

    The last row is the mean over the corrupted cells; clean ones do not count, nor transmissions beside others.
    """
    counted = {r["corruption"] for r in shifted(found)} - {CLEAN}
    methods = list(dict.fromkeys(r["method"] for r in found))
    rows = []
    gains: dict[str, list[float]] = {m: [] for m in methods}
    before: list[float] = []
    for (corruption, level), cell in grouped(found, ("corruption", "level")).items():
        by_method = grouped(cell, ("method",))
        row = [corruption, level, mean_and_spread([r["non_adapted"] for r in one_per_seed(cell)])]
        for m in methods:
            here = by_method.get((m,), [])
            row.append(mean_and_spread([r["adapted_last"] for r in here]) if here else "-")
            gains[m] += [r["adapted_last"] for r in here if corruption in counted]
        before += [r["non_adapted"] for r in one_per_seed(cell) if corruption in counted]
        rows.append(row)
    mean = [f"{100 * np.mean(gains[m]):.1f}" if gains[m] else "-" for m in methods]
    if before:
        some = any(r["corruption"] not in {*counted, CLEAN} for r in found)
        rows.append(
            [f"**mean, corrupted{' (no transmissions)' if some else ''}**", "", f"{100 * np.mean(before):.1f}", *mean]
        )
    return table(["corruption", "level", "non-adapted", *methods], rows)


def one_per_seed(cell: Sequence[Record]) -> list[Record]:
    """One record a seed and source model, for what does not depend on the method."""
    return list({(r["seed"], r["source_checkpoint"]): r for r in cell}.values())


def detail_table(found: Sequence[Record]) -> str:
    """A row a corruption, level and method: the three choices of epoch side by side, calibration and cost."""
    header = [
        "corruption",
        "level",
        "method",
        "non-adapted",
        "last",
        "label-free",
        "oracle",
        "ECE",
        "NLL (nats)",
        "s a run",
        "n",
        "seeds",
        "collapsed",
    ]
    rows = []
    for (corruption, level, method), cell in grouped(found, ("corruption", "level", "method")).items():
        numbers = [mean_and_spread([r[k] for r in cell]) for k in ("non_adapted", "adapted_last")]
        numbers += [mean_and_spread([r[k] for r in cell]) for k in ("adapted_selected", "adapted_oracle", "ece")]
        numbers += [
            mean_and_spread([r["nll"] for r in cell], 1.0, 2),
            mean_and_spread([r["seconds"] for r in cell], 1.0),
        ]
        fallen, seeds = sum(r["collapsed"] for r in cell), len(one_per_seed(cell))
        rows.append([corruption, level, method, *numbers, str(cell[0]["n"]), str(seeds), str(fallen or "no")])
    return table(header, rows)
