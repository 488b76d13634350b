"""Writes a classifier as one program that runs without this package, its weights inside: StableHLO, or ONNX.

Example: python -m experiments.export --checkpoint=out/train/checkpoint --output=out/program
Writes OUTPUT/model.jax_export (for jax.export.deserialize), OUTPUT/model.stablehlo (the module alone, for other
compilers) and OUTPUT/model.json (classes, rate, length). It takes (batch, length) samples and gives probabilities, for
any batch size, on CPU and CUDA. --format=onnx writes OUTPUT/model.onnx instead, for onnxruntime and the like.
PyTorch's names: python -m converters.convert --reverse.
"""

from __future__ import annotations

from dhauds_jax.command import app, flags, outputs
from dhauds_jax.runs.requests.export import ExportRun

flags.flags_of(ExportRun)


def main() -> str:
    outputs.check("output")
    from dhauds_jax.runs.export import export

    return export(flags.from_flags(ExportRun))


if __name__ == "__main__":
    app.run(main)
