"""The ordinary conversion: one map from the keys of the files to the leaves of the network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from converters import presets
from converters.families import Planned, Request
from converters.mapping import Path, flatten, to_flax, unflatten
from dhauds_jax.nets import zoo
from dhauds_jax.nets.config import ClassifierConfig
from dhauds_jax.nets.heads import build_head
from dhauds_jax.nets.normalisers import EVAL

HEADLESS = "the source has no classification head"
"""How the note begins that says so."""


def plan(
    request: Request, geometry: Mapping[str, Any] | None = None, stated: Mapping[str, Any] | None = None
) -> Planned:
    """Config and variables: every key used or on the ignore list, leaves that no file has from `fresh_leaves`.

    `geometry` is what the source's own config file states of it, `stated` what that file states else.

    Raises:
      BadInput: what `presets.resolve` and `mapping.to_flax` refuse.
    """
    kind, parts = request.kind, request.parts
    head, inferred = kind.head(parts), kind.infer(parts["encoder"])
    config = presets.resolve(kind, inferred, head, request.preset, request.given, geometry or {}, stated)
    merged = {f"{name}/{key}": array for name, part in parts.items() for key, array in part.state.items()}
    style, fresh = parts["encoder"].style, kind.fresh_leaves(config, request.seed)
    shapes = flatten(zoo.shapes(zoo.build(config)))
    expected = unflatten({path: shape for path, shape in shapes.items() if path not in fresh})
    where = ", ".join(file.path.name for file in request.files)
    converted = to_flax(merged, kind.leaves(config, style, ()), kind.ignore(config, style), expected, where)
    if fresh:
        converted = converted._replace(variables=unflatten({**flatten(converted.variables), **fresh}))
    notes = []
    if any(path[1] == "head" for path in fresh):
        notes.append(f"{HEADLESS}: random weights, seed {request.seed}; train before use")
    return Planned(config, converted, {}, notes)


def drawn_head(config: ClassifierConfig, tokens: int, width: int, seed: int) -> dict[Path, np.ndarray]:
    """The leaves of a config's head with random weights, for as many tokens of a width."""
    head = build_head(config.head, len(config.classes))
    inputs = jnp.zeros((1, tokens, width))
    variables = jax.jit(lambda key: head.init({"params": key}, inputs, mode=EVAL))(jax.random.key(seed))
    return {
        (kind, "head", *path): np.asarray(array)
        for kind, tree in variables.items()
        for path, array in flatten(tree).items()
    }
