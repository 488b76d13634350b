"""What a method costs: floating-point operations by XLA's count."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from dhauds_jax.types import AdaptState, Batch, Step


def flops_per_clip(step: Step, state: AdaptState, batch_size: int, samples: int) -> float | None:
    """Floating-point operations of one `step` for each clip of a full batch, before XLA optimises the program.

    The body of a loop counts once, however often it runs (blocks under `nn.scan`, clips under `lax.map`), so numbers
    compare methods on one network, not networks. None where the backend does not count.

    Args:
      step: a method's; a jitted one that ran on such a state and batch is not traced again.
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
    flops = counted(step, shapes, batch, key)
    return None if flops is None else flops / batch_size


def shapes_of(tree: Any) -> Any:
    """A tree of arrays (or of their shapes already) as `jax.ShapeDtypeStruct`."""

    def shape(x: Any) -> jax.ShapeDtypeStruct:
        if isinstance(x, jax.ShapeDtypeStruct):
            return x
        return jax.ShapeDtypeStruct(jnp.shape(x), jnp.asarray(x).dtype, weak_type=getattr(x, "weak_type", False))

    return jax.tree.map(shape, tree)


def counted(function: Callable[..., Any], *args: Any) -> float | None:
    """Floating-point operations of a function, jitted or not, by XLA's count, from shapes alone; bodies of loops count
    once. A GPU's own count is missing in some versions of JAX: the program is then lowered for the processor."""
    jitted: Any = function if hasattr(function, "lower") else jax.jit(function)
    flops = of_lowered(jitted.lower(*args))
    if flops is None and jax.default_backend() != "cpu":
        with jax.default_device(jax.devices("cpu")[0]):
            flops = of_lowered(jax.jit(lambda *inner: function(*inner)).lower(*args))
    return flops


def of_lowered(lowered: Any) -> float | None:
    """Floating-point operations of a lowered program by its backend's count, before fusion; None: it does not count."""
    flops = (lowered.cost_analysis() or {}).get("flops")
    return None if flops is None else float(flops)
