"""A checkpoint as one program that runs without this package."""

from __future__ import annotations

from pathlib import Path

from dhauds_jax import json_texts
from dhauds_jax.errors import BadInput
from dhauds_jax.model import onnx
from dhauds_jax.model.export import ABOUT
from dhauds_jax.model.export import export as write
from dhauds_jax.model.record import Model
from dhauds_jax.nets.checkpoint import variables_hash
from dhauds_jax.runs.classify import model_of
from dhauds_jax.runs.requests.export import ExportRun


def export(run: ExportRun) -> str:
    """Writes the program; returns the sentence that says where it is and how to run it.

    Raises:
      BadInput: the folder has the program of another model; what `model.export` refuses.
    """
    model, _ = model_of(run.checkpoint, run.model)
    if not run.overwrite:
        _check_other(Path(run.output), model)
    path = write(model, run.output, run.format)
    size = path.stat().st_size / 2**20
    config = model.config
    return (
        f"{len(config.reported)} classes, windows of {config.length} samples at {config.sample_rate} Hz, "
        f"{size:.1f} MiB; {_call(run.format, str(path))} gives probabilities: {Path(run.output)}"
    )


def _check_other(folder: Path, model: Model) -> None:
    path = folder / ABOUT
    if not path.is_file():
        return
    there = json_texts.object_of(path, "what experiments.export has written")
    ours = {"weights": variables_hash(model.variables), "classes": list(model.config.reported)}
    if {name: there.get(name) for name in ours} != ours:
        raise BadInput(
            f"{folder} has the program of another model ({there.get('net')}, weights {there.get('weights')}; this one: "
            f"{model.config.net}, {ours['weights']}): give another folder, or --overwrite to replace it"
        )


def _call(kind: str, path: str) -> str:
    """The Python that runs a program."""
    if kind == "onnx":
        return f"onnxruntime.InferenceSession({path!r}).run(None, {{{onnx.INPUT!r}: waves}})"
    return f"jax.export.deserialize(open({path!r}, 'rb').read()).call(waves)"
