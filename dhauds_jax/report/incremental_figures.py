"""Figures of class-incremental courses: over sessions, who was forgotten, how sure, and against bytes held."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dhauds_jax.report.figures import bare, legend_below
from dhauds_jax.report.looks import GREY, look
from dhauds_jax.report.plotting import save, subplots
from dhauds_jax.report.tables import Record

MOST = 14
"""Lines of a figure; what is beyond is in the tables."""

MAPS = 6
"""Learners whose matrix is drawn."""

Lines = Sequence[tuple[str, Sequence[Record]]]
"""Names, of which two may be alike, and records."""


def _shown(lines: Lines, most: int = MOST) -> list[tuple[int, str, Sequence[Record]]]:
    return [(index, name, members) for index, (name, members) in enumerate(lines[:most])]


def _height(lines: Lines, width: float, axes: float) -> float:
    """Inches for axes of that height and a legend below them."""
    names = [name for name, _ in lines[:MOST]]
    columns = max(1, int(width * 10 / (max(map(len, names)) + 8)))
    return axes + 0.22 * -(-len(names) // columns)


def over_sessions(lines: Lines, path: Path) -> None:
    """Accuracy on all classes seen by then over their number, mean over seeds; sessions that were measured alone."""
    figure, axes = subplots(figsize=(8.0, _height(lines, 8.0, 4.0)))
    for index, name, members in _shown(lines):
        first = members[0]
        counts = first["base_way"] + first["way"] * np.arange(first["sessions"])
        values = 100 * np.mean([np.array(record["per_session"]["all"], float) for record in members], axis=0)
        there = np.isfinite(values)
        axes.plot(counts[there], values[there], **look(index).line, label=name, linewidth=1.4, marker=".")
    axes.set(xlabel="classes seen", ylabel="accuracy on all of them (%)")
    bare(axes)
    legend_below(figure, *axes.get_legend_handles_labels())
    save(figure, path)


def matrices(lines: Lines, path: Path) -> None:
    """A map a learner: row s, column j the accuracy after session s on the classes of session j, mean over seeds."""
    shown = _shown(lines, MAPS)
    columns = min(3, len(shown))
    rows = -(-len(shown) // columns)
    figure, grid = subplots(rows, columns, figsize=(3.1 * columns + 0.4, 2.9 * rows), squeeze=False)
    for axes in grid.ravel()[len(shown) :]:
        axes.set_axis_off()
    for axes, (_, name, members) in zip(grid.ravel(), shown, strict=False):
        values = 100 * np.mean([np.array(r["matrix"], float) for r in members], axis=0)
        axes.imshow(values, vmin=0, vmax=100, cmap="viridis")
        if len(values) <= 8:
            for s, j in np.argwhere(np.isfinite(values)):
                color = "white" if values[s, j] < 60 else "black"
                axes.text(j, s, f"{values[s, j]:.0f}", ha="center", va="center", fontsize=7, color=color)
        axes.set_title(name, fontsize=8)
        axes.set(xlabel="classes of session", ylabel="after session")
        ticks = range(0, len(values), max(1, len(values) // 6))
        axes.set_xticks(list(ticks), [str(k + 1) for k in ticks])
        axes.set_yticks(list(ticks), [str(k + 1) for k in ticks])
    save(figure, path)


def sureness(lines: Lines, path: Path) -> None:
    """Left: share that is right over confidence after the last session; right: known over unknown clips kept."""
    figure, (left, right) = subplots(1, 2, figsize=(9.4, _height(lines, 9.4, 4.0)))
    for axes in (left, right):
        axes.plot([0, 1], [0, 1], color=GREY, linewidth=1)
    for index, name, members in _shown(lines):
        shape, record = look(index), members[0]
        bins = np.array(record.get("reliability") or np.zeros((0, 3)))
        left.plot(bins[:, 2], bins[:, 1], **shape.line, label=name, linewidth=1.2)
        curves = [curve for curve in record["per_session"].get("roc") or () if curve]
        if curves:
            points = np.array(curves[len(curves) // 2])
            right.plot(points[:, 0], points[:, 1], **shape.line, linewidth=1.2)
    left.set(xlim=(0, 1), ylim=(-0.02, 1.02), xlabel="confidence", ylabel="share that is right")
    right.set(xlabel="unknown clips kept", ylabel="known clips kept")
    right.set_title("first seed, a session half way", fontsize=9)
    for axes in (left, right):
        bare(axes)
    legend_below(figure, *left.get_legend_handles_labels())
    save(figure, path)


def against_bytes(lines: Lines, path: Path) -> None:
    """Accuracy after the last session against what is kept between sessions, a point a line."""
    figure, axes = subplots(figsize=(7.0, _height(lines, 7.0, 3.8)))
    for index, name, members in _shown(lines):
        held = max(1, np.mean([record["bytes_held"] for record in members]))
        last = 100 * np.mean([record["last"] for record in members])
        axes.plot([held], [last], **look(index).point, label=name, linestyle="none", markersize=7)
    axes.set_xscale("log")
    axes.set(xlabel="bytes held between sessions", ylabel="accuracy after the last session (%)")
    bare(axes)
    legend_below(figure, *axes.get_legend_handles_labels())
    save(figure, path)
