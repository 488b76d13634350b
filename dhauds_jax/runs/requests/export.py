"""What `experiments.export` is asked for."""

from __future__ import annotations

from dataclasses import dataclass

from dhauds_jax.requests import Request, flag, like
from dhauds_jax.runs.requests.classify import ClassifyRun


@dataclass(frozen=True, kw_only=True)
class ExportRun(Request):
    """The flags of `experiments.export`."""

    checkpoint: str | None = like(ClassifyRun, "checkpoint")
    model: str | None = like(ClassifyRun, "model")
    output: str = flag("Folder to write.")
    format: str = flag(
        "stablehlo, or onnx (pip install 'dhauds_jax[onnx]', then pip install --no-deps 'jax2onnx>=0.17.1').",
        "stablehlo",
    )
    overwrite: bool = flag("Replace the program of another model in --output.", False)
