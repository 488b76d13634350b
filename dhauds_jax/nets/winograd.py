"""3x3 convolutions by Winograd's minimal filtering F(2x2, 3x3): 16 products where the definition has 36.

Squares of 2 by 2 outputs are sums and differences of products of sums and differences of 4 by 4 inputs, so the work is
16 matrix products over channels; float32 rounding is some 2e-6 of the largest output. On a processor it pays from 16
channels on; GPUs' libraries choose such algorithms by themselves. Source: Lavin and Gray, CVPR 2016,
arXiv 1509.09308.
"""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float


def _weights(three: list[Array]) -> list[Array]:
    # By sums and not as a small product, which XLA runs five times slower than the memory allows.
    a, b, c = three
    return [a, 0.5 * (a + b + c), 0.5 * (a - b + c), c]


def _inputs(four: list[Array]) -> list[Array]:
    a, b, c, d = four
    return [a - c, b + c, c - b, b - d]


def _outputs(four: list[Array]) -> list[Array]:
    a, b, c, d = four
    return [a + b + c, b - c - d]


def _squares(
    x: Float[Array, "batch rows columns channels"], kernel: Float[Array, "3 3 channels features"]
) -> list[list[Float[Array, "batch half_rows half_columns features"]]]:
    """Of every square of 2 by 2 outputs, the four outputs, each as an image of half the size."""
    batch, rows, columns, channels = x.shape
    padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    lines = _inputs([padded[:, i : i + rows - 1 : 2] for i in range(4)])
    parts = [_inputs([line[:, :, j : j + columns - 1 : 2] for j in range(4)]) for line in lines]
    weights = [_weights(list(row)) for row in _weights(list(kernel))]
    products = [[parts[a][b].reshape(-1, channels) @ weights[a][b] for b in range(4)] for a in range(4)]
    by_column = [_outputs([products[a][b] for a in range(4)]) for b in range(4)]
    found = [_outputs([by_column[b][row] for b in range(4)]) for row in range(2)]
    return [[y.reshape(batch, rows // 2, columns // 2, -1) for y in row] for row in found]


def conv3x3(
    x: Float[Array, "batch rows columns channels"], kernel: Float[Array, "3 3 channels features"]
) -> Float[Array, "batch rows columns features"]:
    """Cross-correlation with one row and column of zeros around the image, whose sides are even."""
    squares = _squares(x, kernel)
    lines = [jnp.stack(row, 3).reshape(x.shape[0], x.shape[1] // 2, x.shape[2], -1) for row in squares]
    return jnp.stack(lines, 2).reshape(*x.shape[:3], -1)


def pooled_conv3x3(
    x: Float[Array, "batch rows columns channels"], kernel: Float[Array, "3 3 channels features"]
) -> Float[Array, "batch half_rows half_columns features"]:
    """The largest of each 2 by 2 square of `conv3x3`, which is never put together."""
    (a, b), (c, d) = _squares(x, kernel)
    return jnp.maximum(jnp.maximum(a, b), jnp.maximum(c, d))
