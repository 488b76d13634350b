"""Runs that differ in one option only: the influence of momentum, and one learning rate or two."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np

from dhauds_jax.report.tables import Record, grouped, mean_and_spread, settings, table

OPTIONS = {
    "momentum": "Influence of momentum",
    "backbone": "One learning rate or two (backbone: its rate over the classifier's; 1 is one rate)",
}
"""Options that have a figure of their own, with its title."""

_PLACE = ("dataset", "net", "corruption", "level", "method", "protocol", "profile")


def apart(found: Sequence[Record], option: str) -> list[dict[str, list[Record]]]:
    """Offline runs that are equal in everything but one option, as groups: "option value" -> its records, by seed.

    Seeds stand together, and only those count for which the option has at least two values.
    """
    kept = [r for r in found if option in r["options"] and len(r["curve"]) > 2]
    by: dict[str, list[Record]] = {}
    for record in kept:
        others = {name: value for name, value in settings(record).items() if name != option}
        key = json.dumps([[record[name] for name in _PLACE], others], sort_keys=True, default=str)
        by.setdefault(key, []).append(record)
    groups = []
    for members in by.values():
        seeds = grouped(members, ("seed", "source_checkpoint")).values()
        whole = [r for group in seeds if len({r["options"][option] for r in group}) > 1 for r in group]
        values = sorted({r["options"][option] for r in whole}, reverse=True)
        if values:
            groups.append({f"{option} {v}": [r for r in whole if r["options"][option] == v] for v in values})
    return groups


def effect_table(groups: Sequence[dict[str, list[Record]]]) -> str:
    """A row a cell and value: best value after an epoch (by test labels) with that epoch, and the last, in %."""
    rows = []
    for group in groups:
        for label, members in group.items():
            first = members[0]
            curves = [[p.get("evaluation", p)["metric"] for p in r["curve"][1:]] for r in members]
            best = [int(np.argmax(curve)) for curve in curves]
            peaks = mean_and_spread([curve[epoch] for curve, epoch in zip(curves, best)], digits=2)
            place = f"{first['dataset']}, {first['net']}, {first['corruption']}-{first['level']}, {first['method']}"
            epochs = ", ".join(str(epoch + 1) for epoch in best)
            rows.append([place, label, peaks, epochs, mean_and_spread([curve[-1] for curve in curves], digits=2)])
    return table(["cell", "runs", "best (oracle)", "at epoch", "last"], rows)
