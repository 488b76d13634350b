"""A checkpoint as one program that runs without this package."""

from __future__ import annotations

from pathlib import Path

from dhauds_jax.model import onnx
from dhauds_jax.model.export import export as write
from dhauds_jax.runs.classify import model_of
from dhauds_jax.runs.requests.export import ExportRun


def export(run: ExportRun) -> str:
    """Writes the program; returns the sentence that says where it is and how to run it."""
    model, _ = model_of(run.checkpoint, run.model)
    path = write(model, run.output, run.format)
    size = path.stat().st_size / 2**20
    config = model.config
    return (
        f"{len(config.reported)} classes, windows of {config.length} samples at {config.sample_rate} Hz, "
        f"{size:.1f} MiB; {_call(run.format, str(path))} gives probabilities: {Path(run.output)}"
    )


def _call(kind: str, path: str) -> str:
    """The Python that runs a program."""
    if kind == "onnx":
        return f"onnxruntime.InferenceSession({path!r}).run(None, {{{onnx.INPUT!r}: waves}})"
    return f"jax.export.deserialize(open({path!r}, 'rb').read()).call(waves)"
