"""Figures of zero-shot rows: accuracy against weight and SNR, calibration, risk against coverage."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from dhauds_jax.report.figures import bare, legend_below
from dhauds_jax.report.looks import GREY, look
from dhauds_jax.report.plotting import save, subplots
from dhauds_jax.report.tables import Record
from dhauds_jax.report.zeroshot_lines import made_of

MOST = 14
"""Lines of a figure; what is beyond is in the tables."""

_DB = re.compile(r"(-?\d+(?:\.\d+)?)dB")


def _height(names: Iterable[str], width: float) -> float:
    """Inches for axes of 4 and a legend of these names below them."""
    shown = list(names)[:MOST]
    columns = max(1, int(width * 10 / (max(map(len, shown)) + 8)))
    return 4.0 + 0.22 * -(-len(shown) // columns)


def over_weights(curves: Mapping[str, Sequence[Record]], path: Path) -> None:
    """Accuracy against the weight of the background's profile: a line a background, mean over seeds.

    A ring is the weight that was chosen without labels, a cross the best by labels, a bar the given ones; the grey line
    is the accuracy with nothing taken off.
    """
    figure, axes = subplots(figsize=(9.0, _height(curves, 9.0)))
    for index, (name, members) in enumerate(list(curves.items())[:MOST]):
        shape = look(index)
        seeds = list({record["seed"]: record for record in members}.values())
        weights = [point["weight"] for point in seeds[0]["curve"]]
        known = [{p["weight"]: p["metric"] for p in record["curve"]} for record in seeds]
        values = [100 * np.mean([one.get(weight, np.nan) for one in known]) for weight in weights]
        axes.plot(weights, values, **shape.line, label=name, linewidth=1.4)
        for record in seeds:
            chosen = record["selection"]
            at = {"color": shape.line["color"], "zorder": 3}
            axes.scatter(chosen["weight"], 100 * record["adapted_selected"], s=60, facecolors="none", **_edge(at))
            axes.scatter(chosen["oracle_weight"], 100 * record["adapted_oracle"], s=36, marker="x", **at)
        given = [r for r in members if r["weight_chosen_by"] == "given"]
        axes.scatter(
            [r["weight"] for r in given], [100 * r["adapted_last"] for r in given], s=50, marker="|",
            color=shape.line["color"],
        )  # fmt: skip
    plain = np.mean([100 * r["non_adapted"] for members in curves.values() for r in members])
    axes.axhline(plain, color=GREY, linewidth=1)
    several = {record["metric"] for members in curves.values() for record in members} == {"top_k_share"}
    measured = "top-k share (%)" if several else "accuracy (%)"
    axes.set(xlabel="weight of the background's profile", ylabel=measured)
    axes.set_title("ring: chosen without labels, cross: best by labels, bar: given", fontsize=9)
    bare(axes)
    legend_below(figure, *axes.get_legend_handles_labels())
    save(figure, path)


def _edge(at: Mapping[str, object]) -> dict[str, object]:
    return {"edgecolors": at["color"], "zorder": at["zorder"]}


def sureness(shown: Mapping[str, Sequence[Record]], path: Path) -> None:
    """Left: share that is right over confidence; right: share of wrong names over the share that is named."""
    figure, (left, right) = subplots(1, 2, figsize=(9.4, _height(shown, 9.4)))
    left.plot([0, 1], [0, 1], color=GREY, linewidth=1)
    for index, (name, members) in enumerate(list(shown.items())[:MOST]):
        shape, record = look(index), members[0]
        bins = np.array(record["reliability"])
        left.plot(bins[:, 2], bins[:, 1], **shape.line, label=name, linewidth=1.2)
        points = np.array(record["risk_coverage"]["points"])
        right.plot(points[:, 0], 100 * points[:, 1], **shape.line, linewidth=1.2)
    left.set(xlim=(0, 1), ylim=(-0.02, 1.02), xlabel="confidence", ylabel="share that is right")
    right.set(xlim=(0, 1.02), xlabel="share of clips that are named", ylabel="wrong among them (%)")
    right.set_ylim(bottom=0)
    for axes in (left, right):
        bare(axes)
    legend_below(figure, *left.get_legend_handles_labels())
    save(figure, path)


def snr_of(record: Record) -> float | None:
    """The SNR in dB that a record's corruption or level names; None where it names none."""
    found = _DB.search(f"{record['corruption']} {record['level']}")
    return float(found[1]) if found else None


def has_levels(found: Sequence[Record]) -> bool:
    """Whether rows of several SNRs are there, whose weights were not given."""
    return len({snr_of(record) for record in found if record["weight_chosen_by"] != "given"} - {None}) > 1


def closed(members: Sequence[Record]) -> dict[float, float]:
    """Share of the gap that is closed -> accuracy in %, the mean over seeds."""
    shares = dict.fromkeys(share for record in members for share, _ in record["gap"]["closed"])
    known = [dict(map(tuple, record["gap"]["closed"])) for record in members]
    return {share: 100 * float(np.mean([one[share] for one in known if share in one])) for share in sorted(shares)}


def over_gaps(lines: Mapping[str, Sequence[Record]], path: Path) -> None:
    """Accuracy against the share of the gap between sounds and sentences that is closed: a line a set."""
    figure, axes = subplots(figsize=(9.0, _height(lines, 9.0)))
    for index, (name, members) in enumerate(list(lines.items())[:MOST]):
        values = closed(members)
        axes.plot(list(values), list(values.values()), **look(index).line, label=name, marker=".")
    axes.set(xlabel="share of the gap that is closed", ylabel="accuracy (%)")
    bare(axes)
    legend_below(figure, *axes.get_legend_handles_labels())
    save(figure, path)


def of_one_figure(record: Record) -> tuple[object, ...]:
    """What rows of one figure of levels share."""
    return record["net"], record["profile"], tuple(record["classes"])


def levels(found: Sequence[Record]) -> dict[str, dict[float, float]]:
    """Line -> SNR in dB -> accuracy in %, the mean over backgrounds and seeds; given weights have no line.

    Rows over other folds, or by another criterion, are lines of their own, marked by what differs.
    """
    shown = [r for r in found if snr_of(r) is not None and r["weight_chosen_by"] != "given"]
    asked = [name for name in ("folds_asked", "criterion") if len({_asked(r, name) for r in shown}) > 1]
    keyed: dict[str, dict[float, list[float]]] = {}
    for record in shown:
        place = f" {record['background']} auto" if record["curve"] else ""
        online = " online" if record["protocol"] == "online" else ""
        marks = ", ".join(f"{name}={_asked(record, name) or 'default'}" for name in asked)
        name = f"{made_of(record['prototypes'], record['train'])} {record['scorer']}{place}{online}"
        name += f" [{marks}]" if marks else ""
        keyed.setdefault(name, {}).setdefault(snr_of(record), []).append(100 * record["adapted_last"])
    return {name: {snr: float(np.mean(values[snr])) for snr in sorted(values)} for name, values in keyed.items()}


def _asked(record: Record, name: str) -> object:
    return record["selection"]["criterion"] if name == "criterion" else record.get(name)


def over_levels(found: Sequence[Record], path: Path) -> None:
    """Accuracy against SNR: a line a combination but for given weights (`levels`)."""
    lines = levels(found)
    figure, axes = subplots(figsize=(9.0, _height(lines, 9.0)))
    for index, (name, values) in enumerate(list(lines.items())[:MOST]):
        axes.plot(list(values), list(values.values()), **look(index).line, label=name, marker=".")
    axes.set(xlabel="SNR (dB)", ylabel="accuracy (%)")
    bare(axes)
    legend_below(figure, *axes.get_legend_handles_labels())
    save(figure, path)
