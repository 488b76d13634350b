"""A checkpoint as one program that runs without this package."""

from __future__ import annotations

from pathlib import Path

from dhauds_jax.model.export import PROGRAM
from dhauds_jax.model.export import export as write
from dhauds_jax.runs.classify import model_of
from dhauds_jax.runs.requests.export import ExportRun


def export(run: ExportRun) -> str:
    """Writes the program; returns the sentence that says where it is and how to run it."""
    model, _ = model_of(run.checkpoint, run.model)
    path = write(model, run.output) / PROGRAM
    size = path.stat().st_size / 2**20
    return (
        f"{len(model.classes)} classes, windows of {model.config.length} samples at {model.config.sample_rate} Hz, "
        f"{size:.1f} MiB; jax.export.deserialize(open({str(path)!r}, 'rb').read()).call(waves) gives probabilities: "
        f"{Path(run.output)}"
    )
