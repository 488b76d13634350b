"""What a method costs: floating-point operations by XLA's count."""

from __future__ import annotations

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
    shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(jnp.shape(x), jnp.asarray(x).dtype), state)
    batch = Batch(
        jax.ShapeDtypeStruct((batch_size, samples), jnp.float32),
        jax.ShapeDtypeStruct((batch_size,), jnp.float32),
        jax.ShapeDtypeStruct((batch_size,), jnp.int32),
    )
    key = jax.eval_shape(lambda: jax.random.key(0))
    counted: Any = jax.jit(method.step).lower(shapes, batch, key).cost_analysis()
    flops = (counted or {}).get("flops")
    return None if flops is None else float(flops) / batch_size
