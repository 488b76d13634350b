"""What the parts of one method are worth: each variant beside the whole method, over seeds and cells."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dhauds_jax.errors import BadInput
from dhauds_jax.report import floors, intervals
from dhauds_jax.report.tables import Record, grouped, settings, table

WHOLE = "whole"

READING = (
    "The first row of a method is the whole one: of every option the value that most variants have. A variant is named "
    "by what differs from it. Means over all runs in %; behind them the variant minus the whole on the runs that both "
    "have, in points, with a 95 % interval over seeds and cells, both drawn anew, and in how many of these runs it is "
    "better (ties count half)."
)


def _variants(found: Sequence[Record]) -> dict[str, list[Record]]:
    """Records by what they were run with; an option that a record leaves unsaid is none of it, a value like others.

    What all records of a protocol have in common is the protocol's (epochs count offline alone): no part of a method.
    """
    out: dict[str, list[Record]] = {}
    for group in grouped(found, ("protocol",)).values():
        tried = [settings(record) for record in group]
        names = dict.fromkeys(name for one in tried for name in one if name.startswith(("protocol.", "epochs")))
        shared = {name for name in names if len({str(one.get(name)) for one in tried}) == 1}
        for record, one in zip(group, tried, strict=True):
            own = {name: value for name, value in one.items() if name not in shared and value is not None}
            out.setdefault(json.dumps(own, sort_keys=True, default=str), []).append(record)
    return out


def _whole(variants: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    names = dict.fromkeys(name for one in variants for name in one)
    return {name: Counter(str(one.get(name)) for one in variants).most_common(1)[0][0] for name in names}


def _label(one: Mapping[str, Any], whole: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={one.get(name)}" for name, value in whole.items() if str(one.get(name)) != value) or WHOLE


def _beside(mine: Sequence[Record], its: Sequence[Record]) -> str:
    """The variant's mean, and its difference to the whole method on the runs that both have."""
    mean, whole = _mean(mine), {floors.cell_of(r): r["adapted_last"] for r in its}
    both = [(run, r["adapted_last"] - whole[run]) for r in mine if (run := floors.cell_of(r)) in whole]
    if not both:
        return f"{mean} (no run of the whole)"
    gaps = np.round([gap for _, gap in both], 12)
    low, high = intervals.two_way(gaps, [run[-2:] for run, _ in both], [run[:-2] for run, _ in both])
    better = (gaps > 0).sum() + 0.5 * (gaps == 0).sum()
    return f"{mean} ({100 * gaps.mean():+z.1f} [{100 * low:+z.1f}, {100 * high:+z.1f}], {better:g} of {len(both)})"


def ablation(found: Sequence[Record]) -> str:
    """A row a variant of each method, a column a protocol; `READING` says of what.

    Raises:
      BadInput: a method with one variant alone, or none that has all the most frequent values.
    """
    protocols = list(dict.fromkeys(r["protocol"] for r in found))
    rows = []
    for (method,), group in grouped(found, ("method",)).items():
        of_settings = _variants(group)
        parsed = {text: json.loads(text) for text in of_settings}
        whole = _whole(list(parsed.values()))
        labels = {text: _label(one, whole) for text, one in parsed.items()}
        first = next((text for text, label in labels.items() if label == WHOLE), None)
        if first is None or len(labels) < 2:
            raise BadInput(
                f"ablation of {method}: {len(labels)} variants, {'none' if first is None else 'one'} of them whole, "
                "expected the whole method and some that lack a part"
            )
        for text in [first, *(text for text in labels if text != first)]:
            cells = []
            for protocol in protocols:
                mine, its = ([r for r in of_settings[one] if r["protocol"] == protocol] for one in (text, first))
                cells.append("-" if not mine else _beside(mine, its) if text != first else _mean(mine))
            rows.append([method, labels[text], *cells])
    return table(["method", "variant", *protocols], rows)


def _mean(mine: Sequence[Record]) -> str:
    return f"{100 * np.mean([r['adapted_last'] for r in mine]):.1f}"
