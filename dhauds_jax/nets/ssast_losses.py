"""The two objectives of SSAST's pretraining over the hidden patches of each clip."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from dhauds_jax.parallel import total


class Objective(NamedTuple):
    """A loss and, for the discriminative one, how often the right patch was found (0 to 1)."""

    loss: Float[Array, ""]
    accuracy: Float[Array, ""]


def hidden_rows(
    values: Float[Array, "batch patches values"], mask: Bool[Array, "batch patches"], hidden: int
) -> Float[Array, "batch {hidden} values"]:
    """The rows of the hidden patches, in the order of their numbers; every clip hides `hidden` of them."""
    ids = jax.vmap(lambda row: jnp.nonzero(row, size=hidden)[0])(mask)
    return jnp.take_along_axis(values, ids[..., None], 1)


def _mean(rows: Array, weights: Array, axis_name: str | None) -> Array:
    summed, count = total(((rows * weights).sum(), weights.sum()), axis_name)
    return summed / count


def discriminate(
    true: Float[Array, "batch hidden values"],
    guess: Float[Array, "batch hidden values"],
    weights: Float[Array, " batch"],
    axis_name: str | None = None,
    *,
    over: str = "predictions",
) -> Objective:
    """Contrastive loss within each clip: which of its hidden patches belongs to which prediction?

    With `s_ij = x_i . c_j`, x the true patches and c the predictions, in nats:
    `-mean_i log(exp s_ii / sum_j exp s_ij)` ("predictions") or `-mean_j log(exp s_jj / sum_i exp s_ij)` ("patches").

    Args:
      true: (batch, hidden, values).
      guess: likewise.
      weights: (batch,) 0 for padded rows.
      axis_name: the mapped axis over which the batch is spread.
      over: "predictions" is what the original computes, "patches" what its text says (S1). The accuracy always takes
        the largest over the true patches, as the original's does.

    Source: Gong et al., AAAI 2022, arXiv 2110.09784, equation 1; SSAST, src/models/ast_models.py:350-352.
    """
    scores = jnp.einsum("bid,bjd->bij", true.astype(jnp.float32), guess.astype(jnp.float32))
    log_p = jax.nn.log_softmax(scores, 2 if over == "predictions" else 1)
    right = scores.argmax(1) == jnp.arange(scores.shape[1])[None]
    loss = -jnp.diagonal(log_p, axis1=1, axis2=2).mean(-1)
    return Objective(_mean(loss, weights, axis_name), _mean(right.mean(-1), weights, axis_name))


def reconstruct(
    true: Float[Array, "batch hidden values"],
    guess: Float[Array, "batch hidden values"],
    weights: Float[Array, " batch"],
    axis_name: str | None = None,
) -> Float[Array, ""]:
    """Mean square error of the generated patches, in squares of the normalised filter bank's unit."""
    rows = jnp.square(guess.astype(jnp.float32) - true.astype(jnp.float32)).mean((1, 2))
    return _mean(rows, weights, axis_name)
