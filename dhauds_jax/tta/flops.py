"""What a method costs: floating-point operations by XLA's count."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from dhauds_jax.types import AdaptState, Batch, Method


def flops_per_clip(method: Method, state: AdaptState, batch_size: int, samples: int) -> float | None:
    """Floating-point operations of one `step` for each clip of a full batch, before XLA optimises the program.

    The body of a loop counts once, however often it runs (blocks under `nn.scan`, clips under `lax.map`), so numbers
    compare methods on one network, not networks. None where the backend does not count.

    Args:
      method: the method.
      state: its state, for the shapes.
      batch_size: clips of a batch.
      samples: samples of a clip.
    """
    shapes = shapes_of(state)
    batch = Batch(
        jax.ShapeDtypeStruct((batch_size, samples), jnp.float32),
        jax.ShapeDtypeStruct((batch_size,), jnp.float32),
        jax.ShapeDtypeStruct((batch_size,), jnp.int32),
    )
    key = jax.eval_shape(lambda: jax.random.key(0))
    flops = counted(method.step, shapes, batch, key)
    return None if flops is None else flops / batch_size


def shapes_of(tree: Any) -> Any:
    """A tree of arrays (or of their shapes already) as `jax.ShapeDtypeStruct`."""

    def shape(x: Any) -> jax.ShapeDtypeStruct:
        return x if isinstance(x, jax.ShapeDtypeStruct) else jax.ShapeDtypeStruct(jnp.shape(x), jnp.asarray(x).dtype)

    return jax.tree.map(shape, tree)


def counted(function: Callable[..., Any], *args: Any) -> float | None:
    """Floating-point operations of a function by XLA's count, from shapes alone; bodies of loops count once."""
    found: Any = jax.jit(function).lower(*args).cost_analysis()
    flops = (found or {}).get("flops")
    return None if flops is None else float(flops)
