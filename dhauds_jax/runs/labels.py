"""What `classify` writes: labels, probabilities, labels over time, the adapted model, and a report."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Float

from dhauds_jax.calibration import unknown_name
from dhauds_jax.data.recordings import Recordings
from dhauds_jax.digests import of_text
from dhauds_jax.files import write_atomically, write_csv
from dhauds_jax.model.adapting import Outcome
from dhauds_jax.model.predictions import Predictions, Segment
from dhauds_jax.model.record import Model
from dhauds_jax.nets.config import ClassifierConfig
from dhauds_jax.runs.requests.classify import ClassifyRun
from dhauds_jax.runs.truth import Scores
from dhauds_jax.tta.advice import Advice
from dhauds_jax.wording import counted, of_markdown
from dhauds_jax.workdir import provenance

PREDICTIONS, PROBABILITIES, SEGMENTS, REPORT = "predictions.csv", "probabilities.csv", "segments.csv", "report.md"
CONFUSION = "confusion.csv"
AUDACITY = "audacity"
"""Folder of the label files, one a recording that is longer than a window."""

LONGEST_NAME = 150
"""Bytes of the longest name of a label file; a longer one is shortened."""

TOP = 3
"""Classes of a file that stand in its line."""


class Result(NamedTuple):
    """Predictions of the source model and after adaptation, and how it went.

    Attributes:
      before: of the model as it was.
      after: of the adapted one.
      outcome: of the adaptation.
      least: files that are less sure, and stretches of less confidence, are unknown; None: all keep their class.
      sure: (files,) what is compared with it.
      lines: what else is to be said, a sentence a line.
      moments: (windows,) what is compared for a stretch of time, the mean over its windows; None: its confidence.
    """

    before: Predictions
    after: Predictions
    outcome: Outcome
    least: float | None = None
    sure: Float[np.ndarray, " files"] | None = None
    lines: tuple[str, ...] = ()
    moments: Float[np.ndarray, " windows"] | None = None

    def sure_of(self, stretch: Segment) -> float:
        """How sure the label of a stretch of a file is."""
        if self.moments is None:
            return stretch.confidence
        spans = self.after.spans
        inside = (self.after.owner == stretch.file) & (spans[:, 1] > stretch.start) & (spans[:, 0] < stretch.end)
        return float(self.moments[inside].mean())

    def named(self, label: str, confidence: float) -> str:
        """The label, or that of what is unknown."""
        return label if self.least is None or confidence >= self.least else unknown_name(self.after.classes)


def described(found: Recordings, config: ClassifierConfig) -> str:
    """What the recordings are, in a few lines."""
    minutes = found.seconds.sum() / 60
    recorded, cut = counted(len(found.files), "recording"), counted(len(found.waves), "window")
    lines = [
        f"{recorded}, {minutes:.1f} min ({found.seconds.min():.2f} to {found.seconds.max():.2f} s), "
        f"in {cut} of {config.length / config.sample_rate:g} s at {config.sample_rate} Hz",
        *(f"note: {notice}" for notice in found.notices),
    ]
    if found.skipped:
        name, reason = found.skipped[0]
        lines.append(f"note: {counted(len(found.skipped), 'file')} skipped, the first: {name}: {reason}")
    return "\n".join(lines)


def remove(folder: Path) -> None:
    """Takes the labels of an earlier run away."""
    for name in (PREDICTIONS, PROBABILITIES, SEGMENTS, CONFUSION, REPORT):
        (folder / name).unlink(missing_ok=True)
    if (folder / AUDACITY).is_symlink():  # its tracks would be written where it leads
        (folder / AUDACITY).unlink()
    shutil.rmtree(folder / AUDACITY, ignore_errors=True)


def write(
    run: ClassifyRun, found: Recordings, model: Model, result: Result, scores: Scores | None, command: str
) -> None:
    """Writes everything into the run's output, each file under a temporary name first.

    Args:
      run: the flags.
      found: the recordings.
      model: the adapted model.
      result: what was predicted.
      scores: against the truth, where it was given.
      command: the command line.
    """
    folder = Path(run.output)
    advice = model.adapted.advice
    write_csv(folder / PREDICTIONS, _prediction_rows(found, result))
    write_csv(folder / PROBABILITIES, _probability_rows(result.after))
    _write_segments(folder, result)
    if scores is not None:
        write_csv(folder / CONFUSION, scores.confusion_rows())
    adaptation = {"command": command, "method": run.method, "seed": run.seed, "profile": run.profile}
    if run.precision != "float32":
        adaptation["precision"] = run.precision
    model.save(folder / "checkpoint", {"adaptation": {**adaptation, "versions": provenance.versions()}})
    report = _report(run, found, model.config, advice, result, scores, command)
    write_atomically(folder / REPORT, of_markdown(report))
    print("\n".join((*result.lines, advice.sentence())))
    if scores is not None:
        print(scores.sentence())


def _prediction_rows(found: Recordings, result: Result) -> list[tuple[Any, ...]]:
    after, before = result.after, result.before
    ranks = [name for n in range(2, 1 + min(TOP, len(after.classes))) for name in (f"label_{n}", f"confidence_{n}")]
    best = () if result.least is None else ("best",)
    rows: list[tuple[Any, ...]] = [
        ("file", "label", "confidence", "label_before", "confidence_before", *ranks, "seconds", "silent", *best)
    ]
    silent_files = frozenset(found.silent)
    for i, (name, top) in enumerate(zip(after.files, after.top(TOP), strict=True)):
        (label, confidence), *others = top
        was = before.labels[i], f"{before.confidence[i]:.4f}"
        more = [text for other, share in others for text in (other, f"{share:.4f}")]
        silent = "yes" if name in silent_files else "no"
        sure = confidence if result.sure is None else float(result.sure[i])
        own = (name, result.named(label, sure), f"{confidence:.4f}")
        rows.append((*own, *was, *more, f"{found.seconds[i]:.2f}", silent, *((label,) if best else ())))
    return rows


def _probability_rows(after: Predictions) -> list[tuple[Any, ...]]:
    rows = zip(after.files, after.probabilities, strict=True)
    return [("file", *after.classes), *((name, *(f"{p:.6f}" for p in row)) for name, row in rows)]


def _write_segments(folder: Path, result: Result) -> None:
    """Labels over time: `segments.csv`, and a label track for Audacity for every recording of several windows."""
    after, found = result.after, result.after.segments()
    labels = [result.named(after.classes[s.label], result.sure_of(s)) for s in found]
    rows = [
        (after.files[s.file], f"{s.start:.3f}", f"{s.end:.3f}", label, f"{s.confidence:.4f}")
        for s, label in zip(found, labels, strict=True)
    ]
    write_csv(folder / SEGMENTS, [("file", "start_s", "end_s", "label", "confidence"), *rows])
    long = np.bincount(after.owner, minlength=len(after.files)) > 1
    tracks: dict[str, list[str]] = {}
    for segment, row in zip(found, rows, strict=True):
        if long[segment.file]:
            tracks.setdefault(row[0], []).append("\t".join((row[1], row[2], row[3])))
    for name, lines in tracks.items():
        path = Path(f"{name}.txt")
        if len(path.name.encode()) > LONGEST_NAME:  # the system has no room for what is added while it is written
            path = path.with_name(f"{path.name[:40]}-{of_text(path.name)}.txt")
        write_atomically(folder / AUDACITY / path, "\n".join(lines) + "\n")


def _report(
    run: ClassifyRun,
    found: Recordings,
    config: ClassifierConfig,
    advice: Advice,
    result: Result,
    scores: Scores | None,
    command: str,
) -> str:
    outcome = result.outcome
    recorded, *notes = described(found, config).split("\n")
    lines = ["# Adaptation to a folder of recordings", "", f"**{advice.sentence()}**", "", recorded, ""]
    lines += [*(f"- {note}" for note in notes), ""] if notes else []
    if result.lines:
        lines += [*(f"- {line}" for line in result.lines), ""]
    if outcome.interrupted:
        lines += ["The run was stopped before its end; the same command goes on.", ""]
    where = f"epoch {outcome.position} of {run.epochs} ({run.criterion})"
    if run.online:
        where = counted(outcome.position, "batch", "batches")
    how = f"{'online' if run.online else 'offline'}, taken from: {where}"
    lines += [f"Method {run.method}, {'which adapts nothing' if run.method == 'source' else how}.", ""]
    if jax.tree.leaves(outcome.state.memory):
        lines += ["The method also keeps a memory that is not part of the written checkpoint.", ""]
    lines += ["| sign | before | after |", "|---|---:|---:|"]
    lines += [f"| {name} | {a} | {b} |" for name, a, b in advice.signs.rows()]
    lines += [""]
    if scores is not None:
        lines += [*scores.lines(), ""]
    if outcome.curve:
        lines += [f"| epoch | {run.criterion} |", "|---:|---:|"]
        values = ["-" if point["criterion"] is None else f"{point['criterion']:.4f}" for point in outcome.curve]
        lines += [f"| {point['epoch']} | {value} |" for point, value in zip(outcome.curve, values, strict=True)] + [""]
    if found.skipped:
        lines += ["Files that were skipped:", "", *(f"- `{name}`: {reason}" for name, reason in found.skipped), ""]
    lines += [f"Command: `{command}`; code {provenance.git_revision()}; device {provenance.device()}.", ""]
    return "\n".join(lines)
