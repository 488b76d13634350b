"""A model as one file that runs without this package: StableHLO, by `jax.export`."""

from __future__ import annotations

import json
from pathlib import Path

import jax
import jax.numpy as jnp
from jax import export as jax_export

from dhauds_jax.files import write_atomically
from dhauds_jax.model.record import Model
from dhauds_jax.nets import precision
from dhauds_jax.nets.checkpoint import variables_hash
from dhauds_jax.nets.normalisers import EVAL

PROGRAM, MODULE, ABOUT = "model.jax_export", "model.stablehlo", "model.json"
PLATFORMS = ("cpu", "cuda")


@precision.exactly()
def exported(model: Model) -> jax_export.Exported:
    """`(batch, length) float32 waves -> (batch, classes) probabilities`, for any batch size, its weights inside.

    The front end, the network as it evaluates and the softmax; what an adaptation method does beyond its weights (a
    batch's statistics, prototypes) is no part of it.
    """
    (batch,) = jax_export.symbolic_shape("batch")
    waves = jax.ShapeDtypeStruct((batch, model.config.length), jnp.float32)

    def probabilities(waves: jax.Array) -> jax.Array:
        outputs, _ = model.classifier.apply(model.variables, waves, mode=EVAL)
        return jax.nn.softmax(outputs.logits.astype(jnp.float32))

    return jax_export.export(jax.jit(probabilities), platforms=PLATFORMS)(waves)


def export(model: Model, folder: str | Path) -> Path:
    """Writes the program, its StableHLO module, and what a caller must know (classes, rate, length) into a folder.

    `jax.export.deserialize(bytes of model.jax_export).call(waves)` runs it where only JAX is installed;
    `model.stablehlo` is the module alone, for other compilers of StableHLO.
    """
    folder, program = Path(folder), exported(model)
    config = model.config
    about = {
        "classes": list(model.classes),
        "sample_rate": config.sample_rate,
        "length": config.length,
        "input": ["batch", config.length, "float32", "samples in [-1, 1)"],
        "output": ["batch", len(model.classes), "float32", "probabilities"],
        "platforms": list(PLATFORMS),
        "calling_convention": program.calling_convention_version,
        "jax": jax.__version__,
        "net": config.net,
        "weights": variables_hash(model.variables),
    }
    write_atomically(folder / PROGRAM, bytes(program.serialize()))
    write_atomically(folder / MODULE, program.mlir_module_serialized)
    write_atomically(folder / ABOUT, json.dumps(about, indent=2) + "\n")
    return folder
