"""Tuning curves: what every value that was tried of a method scored, from tuning.jsonl."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dhauds_jax.report.plotting import save, subplots
from dhauds_jax.report.tables import Record, grouped, table
from dhauds_jax.wording import counted

PLACE = ("dataset", "net", "corruption", "level", "protocol", "profile", "source_checkpoint")
"""What must be equal for methods to have been tuned alike."""

WHY: Mapping[str, str] = {
    "best": "best",
    "default": "default",
    "harm": "default: no better than the floor",
    "collapse": "default: all collapse",
}
"""How a table says why a value was chosen (`recipes.tuning.REASONS` has the sentences)."""

_MARKS = {"chosen": "*", "collapsed": "!", "diverged": "x"}

READING = (
    "Values with their metric in % / NLL in nats, means over seeds: `*` chosen, `!` one class took "
    "nearly all predictions with some seed, `x` not finite. *floor*: the method at rate 0 (methods without a rate: "
    "the unadapted network); *seeds*: standard deviation of the chosen value's seeds, in points."
)


def latest(found: Sequence[Record]) -> list[Record]:
    """The last tuning of every method of a place."""
    return list({tuple(str(r.get(key)) for key in (*PLACE, "method")): r for r in found}.values())


def _value(options: Mapping[str, Any]) -> str:
    """A trial's options in a few characters: a rate alone is just its number."""
    if not options:
        return "default"
    return " ".join(f"{value:g}" if key == "lr" else f"{key}={value}" for key, value in options.items())


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else float("nan")


def _cell(trial: Mapping[str, Any], chosen: Mapping[str, Any]) -> str:
    if not trial["scores"]:
        return f"{_value(trial['options'])}: {_MARKS['diverged']}"
    mark = _MARKS["chosen"] if trial["options"] == chosen else ""
    mark += _MARKS["collapsed"] if any(trial["collapsed"]) else ""
    return f"{_value(trial['options'])}: {100 * _mean(trial['scores']):.1f}{mark} / {_mean(trial['nll']):.3f}"


def _ordered(record: Record) -> list[Mapping[str, Any]]:
    """Trials with the same fixed options together, by rising value."""

    def key(trial: Mapping[str, Any]) -> tuple[Any, ...]:
        *fixed, last = list(trial["options"].items()) or [("", 0)]
        number = last[1] if isinstance(last[1], int | float) else 0
        return ([key for key, _ in (*fixed, last)], str(fixed), number)

    return sorted(record["trials"], key=key)


def _chosen(record: Record) -> Mapping[str, Any]:
    return next(trial for trial in record["trials"] if trial["options"] == record["chosen"])


def curves_table(found: Sequence[Record]) -> str:
    """A row a method: what was chosen and why, its score, its floor's, and all values that were tried."""
    rows = []
    for record in latest(found):
        trial = _chosen(record)
        spread = f"{100 * np.std(trial['scores'], ddof=1):.1f}" if len(trial["scores"]) > 1 else "-"
        floor, score = (100 * _mean(one["scores"]) for one in (record["floor"], trial))
        tried = "; ".join(_cell(one, record["chosen"]) for one in _ordered(record))
        why = WHY[record["why"]]
        rows.append([record["method"], tried, _value(record["chosen"]), why, f"{score:.1f}", f"{floor:.1f}", spread])
    return table(["method", "values tried", "chosen", "why", "score", "floor", "seeds"], rows)


def curves(found: Sequence[Record], path: Path) -> None:
    """A panel a method: the metric over the values of its widest line of one option, a point a seed, the floor dotted.

    Values of other options have no place on the axis and stand in the table alone; a collapsed trial is hollow.
    """
    shown = latest(found)
    columns = min(5, len(shown))
    rows = -(-len(shown) // columns)
    figure, axes = subplots(rows, columns, figsize=(2.6 * columns + 0.4, 2.3 * rows), squeeze=False)
    for ax, record in zip(axes.flat, shown, strict=False):
        line = line_of(record)
        for trial in line:
            x = list(trial["options"].values())[-1]
            hollow = {"mfc": "none"} if any(trial["collapsed"]) else {}
            ax.plot(
                [x] * len(trial["scores"]),
                100 * np.array(trial["scores"]),
                ls="",
                marker="o",
                ms=3,
                color="C0",
                **hollow,
            )
            if trial["options"] == record["chosen"]:
                ax.axvline(x, color="0.8", lw=5, zorder=0)
        finite = [trial for trial in line if trial["scores"]]
        xs = [list(trial["options"].values())[-1] for trial in finite]
        ax.plot(xs, [100 * _mean(trial["scores"]) for trial in finite], lw=1.2, color="C0")
        if record["floor"]["scores"]:
            ax.axhline(100 * _mean(record["floor"]["scores"]), color="0.4", lw=1, ls=":")
        ax.set_title(record["method"], fontsize=9)
        if xs:
            ax.set_xscale("log")
            ax.set_xlabel(list(line[0]["options"])[-1], fontsize=8)
        ax.tick_params(labelsize=7)
    for ax in axes.flat[len(shown) :]:
        ax.set_visible(False)
    figure.supylabel(f"{shown[0]['metric']} (%)", fontsize=9)
    save(figure, path)


def line_of(record: Record) -> list[Mapping[str, Any]]:
    """The trials of the option that has most values, by rising value."""
    groups: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
    for trial in _ordered(record):
        items = list(trial["options"].items())
        if items and isinstance(items[-1][1], int | float) and not isinstance(items[-1][1], bool):
            groups.setdefault((*(str(item) for item in items[:-1]), items[-1][0]), []).append(trial)
    return max(groups.values(), key=len, default=[])


def render(found: Sequence[Record], folder: Path) -> str:
    """The section of a report; its figures are written into `folder`."""
    parts = ["# Tuning curves", "", READING, ""]
    for number, (place, members) in enumerate(grouped(found, PLACE).items(), 1):
        dataset, net, corruption, level, protocol, profile, _ = place
        first = members[-1]
        seeds = ", ".join(map(str, first["seeds"]))
        passes = f"{counted(first['epochs'], 'epoch')} in batches of {first['batch_size']}"
        about = f"{first['n']} clips, {passes}, seeds {seeds}"
        curves(members, folder / f"tuning-{number}.png")
        hours = sum(record["seconds"] for record in latest(members)) / 3600
        parts += [
            f"## {dataset}, {net}, {corruption}-{level}: {protocol}, profile {profile}",
            "",
            f"{about}; {hours:.1f} h.",
            "",
        ]
        parts += [curves_table(members), f"![tuning curves](tuning-{number}.png)", ""]
    return "\n".join(parts)
