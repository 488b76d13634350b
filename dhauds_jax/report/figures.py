"""Figures of a report (PNG, matplotlib without a screen)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from dhauds_jax.report.tables import Record

GREY = "0.72"
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Okabe and Ito's colours, which the colour-blind can tell apart (their yellow is too faint for lines)."""
MARKERS = "osD^vPX"
LINES = ("-", "--", ":", "-.")


def look(index: int) -> dict[str, Any]:
    """Colour and marker of the index-th thing shown: no pair twice among the first 49."""
    return {"color": COLORS[index % 7], "marker": MARKERS[(index + index // 7) % 7]}


def line_look(index: int) -> dict[str, Any]:
    """Colour and dashes of the index-th line: no pair twice among the first 28."""
    return {"color": COLORS[index % 7], "linestyle": LINES[index // 7 % 4]}


def metric_name(found: Sequence[Record]) -> str:
    """The metric of an axis, with its unit."""
    return f"{found[0]['metric'].replace('_', ' ')} (%)"


def save(figure: Any, path: Path) -> None:
    """Writes a figure as PNG and closes it."""
    figure.savefig(path, dpi=110)
    plt.close(figure)


def bare(axes: Any) -> None:
    """Takes the upper and the right frame line away."""
    axes.spines[["top", "right"]].set_visible(False)


def legend_below(figure: Any, handles: Sequence[Any], labels: Sequence[str]) -> None:
    """A legend under the axes, in as many columns as its longest label leaves room for."""
    columns = int(figure.get_figwidth() * 10 / (max(map(len, labels)) + 8))
    figure.legend(handles, labels, ncols=max(1, min(columns, len(labels))), loc="outside lower center", frameon=False)


def heading(method: str) -> str:
    """A method's name as a title: its settings, if any, on lines of their own."""
    return method.replace(" [", "\n[").replace(", ", ",\n")


def _cells(found: Sequence[Record]) -> list[tuple[str, str]]:
    return list(dict.fromkeys((r["corruption"], r["level"]) for r in found))


def _methods(found: Sequence[Record]) -> list[str]:
    return [m for m in dict.fromkeys(r["method"] for r in found) if m != "source"]


def gain(found: Sequence[Record], path: Path) -> None:
    """Bars per corruption and level: the metric before adaptation and after it with each method (mean over seeds)."""
    cells, methods = _cells(found), _methods(found)
    figure, axes = plt.subplots(figsize=(max(6.0, 1.1 * len(cells) + 2), 4.2), layout="constrained")
    width = 0.84 / (len(methods) + 1)
    place = np.arange(len(cells))

    def heights(of: str, method: str | None) -> tuple[list[float], list[float]]:
        values = [
            [100 * r[of] for r in found if (r["corruption"], r["level"]) == c and method in (None, r["method"])]
            for c in cells
        ]
        return [np.mean(v) if v else np.nan for v in values], [np.std(v) if len(v) > 1 else 0.0 for v in values]

    before, sd = heights("non_adapted", None)
    axes.bar(place, before, width, yerr=sd, color=GREY, label="before", error_kw={"lw": 1})
    for i, method in enumerate(methods, 1):
        after, sd = heights("adapted_last", method)
        axes.bar(
            place + i * width,
            after,
            width,
            yerr=sd,
            label=method,
            color=COLORS[(i - 1) % 7],
            hatch=("", "///", "...", "xxx")[(i - 1) // 7 % 4],
            edgecolor="white",
            linewidth=0,
            error_kw={"lw": 1},
        )
    axes.set_xticks(place + width * len(methods) / 2, [f"{c}\n{level}" for c, level in cells])
    axes.set_ylabel(metric_name(found))
    axes.set_ylim(0, 105)
    axes.set_title(f"{found[0]['dataset']}, {found[0]['net']}, {found[0]['protocol']}: before and after adaptation")
    bare(axes)
    legend_below(figure, *axes.get_legend_handles_labels())
    save(figure, path)


def curves(found: Sequence[Record], path: Path) -> None:
    """Per corruption and level: the metric over epochs of each method, below it the losses of two-view adaptation."""
    cells = [c for c in _cells(found) if c[0] != "clean"] or _cells(found)
    figure, axes = plt.subplots(
        2, len(cells), figsize=(2.6 * len(cells) + 1, 5.2), sharey="row", squeeze=False, layout="constrained"
    )
    for column, cell in enumerate(cells):
        here = [r for r in found if (r["corruption"], r["level"]) == cell]
        _metric_curves(axes[0, column], here, _methods(found))
        _loss_curves(axes[1, column], here)
        axes[0, column].set_title(f"{cell[0]} {cell[1]}")
        axes[1, column].set_xlabel("epoch")
        axes[1, column].xaxis.get_major_locator().set_params(integer=True)
    axes[0, 0].set_ylabel(metric_name(found))
    axes[1, 0].set_ylabel("loss terms (times rate)")
    for row in axes:
        shown = {label: line for ax in row for line, label in zip(*ax.get_legend_handles_labels(), strict=True)}
        if shown:
            beside = {"loc": "center left", "bbox_to_anchor": (1.0, 0.5)}
            row[-1].legend(shown.values(), shown, fontsize=8, frameon=False, **beside)
    save(figure, path)


def _metric_curves(axes: Any, here: Sequence[Record], methods: Sequence[str]) -> None:
    for index, method in enumerate(methods):
        for i, record in enumerate(r for r in here if r["method"] == method):
            points = [(p["epoch"], 100 * p.get("evaluation", p)["metric"]) for p in record["curve"]]
            axes.plot(*zip(*points, strict=True), **line_look(index), lw=1.2, label=method if i == 0 else None)
    axes.axhline(100 * np.mean([r["non_adapted"] for r in here]), color="0.5", lw=1, ls=":")
    axes.set_ylim(0, 102)
    bare(axes)


def _loss_curves(axes: Any, here: Sequence[Record]) -> None:
    record = next((r for r in here if r["curve"] and len(r["curve"][-1]["losses"]) > 2), None)
    if record is not None:
        points = [p for p in record["curve"] if p["losses"]]
        for index, name in enumerate(points[0]["losses"]):
            values = [p["losses"][name] for p in points]
            axes.plot([p["epoch"] for p in points], values, **line_look(index), lw=1.2, label=name)
    bare(axes)


def spectrograms(examples: Path, path: Path) -> None:
    """One page: the log-mel spectrogram of one clip, clean and under each corruption that was run."""
    files = sorted(examples.glob("*.npz"), key=lambda f: (not f.stem.startswith("clean"), f.stem))
    columns = min(4, len(files))
    rows = -(-len(files) // columns)
    figure, axes = plt.subplots(
        rows,
        columns,
        figsize=(3.1 * columns, 2.3 * rows),
        sharex=True,
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    image = None
    for ax, file in zip(axes.flat, files, strict=False):
        with np.load(file) as example:
            mel, seconds = example["log_mel"], float(example["seconds"])
        mel = mel - mel.max()
        image = ax.imshow(
            mel.T, origin="lower", aspect="auto", extent=(0, seconds, 0, mel.shape[1]), vmin=-80, vmax=0, cmap="magma"
        )
        ax.set_title(file.stem, fontsize=10)
    for ax in axes.flat[len(files) :]:
        ax.set_visible(False)
    for ax in axes[-1]:
        ax.set_xlabel("time (s)")
    for ax in axes[:, 0]:
        ax.set_ylabel("mel band")
    figure.colorbar(image, ax=axes, label="dB below the clip's peak", shrink=0.8)
    save(figure, path)
