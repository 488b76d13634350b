"""CoNMix's pseudo-labels and losses, as functions of logits and embeddings."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from dhauds_jax.parallel import total
from dhauds_jax.tta.losses import safe_sqrt, weighted_mean
from dhauds_jax.tta.methods.shot import centroid_scores

CLS_MODES = ("logsoft_nll", "logsoft_ce", "soft_ce")
"""Cross-entropies against the pseudo-labels, see `conmix_losses`."""

ALPHA_TERMS = ("index", "one_hot")
"""What alpha weighs in `refined_labels`."""

EPSILON = 1e-5
"""Inside the logarithm of the consistency term."""


class Rates(NamedTuple):
    """Rates of the three losses, and which cross-entropy (of `CLS_MODES`)."""

    cls: float
    nucnm: float
    const: float
    cls_mode: str


def soft_labels(
    logits: Float[Array, "rows classes"],
    embedding: Float[Array, "rows features"],
    weights: Float[Array, " rows"] | None = None,
    axis_name: str | None = None,
    *,
    initc_num: int = 1,
    threshold: int = 0,
) -> Float[Array, "rows classes"]:
    """Soft pseudo-labels `softmax(exp(f c^T))` with the centroids of `shot.centroid_scores`, not of unit length.

    The labels themselves are their largest entries. Since `exp` lies in a narrow range the rows are nearly uniform.

    Args:
      logits: (rows, classes).
      embedding: (rows, features), the input of the last layer.
      weights: (rows,) 0 for padded rows.
      axis_name: the mapped axis over which the rows are spread.
      initc_num: rounds with hard assignments after the first one.
      threshold: clips that a class must be predicted for to have a centroid.

    Source: CoNMix of DHAuDS, CoNMix/lib/plr.py and STDA.py.
    """
    options = {"rounds": 1 + initc_num, "threshold": threshold - 1, "unit": False}
    return jax.nn.softmax(jnp.exp(centroid_scores(logits, embedding, weights, axis_name, **options)), -1)


def refined_labels(
    previous: Int[Array, " clips"],
    labels: Int[Array, " clips"],
    soft: Float[Array, "clips classes"],
    *,
    alpha: float,
    alpha_term: str = "index",
) -> Float[Array, "clips classes"]:
    """Soft labels mixed over the classes that swapped clips since the last epoch.

    `softmax(alpha t + (1 - alpha) soft C)` with C the row-wise softmax of `|i before and j now| / (|i or j| + 1e-8)`.
    The reference's t is the label's number (quirk 38): one number a row, which the softmax does not see, so that alpha
    acts as `1 - alpha` alone. With "one_hot" t is the label's one-hot and alpha is what its name says, the weight of
    the new label. A class without clips before has a uniform row in C (quirk 39).

    Args:
      previous: (clips,) classes of the last epoch's refined labels.
      labels: (clips,) classes now.
      soft: (clips, classes) soft labels now.
      alpha: 0 to 1.
      alpha_term: a name of `ALPHA_TERMS`.

    Source: CoNMix of DHAuDS, CoNMix/lib/plr.py; Kumar et al., WACV 2023, arXiv 2211.01840.
    """
    classes = soft.shape[-1]
    before, now = (jax.nn.one_hot(x, classes, dtype=soft.dtype) for x in (previous, labels))
    both = before.T @ now
    either = before.sum(0)[:, None] + now.sum(0)[None] - both
    consensus = jax.nn.softmax(both / (either + 1e-8), -1)
    term = labels[:, None].astype(soft.dtype) if alpha_term == "index" else now
    return jax.nn.softmax(alpha * term + (1 - alpha) * soft @ consensus, -1)


def _pseudo_rows(logits: Array, soft: Array, mode: str) -> Float[Array, " batch"]:
    if mode == "logsoft_nll":
        return -jnp.take_along_axis(jax.nn.log_softmax(logits, -1), soft.argmax(-1)[:, None], -1)[:, 0]
    # PyTorch's cross-entropy applied to what is a softmax already (quirk 43).
    scores = jax.nn.softmax(logits, -1) if mode == "soft_ce" else logits
    return -(soft * jax.nn.log_softmax(scores, -1)).sum(-1)


def batch_norm_term(
    probabilities: Float[Array, "rows classes"], weights: Float[Array, " rows"], axis_name: str | None
) -> Float[Array, ""]:
    """Minus the mean of the `min(rows, classes)` longest columns of the softmax matrix (fast batch nuclear norm)."""
    squares, rows = total(((weights[:, None] * jnp.square(probabilities)).sum(0), weights.sum()), axis_name)
    lengths = -jnp.sort(-safe_sqrt(squares))
    count = jnp.minimum(rows, lengths.shape[0])
    return -jnp.where(jnp.arange(lengths.shape[0]) < count, lengths, 0.0).sum() / count


def conmix_losses(
    weak: Float[Array, "batch classes"],
    strong: Float[Array, "batch classes"],
    soft: Float[Array, "batch classes"],
    mean: Float[Array, " classes"],
    rates: Rates,
    weights: Float[Array, " batch"] | None = None,
    axis_name: str | None = None,
) -> dict[str, Float[Array, ""]]:
    """The three terms, each times its rate, and their sum `total`; a rate of 0 leaves a term out.

    * `cls`: cross-entropy of the weak view against the pseudo-labels: their class ("logsoft_nll"), all of them
      ("logsoft_ce"), or all of them with a second softmax on the predictions ("soft_ce").
    * `nucnm`: `batch_norm_term` over the rows of both views.
    * `const`: `mean_b -sum_c y log(softmax(strong) + 1e-5)`, y the weak view's softmax times `mean` over the batch's
      mean, of unit L2 length; no gradient flows through y.

    Args:
      weak: (batch, classes) logits.
      strong: (batch, classes) logits of the changed clips.
      soft: (batch, classes) pseudo-labels.
      mean: (classes,) mean softmax over the whole set.
      rates: of the terms.
      weights: (batch,) 0 for padded rows.
      axis_name: the mapped axis over which the batch is spread.

    Source: CoNMix of DHAuDS, CoNMix/*/STDA.py; Kumar et al., WACV 2023, arXiv 2211.01840.
    """
    w = jnp.ones(weak.shape[0], weak.dtype) if weights is None else weights
    p, q = jax.nn.softmax(weak, -1), jax.nn.softmax(strong, -1)
    zero = jnp.zeros((), weak.dtype)
    terms = {"cls": zero, "nucnm": zero, "const": zero}
    if rates.cls > 0:
        terms["cls"] = rates.cls * weighted_mean(_pseudo_rows(weak, soft, rates.cls_mode), w, axis_name)
    if rates.nucnm > 0:
        both, twice = jnp.concatenate([p, q]), jnp.concatenate([w, w])
        terms["nucnm"] = rates.nucnm * batch_norm_term(both, twice, axis_name)
    if rates.const > 0:
        summed, rows = total(((w[:, None] * p).sum(0), w.sum()), axis_name)
        aim = p * mean[None] / (summed / rows)[None]
        aim = jax.lax.stop_gradient(aim / jnp.linalg.norm(aim, axis=-1, keepdims=True))
        terms["const"] = rates.const * weighted_mean(-(aim * jnp.log(q + EPSILON)).sum(-1), w, axis_name)
    return {"total": sum(terms.values()), **terms}
