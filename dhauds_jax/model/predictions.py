"""What a model says about recordings: a label a file, and over time where a file is longer than the network's clip."""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from dhauds_jax.data import recordings
from dhauds_jax.data.recordings import Recordings


class Segment(NamedTuple):
    """A stretch of a file that has one label.

    Attributes:
      file: its number in `Predictions.files`.
      start, end: seconds from the file's beginning.
      label: number of the class.
      confidence: mean probability of the class over the stretch.
    """

    file: int
    start: float
    end: float
    label: int
    confidence: float


class Predictions(NamedTuple):
    """Probabilities of recordings.

    Attributes:
      files: their names.
      classes: names of the classes.
      probabilities: (files, classes), the mean over a file's windows.
      windows: (windows, classes).
      owner: (windows,), the file of each window.
      spans: (windows, 2), seconds in its file at which a window's sound starts and ends.
      notices: what is to be said of the recordings (resampled, silent, left out, ...), as sentences.
    """

    files: tuple[str, ...]
    classes: tuple[str, ...]
    probabilities: Float[np.ndarray, "files classes"]
    windows: Float[np.ndarray, "windows classes"]
    owner: Int[np.ndarray, " windows"]
    spans: Float[np.ndarray, "windows 2"]
    notices: tuple[str, ...] = ()

    @property
    def labels(self) -> tuple[str, ...]:
        """The likeliest class of each file."""
        return tuple(self.classes[k] for k in self.probabilities.argmax(-1))

    @property
    def confidence(self) -> Float[np.ndarray, " files"]:
        """Its probability."""
        return self.probabilities.max(-1)

    def top(self, count: int) -> list[list[tuple[str, float]]]:
        """The `count` likeliest classes of each file with their probabilities, the likeliest first."""
        ordered = np.argsort(-self.probabilities, axis=-1, kind="stable")[:, :count]
        return [
            [(self.classes[k], float(row[k])) for k in best]
            for best, row in zip(ordered, self.probabilities, strict=True)
        ]

    def segments(self) -> list[Segment]:
        """The files as stretches of one label each, file by file, from their beginning to their end.

        Where windows overlap, the probabilities of a moment are the mean over the windows that hold it; neighbouring
        stretches of one label are one.
        """
        found: list[Segment] = []
        ends = np.flatnonzero(np.diff(self.owner)) + 1
        rows = zip(np.split(self.spans, ends), np.split(self.windows, ends), strict=True)
        for file, (spans, windows) in enumerate(rows):
            pieces: list[tuple[float, float, np.ndarray]] = []
            for start, end in itertools.pairwise(np.unique(spans)):
                # Windows start and end in rising order, so those that hold a moment follow each other.
                first, beyond = np.searchsorted(spans[:, 1], end), np.searchsorted(spans[:, 0], start, "right")
                pieces.append((float(start), float(end), windows[first:beyond].mean(0)))
            found += _joined(file, pieces)
        return found


def _joined(file: int, pieces: list[tuple[float, float, np.ndarray]]) -> list[Segment]:
    """Neighbouring pieces of one label as one segment; its confidence is their mean, weighted by their seconds."""
    out: list[Segment] = []
    for start, end, mean in pieces:
        label, confidence = int(mean.argmax()), float(mean.max())
        if out and out[-1].label == label:
            last = out[-1]
            weighted = last.confidence * (last.end - last.start) + confidence * (end - start)
            out[-1] = last._replace(end=end, confidence=weighted / (end - last.start))
        else:
            out.append(Segment(file, start, end, label, confidence))
    return out


def predictions(
    found: Recordings, classes: tuple[str, ...], probabilities: Float[np.ndarray, "windows classes"]
) -> Predictions:
    """The predictions of recordings from the probabilities of their windows."""
    per_file = recordings.per_file(probabilities, found.owner, len(found.files))
    return Predictions(found.files, classes, per_file, probabilities, found.owner, found.spans, found.notices)
