"""Figures of a report (PNG)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dhauds_jax.arrays import read_npz
from dhauds_jax.errors import BadInput
from dhauds_jax.names import CLEAN
from dhauds_jax.report.looks import DASHES, GREY, Look, shades
from dhauds_jax.report.plotting import is_shown, save, subplots
from dhauds_jax.report.tables import Record, one_per_seed

BAND = 5
"""Cells beside each other in the figure over epochs; more stand in further bands below."""


def metric_name(found: Sequence[Record]) -> str:
    """The metric of an axis, with its unit."""
    return f"{found[0]['metric'].replace('_', ' ')} (%)"


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


def gain(found: Sequence[Record], path: Path, looks: Mapping[str, Look]) -> None:
    """Bars per corruption and level: the metric before adaptation and after it with each method (mean over seeds).

    Bars of error are a sample standard deviation over seeds to either side, as in the tables.
    """
    cells, methods = _cells(found), _methods(found)
    figure, axes = subplots(figsize=(max(6.0, 1.1 * len(cells) + 2), 4.2))
    width = 0.84 / (len(methods) + 1)
    place = np.arange(len(cells))

    def heights(of: str, method: str | None) -> tuple[list[float], list[float]]:
        of_method = [r for r in found if method in (None, r["method"])]
        values = [
            [100 * r[of] for r in one_per_seed([r for r in of_method if (r["corruption"], r["level"]) == c])]
            for c in cells
        ]
        return [np.mean(v) if v else np.nan for v in values], [np.std(v, ddof=1) if len(v) > 1 else 0.0 for v in values]

    before, sd = heights("non_adapted", None)
    axes.bar(place, before, width, yerr=sd, color=GREY, label="before", error_kw={"lw": 1})
    for i, method in enumerate(methods, 1):
        after, sd = heights("adapted_last", method)
        shape = {"edgecolor": "white", "linewidth": 0, "error_kw": {"lw": 1}}
        axes.bar(place + i * width, after, width, yerr=sd, label=method, **looks[method].bar, **shape)
    axes.set_xticks(place + width * len(methods) / 2, [f"{c}\n{level}" for c, level in cells])
    axes.set_ylabel(metric_name(found))
    axes.set_ylim(0, 105)
    place = f"{found[0]['dataset']}, {found[0]['net']}, {found[0]['protocol']}"
    axes.set_title(f"{place}:\nbefore and after adaptation", fontsize=10)  # one cell's figure is narrow
    bare(axes)
    legend_below(figure, *axes.get_legend_handles_labels())
    save(figure, path)


def curves(found: Sequence[Record], path: Path, looks: Mapping[str, Look]) -> str:
    """Per corruption and level: the metric over epochs of each method; below it the loss terms of one, if any has some.

    Returns:
      whose loss terms the figure shows, and who else has some: a sentence, or "" where no method has any.
    """
    cells = [c for c in _cells(found) if c[0] != CLEAN] or _cells(found)
    told = list(dict.fromkeys(r["method"] for r in found if _has_terms(r) and (r["corruption"], r["level"]) in cells))
    columns, rows = min(BAND, len(cells)), 2 if told else 1
    bands = -(-len(cells) // columns)
    size = (2.6 * columns + 1, bands * (4.8 if told else 2.6) + 0.4)
    figure, axes = subplots(rows * bands, columns, figsize=size, sharey="row", squeeze=False)
    for place in range(bands * columns):
        band = axes[rows * (place // columns) :, place % columns][:rows]
        if place >= len(cells):
            for ax in band:
                ax.set_axis_off()
            continue
        here = [r for r in found if (r["corruption"], r["level"]) == cells[place]]
        _metric_curves(band[0], here, looks)
        if told:
            shown = [r for r in here if r["method"] == told[0] and _has_terms(r)]
            _loss_curves(band[1], [r for r in shown if r["seed"] == min(r["seed"] for r in shown)], looks[told[0]])
        band[0].set_title(" ".join(cells[place]))
        band[-1].set_xlabel("epoch")
        band[-1].xaxis.get_major_locator().set_params(integer=True)
    for row in range(0, rows * bands, rows):
        axes[row, 0].set_ylabel(metric_name(found))
        if told:
            axes[row + 1, 0].set_ylabel("loss terms (times rate)")
    for row, title in zip(range(rows), ("", *(f"losses of\n{heading(name)}" for name in told[:1])), strict=True):
        _legend_beside(axes[row::rows].ravel().tolist(), axes[row, -1], title)
    save(figure, path)
    return _whose_losses(found, told)


def _whose_losses(found: Sequence[Record], told: Sequence[str]) -> str:
    if not told:
        return ""
    seeds = {}
    for r in found:
        if r["method"] == told[0] and _has_terms(r):
            place = r["corruption"], r["level"]
            seeds[place] = min(r["seed"], seeds.get(place, r["seed"]))
    seed = ", ".join(map(str, sorted(set(seeds.values()))))
    others = f" (terms of {', '.join(told[1:])}: in the records)" if told[1:] else ""
    return f"Loss terms over epochs are those of {told[0]}, seed {seed}{others}."


def _has_terms(record: Record) -> bool:
    """Whether a record's loss has several terms: then their sum, `total`, is not the only thing to show."""
    return bool(record["curve"]) and len(record["curve"][-1]["losses"]) > 2


def _legend_beside(all_axes: Sequence[Any], last: Any, title: str) -> None:
    shown = {label: line for ax in all_axes for line, label in zip(*ax.get_legend_handles_labels(), strict=True)}
    if shown:
        beside = {"loc": "center left", "bbox_to_anchor": (1.0, 0.5), "alignment": "left", "handlelength": 3}
        small = {"fontsize": 8, "title_fontsize": 8, "frameon": False, "ncols": 1 + (len(shown) - 1) // 10}
        last.legend(shown.values(), shown, title=title or None, **beside, **small)


def _metric_curves(axes: Any, here: Sequence[Record], looks: Mapping[str, Look]) -> None:
    for method in _methods(here):
        for i, record in enumerate(r for r in here if r["method"] == method):
            points = [(p["epoch"], 100 * p.get("evaluation", p)["metric"]) for p in record["curve"]]
            axes.plot(*zip(*points, strict=True), **looks[method].line, lw=1.2, label=method if i == 0 else None)
    axes.axhline(100 * np.mean([r["non_adapted"] for r in here]), color="0.5", lw=1, ls=":", label="not adapted")
    axes.set_ylim(0, 102)
    bare(axes)


def _loss_curves(axes: Any, here: Sequence[Record], look: Look) -> None:
    """The terms of the first of a method's records of a cell, in shades of its colour."""
    if not here:
        axes.set_axis_off()
        return
    points = [p for p in here[0]["curve"] if p["losses"]]
    names = sorted(points[0]["losses"], key=lambda name: name != "total")  # the sum first, in the full colour
    for index, (name, shade) in enumerate(zip(names, shades(look.color, len(names)), strict=True)):
        values = [p["losses"][name] for p in points]
        axes.plot([p["epoch"] for p in points], values, color=shade, ls=DASHES[index % 7], lw=1.4, label=name)
    bare(axes)


def _example(file: Path) -> tuple[np.ndarray, float]:
    """The spectrogram of a clip, (frames, mels) dB below its peak, and its seconds; raises `BadInput` for none."""
    expected = "what experiments.adapt writes; remove it to report without it"
    mel, seconds = read_npz(file, ("log_mel", "seconds"), expected).values()
    if mel.ndim != 2 or not mel.size or seconds.shape or not (is_shown(mel) and is_shown(seconds) and seconds > 0):
        raise BadInput(f"{file}: holds no spectrogram of finite numbers and its seconds, expected {expected}")
    return mel - mel.max(), float(seconds)


def spectrograms(examples: Path, path: Path) -> None:
    """One page: the log-mel spectrogram of one clip, clean and under each corruption that was run."""
    files = sorted(examples.glob("*.npz"), key=lambda f: (not f.stem.startswith("clean"), f.stem))
    columns = min(4, len(files))
    rows = -(-len(files) // columns)
    figure, axes = subplots(rows, columns, figsize=(3.1 * columns, 2.3 * rows), sharex=True, sharey=True, squeeze=False)
    image = None
    for ax, file in zip(axes.flat, files, strict=False):
        mel, seconds = _example(file)
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
