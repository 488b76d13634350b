"""With what precision a network is computed: float32, TF32 or bfloat16 products around float32 parameters.

On a GPU, JAX by itself computes float32 products in TF32 (10 bits of 23); a CPU has no TF32. Whatever the precision,
parameters, norms, the softmax, weight standardisation, the front end, the last layer and the losses are float32.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp

from dhauds_jax.errors import BadInput

PRECISIONS = ("float32", "tf32", "bfloat16")
"""Names of the precisions; on a CPU the first two are the same."""

MATMUL = {"float32": "highest", "tf32": "tensorfloat32", "bfloat16": "default"}
"""JAX's `default_matmul_precision` for what a network multiplies in float32."""


def check_precision(precision: str) -> None:
    """Raises `BadInput` with the valid names when `precision` is unknown."""
    if precision not in PRECISIONS:
        raise BadInput(f"--precision={precision}: expected one of {', '.join(PRECISIONS)}")


def compute_options(precision: str, remat: bool = False) -> dict[str, Any]:
    """What `zoo.build` needs beside the config to compute a network so; nothing for float32, which is `exactly`.

    Args:
      precision: of `PRECISIONS`.
      remat: recompute blocks in the backward pass, which takes time and saves memory.

    Raises:
      BadInput: an unknown precision.
    """
    check_precision(precision)
    again = {"remat": True} if remat else {}
    if precision == "float32":
        return again
    half = {"dtype": jnp.bfloat16} if precision == "bfloat16" else {}
    return {"matmul_precision": MATMUL[precision], **half, **again}


@contextlib.contextmanager
def exactly() -> Iterator[None]:
    """A context, also a decorator, in which float32 products are exact, but for those of networks built otherwise.

    Changes no bit on a CPU.
    """
    with jax.default_matmul_precision("highest"):
        yield


def precision_of_products(name: str | None) -> contextlib.AbstractContextManager[Any]:
    """A context in which float32 products are traced with JAX's precision `name` (None: as before).

    Gradients of what was traced in it are computed alike.
    """
    return contextlib.nullcontext() if name is None else jax.default_matmul_precision(name)
