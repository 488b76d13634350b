"""Unit vectors (`dsp.unit_rows` makes them): cosines, and what padded or broken rows may not do."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from dhauds_jax.errors import BadInput


def cosines(
    vectors: Float[Array, "rows width"], prototypes: Float[Array, "classes width"]
) -> Float[Array, "rows classes"]:
    """Scalar products of rows and prototypes, cosines where both have length 1."""
    # A GPU's default rounds the factors to ten bits, which moves a cosine by 1e-3: as much as a background does.
    return jnp.matmul(vectors, prototypes.T, precision="highest")


def real(vectors: Float[Array, "rows width"], weights: Float[Array, " rows"]) -> Float[Array, "rows width"]:
    """The rows with zeros in place of the padded ones, whatever those hold (NaN times 0 is NaN)."""
    return jnp.where((weights > 0)[:, None], vectors, 0.0)


def check(name: str, vectors: Array | np.ndarray, width: int | None = None) -> None:
    """Raises `BadInput` unless an array holds vectors that have a direction.

    Args:
      name: what they are and where they come from, for the sentence.
      vectors: (..., width).
      width: what their width must be; None: any.
    """
    rows = np.asarray(vectors)
    if rows.ndim < 2 or not rows.size:
        raise BadInput(f"{name}: an array of shape {rows.shape}, expected vectors (rows, width), at least one")
    if width is not None and rows.shape[-1] != width:
        raise BadInput(
            f"{name}: vectors of {rows.shape[-1]} numbers, expected {width} as the others have: embed both by one model"
        )
    flat = rows.reshape(-1, rows.shape[-1])
    broken = np.flatnonzero(~np.isfinite(flat).all(-1) | ~flat.any(-1))
    if len(broken):
        kind = "zeros alone" if np.isfinite(flat[broken[0]]).all() else "numbers that are not finite"
        raise BadInput(
            f"{name}: row {broken[0]} has {kind} ({len(broken)} such rows), expected unit vectors: embed these clips "
            "again, or leave them out"
        )
