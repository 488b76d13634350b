"""A model as one file that runs without this package: StableHLO, by `jax.export`, or ONNX."""

from __future__ import annotations

import importlib.metadata
import json
from pathlib import Path

import jax
import jax.numpy as jnp
from jax import export as jax_export

from dhauds_jax import registry
from dhauds_jax.errors import BadInput
from dhauds_jax.files import write_atomically
from dhauds_jax.model import onnx
from dhauds_jax.model.record import Model
from dhauds_jax.nets import precision
from dhauds_jax.nets.checkpoint import variables_hash
from dhauds_jax.nets.config import reading
from dhauds_jax.nets.normalisers import EVAL

PROGRAM, MODULE, GRAPH, ABOUT = "model.jax_export", "model.stablehlo", "model.onnx", "model.json"
PLATFORMS = ("cpu", "cuda")
FORMATS = ("stablehlo", "onnx")


@precision.exactly()
def exported(model: Model) -> jax_export.Exported:
    """`(batch, length) float32 waves -> (batch, classes) probabilities`, for any batch size, its weights inside.

    The front end, the network as it evaluates and the softmax, at the temperature and in the groups that the model
    reports; what an adaptation method does beyond its weights (a
    batch's statistics, prototypes) is no part of it.
    """
    (batch,) = jax_export.symbolic_shape("batch")
    waves = jax.ShapeDtypeStruct((batch, model.config.length), jnp.float32)

    def probabilities(waves: jax.Array) -> jax.Array:
        outputs, _ = model.classifier.apply(model.variables, waves, mode=EVAL)
        return model.traced_probabilities(outputs.logits.astype(jnp.float32))

    return jax_export.export(jax.jit(probabilities), platforms=PLATFORMS)(waves)


def check(model: Model, kind: str) -> None:
    """Raises `BadInput` for an unknown format, and where one cannot be written."""
    if kind not in FORMATS:
        raise BadInput(f"--format: {registry.unknown('format', kind, FORMATS)}")
    if kind == "onnx":
        onnx.check(model)


def export(model: Model, folder: str | Path, kind: str = "stablehlo") -> Path:
    """Writes the program and what a caller must know (classes, rate, length) into a folder; returns the program's path.

    As "stablehlo", `jax.export.deserialize(bytes of model.jax_export).call(waves)` runs it where JAX and flatbuffers
    are, and `model.stablehlo` is the module alone, for other compilers of StableHLO. As "onnx", `model.onnx` takes
    `waves` and gives `probabilities` in every runtime of ONNX.

    Raises:
      BadInput: see `check`; a network that cannot be converted.
    """
    check(model, kind)
    folder, config = Path(folder), model.config
    about = {
        "classes": list(config.reported),
        "sample_rate": config.sample_rate,
        "length": config.length,
        **reading(config.front_end),
        "input": ["batch", config.length, "float32", "samples in [-1, 1)"],
        "output": ["batch", len(config.reported), "float32", "probabilities"],
    }
    if kind == "onnx":
        path, program = folder / GRAPH, onnx.graph(model)
        about |= {"names": [onnx.INPUT, onnx.OUTPUT], "jax2onnx": importlib.metadata.version("jax2onnx")}
    else:
        made = exported(model)
        path, program = folder / PROGRAM, bytes(made.serialize())
        about |= {"platforms": list(PLATFORMS), "calling_convention": made.calling_convention_version}
        write_atomically(folder / MODULE, made.mlir_module_serialized)
    about |= {"jax": jax.__version__, "net": config.net, "weights": variables_hash(model.variables)}
    write_atomically(path, program)
    write_atomically(folder / ABOUT, json.dumps(about, indent=2) + "\n")
    return path
