"""What is said of one evaluation: numbers for every class and clip, and figures of confusion and calibration."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from dhauds_jax import metrics

SMALL = 40
"""Up to this many classes, a figure of confusions writes the numbers and names into its squares."""


class ClassLine(NamedTuple):
    """One class: its clips, and precision, recall and F1 of the predictions, 0 to 1 (0 where nothing was predicted)."""

    name: str
    clips: int
    precision: float
    recall: float
    f1: float


def class_lines(
    logits: Float[np.ndarray, "clips classes"], labels: np.ndarray, classes: Sequence[str]
) -> list[ClassLine]:
    """Every class; labels are (clips,) numbers of classes, or 0/1 rows, where a logit above 0 says yes."""
    true = metrics.label_rows(labels, len(classes))
    said = np.asarray(logits) > 0 if np.ndim(labels) == 2 else metrics.label_rows(logits.argmax(-1), len(classes))
    lines = []
    for k, name in enumerate(classes):
        hits, found, there = int((true & said)[:, k].sum()), int(said[:, k].sum()), int(true[:, k].sum())
        both = found + there
        lines.append(
            ClassLine(name, there, hits / found if found else 0.0, hits / there if there else 0.0,
                      2 * hits / both if both else 0.0)
        )  # fmt: skip
    return lines


def confusion(
    logits: Float[np.ndarray, "clips classes"], labels: Int[np.ndarray, " clips"]
) -> Int[np.ndarray, "classes classes"]:
    """Clips by true class (rows) and predicted class (columns)."""
    found = np.zeros((logits.shape[-1],) * 2, int)
    np.add.at(found, (labels, logits.argmax(-1)), 1)
    return found


def confusions(found: Int[np.ndarray, "classes classes"], classes: Sequence[str], most: int) -> list[tuple]:
    """The most frequent mistakes, (true class, predicted class, clips), the most frequent first."""
    wrong = [(classes[i], classes[j], int(found[i, j])) for i, j in zip(*np.nonzero(found), strict=True) if i != j]
    return sorted(wrong, key=lambda row: -row[2])[:most]


def draw_confusion(found: Int[np.ndarray, "classes classes"], classes: Sequence[str], path: Path) -> None:
    """The table as a picture: rows (true classes) in shares of their clips, with the clips written in."""
    from dhauds_jax.report.plotting import save, subplots  # matplotlib takes a second

    side = 0.34 * min(len(classes), 60)
    figure, axes = subplots(figsize=(2.5 + side, 2.2 + side))
    shares = found / np.maximum(found.sum(-1, keepdims=True), 1)
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    figure.colorbar(image, ax=axes, shrink=0.7, label="share of the class's clips")
    axes.set(xlabel="predicted", ylabel="truth")
    if len(classes) <= SMALL:
        axes.set_xticks(range(len(classes)), classes, rotation=90)
        axes.set_yticks(range(len(classes)), classes)
        for i, j in zip(*np.nonzero(found), strict=True):
            color = "white" if shares[i, j] > 0.6 else "black"
            axes.text(j, i, str(found[i, j]), ha="center", va="center", color=color, fontsize=7)
    save(figure, path)


def draw_calibration(bins: Sequence[tuple[float, float, float]], path: Path) -> None:
    """Share that is right over mean confidence, a point a filled bin, its area by its share of the clips.

    Args:
      bins: of `metrics.reliability`.
      path: where.
    """
    from dhauds_jax.report.plotting import save, subplots  # matplotlib takes a second

    figure, axes = subplots(figsize=(4.6, 4.4))
    share_, right, said = np.array(bins).T
    axes.plot([0, 1], [0, 1], color="0.72", linewidth=1)
    axes.scatter(said, right, s=20 + 600 * share_, color="#0072B2", alpha=0.7, linewidths=0)
    axes.set(xlim=(0, 1), ylim=(-0.02, 1.02), xlabel="confidence", ylabel="share that is right", aspect="equal")
    axes.spines[["top", "right"]].set_visible(False)
    save(figure, path)
