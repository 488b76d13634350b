"""Prototypes of classes (classes, width): from sentences, from clips that sentences picked, from labels, from a head.

`weights` (clips,) are 1 for clips that may be looked at and 0 for others (padding, a fold's test clips), so that a
fold is a vector and all folds one `vmap` (`by_fold`). `normalised` brings prototypes to unit length; the seed's are
not, which gives classes with tight clusters longer ones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from dhauds_jax.dsp.unit_rows import unit_rows
from dhauds_jax.errors import BadInput

KINDS = ("text", "tgap", "supervised", "head")
"""What prototypes are made of."""

TOPN = 35
"""Clips of a class in `tgap`, the seed's."""


def text(
    vectors: Float[Array, "templates classes width"], weights: Float[Array, " templates"] | None = None
) -> Float[Array, "classes width"]:
    """Text anchors: the mean over the templates' unit vectors, or their weighted mean, of unit length."""
    if weights is None:
        weights = jnp.ones(len(vectors))
    return unit_rows(jnp.einsum("t,tkd->kd", weights / weights.sum(), vectors, precision="highest"))


def text_halves(
    vectors: Float[Array, "templates classes width"],
) -> tuple[Float[Array, "classes width"], Float[Array, "classes width"]]:
    """Anchors of every other template and of the rest, for a temperature by their agreement (`calibration`).

    Raises:
      BadInput: a single template.
    """
    if len(vectors) < 2:
        raise BadInput(
            "calibration agreement: one template has no two halves, expected at least two: take --template=ensemble, "
            "or calibration checkpoint"
        )
    return text(vectors[::2]), text(vectors[1::2])


def template_weights(
    vectors: Float[Array, "clips width"], anchors: Float[Array, "templates classes width"], scale: float
) -> Float[Array, " templates"]:
    """Weights of templates without labels, `exp(-mean entropy)` of the clips' predictions by each, sum 1.

    A template by which the clips are named surely counts more. Ours after the paper, which minimises the entropy of the
    mixture itself; its numbers are not claimed.

    Args:
      vectors: the clips' unit vectors.
      anchors: unit vectors of every template's sentences.
      scale: what cosines are multiplied by before the softmax.

    Source: El Khoury et al. 2026, arXiv 2601.05011.
    """
    scores = scale * jnp.einsum("nd,tkd->tnk", vectors, anchors, precision="highest")
    log_p = jax.nn.log_softmax(scores, -1)
    return jax.nn.softmax((jnp.exp(log_p) * log_p).sum(-1).mean(-1))


def supervised(
    vectors: Float[Array, "clips width"],
    labels: Int[Array, " clips"],
    weights: Float[Array, " clips"],
    *,
    classes: int,
    normalised: bool = True,
) -> Float[Array, "classes width"]:
    """The mean embedding of each class's clips.

    A class without clips gets zeros, never NaN; `check_supervised` says so beforehand.
    """
    members = jax.nn.one_hot(labels, classes, axis=0) * weights[None]
    means = jnp.matmul(members, vectors, precision="highest") / jnp.maximum(members.sum(-1, keepdims=True), 1.0)
    return unit_rows(means) if normalised else means


def tgap(
    vectors: Float[Array, "clips width"],
    anchors: Float[Array, "classes width"],
    weights: Float[Array, " clips"],
    *,
    topn: int = TOPN,
    normalised: bool = True,
) -> Float[Array, "classes width"]:
    """The mean of the `topn` clips whose cosine with a class's sentence is largest, without labels.

    A clip may serve several classes; of equal cosines the earlier clip is taken. `check_topn` says beforehand where
    there are fewer clips.
    """
    means = vectors[tgap_rows(vectors, anchors, weights, topn=topn)].mean(1)
    return unit_rows(means) if normalised else means


def tgap_rows(
    vectors: Float[Array, "clips width"],
    anchors: Float[Array, "classes width"],
    weights: Float[Array, " clips"],
    *,
    topn: int = TOPN,
) -> Int[Array, "classes topn"]:
    """The clips that `tgap` takes for each class, best first."""
    cosines = jnp.matmul(anchors, vectors.T, precision="highest")
    return jax.lax.top_k(jnp.where((weights > 0)[None], cosines, -jnp.inf), topn)[1]


def head(kernel: Float[Array, "width classes"], *, normalised: bool = True) -> Float[Array, "classes width"]:
    """The columns of a classifier's last layer (`types.Linear.kernel`), for embeddings of that classifier."""
    return unit_rows(kernel.T) if normalised else kernel.T


def fold_weights(folds: Sequence[int] | np.ndarray) -> tuple[np.ndarray, Float[Array, "folds clips"]]:
    """The folds' names in order, and for each the weights of its training clips, all but its own.

    Raises:
      BadInput: fewer than two folds, a fold of one clip.
    """
    names, counts = np.unique(np.asarray(folds), return_counts=True)
    if len(names) < 2:
        raise BadInput(f"folds: all clips are of fold {names[0] if len(names) else '-'}, expected at least two folds")
    if counts.min() < 2:
        raise BadInput(
            f"fold {names[counts.argmin()]} has one clip, expected at least two in each: its accuracy of 0 or 100 % "
            "would weigh as much as any other fold's"
        )
    return names, jnp.asarray(names[:, None] != np.asarray(folds)[None], jnp.float32)


def by_fold(
    build: Callable[[Float[Array, " clips"]], Float[Array, "classes width"]], weights: Float[Array, "folds clips"]
) -> Float[Array, "folds classes width"]:
    """Every fold's prototypes at once: `build(weights)` for each row of `fold_weights`."""
    return jax.vmap(build)(weights)


def check_supervised(labels: np.ndarray | Array, weights: np.ndarray | Array, classes: Sequence[str]) -> None:
    """Raises `BadInput` where a class, which is named, has no clips to average.

    Args:
      labels: (clips,) class indices.
      weights: (clips,), or (folds, clips) for every fold.
      classes: their names.
    """
    rows = np.atleast_2d(np.asarray(weights)) > 0
    for row in rows:
        counts = np.bincount(np.asarray(labels)[row], minlength=len(classes))
        missing = [classes[c] for c in np.flatnonzero(counts[: len(classes)] == 0)]
        if missing:
            where = "" if len(rows) == 1 else " outside one of the folds"
            raise BadInput(
                f"prototypes supervised: no training clips of {', '.join(missing)}{where}, expected at least one of "
                "each: add some, leave the class out, or take prototypes text"
            )


def check_topn(weights: np.ndarray | Array, topn: int) -> None:
    """Raises `BadInput` where fewer than `topn` clips (of any fold's training clips) can be picked from."""
    least = int((np.atleast_2d(np.asarray(weights)) > 0).sum(-1).min())
    if not 1 <= topn <= least:
        raise BadInput(
            f"prototypes tgap: topn={topn} of {least} training clips, expected from 1 to {least}: give --topn"
        )
