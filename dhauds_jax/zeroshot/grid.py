"""The published grid over ready embeddings in one compiled program: sets, prototypes, backgrounds, weights, folds."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from dhauds_jax.zeroshot import prototypes
from dhauds_jax.zeroshot.unit_vectors import cosines

KINDS = ("text", "tgap", "supervised")
"""The seed's modes zs, tgap and sv."""

WEIGHTS = (0.2, 0.5, 0.8)
"""The weights of the seed's run grid."""


class Row(NamedTuple):
    """A row of the grid: prototypes, background ("none", "text" or "audio") and the weight of its profile."""

    kind: str
    background: str
    weight: float


def rows(weights: Sequence[float] = WEIGHTS, kinds: Sequence[str] = KINDS) -> list[Row]:
    """The rows of one set, in the order of `accuracies`: per kind plain, then text and audio with every weight."""
    corrected = [(background, weight) for background in ("text", "audio") for weight in weights]
    return [Row(kind, *one) for kind in kinds for one in [("none", 0.0), *corrected]]


def fold_prototypes(
    kind: str,
    vectors: Float[Array, "clips width"],
    labels: Int[Array, " clips"],
    train: Float[Array, "folds clips"],
    text: Float[Array, "classes width"],
    topn: int,
    normalised: bool,
) -> Float[Array, "folds classes width"]:
    """The prototypes of every fold from its training clips; text anchors are the same in each."""
    if kind == "text":
        return jnp.broadcast_to(text[None], (len(train), *text.shape))
    if kind == "tgap":
        return prototypes.by_fold(
            lambda weights: prototypes.tgap(vectors, text, weights, topn=topn, normalised=normalised), train
        )
    return prototypes.by_fold(
        lambda weights: prototypes.supervised(vectors, labels, weights, classes=len(text), normalised=normalised), train
    )


def own_fold_scores(
    vectors: Float[Array, "rows width"], of_folds: Float[Array, "folds classes width"], fold: Int[Array, " rows"]
) -> Float[Array, "rows classes"]:
    """Each row's scores by the prototypes of its own fold."""
    folds, classes, width = of_folds.shape
    scores = cosines(vectors, of_folds.reshape(folds * classes, width)).reshape(len(vectors), folds, classes)
    return jnp.take_along_axis(scores, fold[:, None, None], 1)[:, 0]


@functools.partial(jax.jit, static_argnames=("kinds", "topn", "normalised"))
def accuracies(
    vectors: Float[Array, "sets clips width"],
    labels: Int[Array, " clips"],
    train: Float[Array, "folds clips"],
    text: Float[Array, "classes width"],
    text_background: Float[Array, "sets width"],
    recordings: Float[Array, "recordings width"],
    own: Int[Array, "sets clips"],
    weights: Float[Array, " weights"],
    *,
    kinds: tuple[str, ...] = KINDS,
    topn: int = prototypes.TOPN,
    normalised: bool = False,
    source: Float[Array, "clips width"] | None = None,
) -> Float[Array, "sets rows folds"]:
    """Accuracy in % of every row of the grid in every fold.

    Args:
      vectors: unit vectors of the same clips in every set (clean, over a park, ...).
      labels: class indices.
      train: the folds' training clips (`prototypes.fold_weights`); each clip is tested in the fold that lacks it.
      text: the classes' anchors.
      text_background: the mean of every set's background sentences.
      recordings: unit vectors of background recordings.
      own: the recording that each clip lies over, the seed's (oracle) audio background.
      weights: of the background's profile.
      kinds: of prototypes.
      topn: of `tgap`.
      normalised: whether prototypes have unit length; the seed's have not.
      source: the vectors that prototypes are made from, those of the clean set for clean -> noisy (`--train=clean`);
        None: each set's own, as published.
    """
    test = 1.0 - train
    fold = jnp.argmax(test, 0)
    counts = test.sum(-1)

    def one_set(given: tuple[Array, Array, Array]) -> Array:
        clips, sentence, mixed = given
        found = []
        for kind in kinds:
            of_folds = fold_prototypes(kind, clips if source is None else source, labels, train, text, topn, normalised)
            plain = own_fold_scores(clips, of_folds, fold)
            by_text = jnp.einsum("d,fkd->fk", sentence, of_folds, precision="highest")[fold]
            by_audio = own_fold_scores(recordings[mixed], of_folds, fold)
            profiles = jnp.stack([by_text, by_audio])[:, None] * weights[None, :, None, None]
            corrected = (plain[None, None] - profiles).reshape(-1, *plain.shape)
            every = jnp.concatenate([plain[None], corrected])
            hits = (jnp.argmax(every, -1) == labels[None]).astype(jnp.float32)
            found.append(100 * jnp.matmul(hits, test.T, precision="highest") / counts[None])
        return jnp.concatenate(found)

    return jax.lax.map(one_set, (vectors, text_background, own))
