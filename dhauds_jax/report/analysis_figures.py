"""Figures of analyses: calibration, cost, single options, embeddings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dhauds_jax.arrays import read_npz
from dhauds_jax.errors import BadInput
from dhauds_jax.report.figures import bare, heading, legend_below, metric_name
from dhauds_jax.report.looks import DASHES, GREY, Look, look, shades
from dhauds_jax.report.plotting import is_shown, save, subplots
from dhauds_jax.report.tables import Record, grouped, shifted

BINS = 15
"""Of `dhauds_jax.metrics.reliability`."""


def corrupted(found: Sequence[Record]) -> list[Record]:
    """The records of corrupted cells, transmissions apart; all where there are none."""
    return shifted(found)


def pooled_bins(found: Sequence[Record], when: str) -> np.ndarray:
    """The reliability bins of several records as one: rows of (share, share that is right, mean confidence).

    Args:
      found: records with `reliability`; each weighs as many clips as it has.
      when: "before" or "after".
    """
    sums = np.zeros((BINS, 3))
    for record in found:
        for share, right, confidence in record["reliability"][when]:
            weight = share * record["n"]
            bin_ = min(BINS - 1, max(0, int(np.ceil(confidence * BINS - 1e-9)) - 1))
            sums[bin_] += (weight, weight * right, weight * confidence)
    sums = sums[sums[:, 0] > 0]
    return np.column_stack([sums[:, 0] / max(sums[:, 0].sum(), 1e-12), sums[:, 1:] / sums[:, :1]])


def has_reliability(record: Record) -> bool:
    """Whether a record has the bins of a reliability diagram."""
    return bool((record.get("reliability") or {}).get("after"))


def reliability(found: Sequence[Record], path: Path, looks: Mapping[str, Look]) -> None:
    """A panel a method: the share of right answers over confidence, before and after adaptation.

    The bins of all corrupted cells are pooled; below, how many of the answers have which confidence.
    """
    kept = [r for r in corrupted(found) if has_reliability(r)]
    methods = grouped(kept, ("method",))
    columns = min(5, len(methods))
    bands = -(-len(methods) // columns)
    figure, axes = subplots(
        2 * bands,
        columns,
        figsize=(2.7 * columns + 0.8, 4.2 * bands + 0.5),
        height_ratios=[3, 1] * bands,
        sharex=True,
        sharey="row",
        squeeze=False,
    )
    for place in range(bands * columns):
        upper, lower = (axes[2 * (place // columns) + i, place % columns] for i in (0, 1))
        if place >= len(methods):
            for ax in (upper, lower):
                ax.set_visible(False)
            continue
        (method,), group = list(methods.items())[place]
        _calibration(upper, lower, group, looks[method])
        upper.set_title(heading(method), fontsize=9)
    for row in range(bands):
        axes[2 * row, 0].set_ylabel("right (%)")
        axes[2 * row + 1, 0].set_ylabel("answers (%)")
        axes[2 * row + 1, 0].set_ylim(bottom=0)  # when all panels are drawn: it ends the scaling that they share
    for ax in axes[-1]:
        ax.set_xlabel("confidence (%)")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    legend_below(figure, handles, [f"{label} (a method's colour)" if label == "after" else label for label in labels])
    save(figure, path)


def _calibration(upper: Any, lower: Any, group: Sequence[Record], look: Look) -> None:
    upper.plot([0, 100], [0, 100], color="0.5", lw=1, ls=":", label="perfect")
    errors = []
    for when, shape in (("before", {"color": GREY, "marker": "s"}), ("after", look.point)):
        bins = 100 * pooled_bins(group, when)
        if not len(bins):
            continue
        share, right, confidence = bins.T
        errors.append(f"{when} {np.sum(share * np.abs(right - confidence)) / 100:.1f}")
        upper.plot(confidence, right, **shape, ms=4, lw=1.4, label=when)
        lower.plot(confidence, share, **shape, ms=3, lw=1.0)
    upper.text(4, 99, "ECE (%)\n" + "\n".join(errors), fontsize=8, va="top")
    upper.set_xlim(0, 100)
    upper.set_ylim(0, 102)
    bare(upper)
    bare(lower)


def cost(found: Sequence[Record], path: Path, looks: Mapping[str, Look]) -> None:
    """A point a method: the metric after the last epoch over passes a clip, and over seconds a run (means of cells).

    A forward and a backward pass count as one each, evaluations not at all. A method that was run on some of the cells
    only says so, since its mean is over these.
    """
    shown = corrupted(found)
    cells = grouped(shown, ("corruption", "level"))
    figure, axes = subplots(1, 2, figsize=(9.5, 4.4), sharey=True)
    for (method,), group in grouped(shown, ("method",)).items():
        value = 100 * np.mean([r["adapted_last"] for r in group])
        passes = np.mean([r["passes"]["forward"] + r["passes"]["backward"] for r in group])
        seconds = np.mean([r["seconds"] for r in group])
        here = len(grouped(group, ("corruption", "level")))
        label = method if here == len(cells) else f"{method} ({here} of {len(cells)} cells)"
        for ax, x in zip(axes, (passes, seconds), strict=True):
            if x > 0:
                ax.plot(x, value, ls="", ms=8, label=label, **looks[method].point)
    before = 100 * np.mean([np.mean([r["non_adapted"] for r in cell]) for cell in cells.values()])
    for ax, label in zip(axes, ("forward and backward passes a clip", f"seconds a run ({_devices(shown)})")):
        ax.set_xscale("log")
        ax.xaxis.set_major_formatter("{x:g}")
        ax.axhline(before, color="0.5", lw=1, ls=":", label="not adapted")
        ax.set_xlabel(label)
        ax.grid(alpha=0.25, lw=0.6)
        bare(ax)
    axes[0].set_ylabel(metric_name(found))
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right center", frameon=False, fontsize=9, ncols=1 + len(labels) // 18)
    save(figure, path)


def _devices(found: Sequence[Record]) -> str:
    names = list(dict.fromkeys(str(r["device"]) for r in found))
    return names[0] if len(names) == 1 else f"{len(names)} kinds of device"


def effect(groups: Sequence[Mapping[str, Sequence[Record]]], path: Path, looks: Mapping[str, Look]) -> None:
    """A panel a cell: the metric over epochs, a line a value of the option that alone differs, its best epoch marked.

    Lines begin after the first epoch: the unadapted model would stretch the axis.

    Args:
      groups: of `analyses.apart`: label of a line -> its records, one a seed.
      path: of the PNG.
      looks: of `looks.of_methods`; the values are shades of their method's colour.
    """
    columns = min(4, len(groups))
    rows = -(-len(groups) // columns)
    figure, axes = subplots(rows, columns, figsize=(3.9 * columns + 0.4, 3.4 * rows), squeeze=False)
    for ax, group in zip(axes.flat, groups, strict=False):
        first = next(iter(group.values()))[0]
        colors = shades(looks[first["method"]].color, len(group))
        for index, (label, members) in enumerate(group.items()):
            shape, marker = {"color": colors[index]}, look(index).point["marker"]
            for i, record in enumerate(members):
                epochs = [point["epoch"] for point in record["curve"][1:]]
                values = [100 * point.get("evaluation", point)["metric"] for point in record["curve"][1:]]
                ax.plot(epochs, values, **shape, ls=DASHES[index % 7], lw=1.4, label=label if i == 0 else None)
                best = int(np.argmax(values))
                ax.plot(epochs[best], values[best], ls="", ms=7, marker=marker, **shape)
        ax.set_title(f"{first['dataset']}, {first['net']}\n{first['corruption']}-{first['level']}", fontsize=9)
        ax.set_xlabel("epoch")
        ax.set_ylabel(metric_name([first]))
        ax.xaxis.get_major_locator().set_params(integer=True)
        ax.legend(fontsize=8, frameon=False)
        bare(ax)
    for ax in axes.flat[len(groups) :]:
        ax.set_visible(False)
    save(figure, path)


def principal(before: np.ndarray, after: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Two sets of embeddings on their two common principal axes, and the share of the variance that these hold.

    PCA by singular value decomposition of both sets together, centred: (clips, 2) each.
    """
    both = np.concatenate([before, after]).astype(np.float64)
    both -= both.mean(0)
    _, values, axes = np.linalg.svd(both, full_matrices=False)
    flat = both @ axes[:2].T
    if flat.shape[1] < 2:
        flat = np.pad(flat, ((0, 0), (0, 2 - flat.shape[1])))
    held = float((values[:2] ** 2).sum() / max((values**2).sum(), 1e-300))
    return flat[: len(before)], flat[len(before) :], held


def _embeddings_of(file: Path) -> Sequence[np.ndarray]:
    """Labels, classes, silhouettes, embeddings before and after; raises `BadInput` for arrays that do not fit."""
    expected = "what experiments.adapt --embeddings writes; remove it to report without it"
    found = read_npz(file, ("labels", "classes", "silhouette", "before", "after"), expected)
    labels, names, scores, before, after = found.values()
    fits = labels.ndim == names.ndim == 1 and labels.dtype.kind in "iu" and scores.shape == (2,) and is_shown(scores)
    fits = fits and before.ndim == 2 and before.shape == after.shape and 1 < len(labels) == len(before)
    fits = fits and before.shape[1] > 1 and is_shown(before) and is_shown(after)
    if not fits or labels.min() < 0 or labels.max() >= len(names):
        raise BadInput(f"{file}: its arrays do not fit each other, expected {expected}")
    return labels, names, scores, before, after


def embeddings(files: Sequence[tuple[str, Path]], path: Path) -> None:
    """A row a cell: embeddings before and after adaptation on the same two principal axes, coloured by class.

    Args:
      files: (title, npz of `dhauds_jax.cells.embeddings`) of each cell.
      path: of the PNG.
    """
    figure, axes = subplots(len(files), 2, figsize=(7.6, 3.5 * len(files)), squeeze=False, sharex="row", sharey="row")
    for (left, right), (title, file) in zip(axes, files, strict=True):
        labels, names, scores, before, after = _embeddings_of(file)
        before, after, held = principal(before, after)
        for ax, flat, when, score in ((left, before, "before", scores[0]), (right, after, "after", scores[1])):
            for index, label in enumerate(np.unique(labels)):
                name, shape = str(names[label]), {"s": 14, "lw": 0, "alpha": 0.85, **look(index).point}
                # Matplotlib leaves a label that begins with an underscore out of the legend: _unknown_ is a class too.
                ax.scatter(*flat[labels == label].T, label=f" {name}" if name.startswith("_") else name, **shape)
            ax.set_title(f"{heading(title)}\n{when}: silhouette {score:.2f}", fontsize=9)
            ax.set_xlabel("first principal axis")
            bare(ax)
        left.set_ylabel(f"second ({100 * held:.0f} % of variance in both)")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    if len(labels) <= 40:
        figure.legend(
            handles, labels, loc="outside right center", frameon=False, fontsize=7, ncols=1 + len(labels) // 25
        )
    save(figure, path)
