"""The published arithmetic on ready embeddings, clip by clip: what profile `reference` computes.

Quirks that it keeps (numbers of the spec's table): D19, prototypes are means and not brought to unit length; D24, they
come from the same noisy set as the test fold; no scale, so the confidence is a softmax of cosines and near 1 / classes;
the audio background is each clip's own (an oracle); folds weigh alike however many clips they have. Not kept: D17, a
fold of one clip is a scalar, and D25, fewer training clips than `topn` is an exception of the library: both are said.
"""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from dhauds_jax import metrics
from dhauds_jax.errors import BadInput
from dhauds_jax.types import Background
from dhauds_jax.zeroshot import grid, prototypes

MODES = {"zs": "text", "tgap": "tgap", "sv": "supervised"}
"""The seed's `--mode` -> our prototypes."""

WEIGHT = 0.5
"""The seed's default `--temperature`, the weight of the background's profile."""


def top_k_shares(scores: Float[Array | np.ndarray, "chunks classes"], rows: np.ndarray) -> Float[np.ndarray, " chunks"]:
    """The share of each chunk's k labels among its top k; NaN for a chunk without any (arguments of `top_k_share`)."""
    rows = np.asarray(rows, bool)
    count = rows.sum(-1)
    place = np.argsort(np.argsort(-np.asarray(scores), -1, kind="stable"), -1)
    hits = (rows & (place < count[:, None])).sum(-1)
    return np.where(count > 0, hits / np.maximum(count, 1), np.nan)


def top_k_share(scores: Float[Array | np.ndarray, "chunks classes"], rows: np.ndarray) -> float:
    """The seed's score of chunks with several labels: the share of their k labels among the top k, mean over chunks.

    Args:
      scores: larger: more likely; of equal ones the earlier class counts as larger.
      rows: (chunks, classes), 1 where a chunk has a class; chunks without any are left out.

    Raises:
      BadInput: no chunk has a label.

    Source: scripts/experiment_tut.py of eacevedo1/AudioText-ContextDA.
    """
    if not np.any(rows):
        raise BadInput("top-k share: no chunk has a label, expected at least one that has")
    return float(np.nanmean(top_k_shares(scores, rows)))


class Published(NamedTuple):
    """What the published script says of every clip when its fold is tested.

    Attributes:
      prototypes: (folds, classes, width).
      scores: (clips, classes), corrected.
      predictions: (clips,) class indices.
      confidence: (clips,) the largest softmax of the scores as they are.
      accuracy: (folds + 1,) in %: of every fold in the order of their names, and their unweighted mean.
    """

    prototypes: np.ndarray
    scores: np.ndarray
    predictions: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray


def published(
    mode: str,
    vectors: Float[Array | np.ndarray, "clips width"],
    labels: Int[np.ndarray, " clips"],
    folds: Int[np.ndarray, " clips"],
    text: Float[Array | np.ndarray, "classes width"],
    background: Background | None = None,
    weight: float = WEIGHT,
    topn: int = prototypes.TOPN,
) -> Published:
    """The seed's scripts/sound_classification.py on ready embeddings.

    Args:
      mode: "zs", "tgap" or "sv".
      vectors: unit vectors.
      labels: class indices.
      folds: the fold of each clip.
      text: unit text anchors.
      background: None, one for all (`--modality=text`) or a row for each clip (`--modality=audio`).
      weight: of its profile.
      topn: of `tgap`; the script has 35 written in.

    Raises:
      BadInput: an unknown mode, a single fold or a fold of one clip, a class without training clips, fewer training
        clips than `topn`.

    Source: eacevedo1/AudioText-ContextDomainAdaptation at 063092b.
    """
    if mode not in MODES:
        raise BadInput(f"mode {mode!r}: expected one of {', '.join(MODES)}")
    kind = MODES[mode]
    names, train = prototypes.fold_weights(folds)
    if kind == "supervised":
        prototypes.check_supervised(labels, train, [str(c) for c in range(len(text))])
    if kind == "tgap":
        prototypes.check_topn(train, topn)
    vectors, fold = jnp.asarray(vectors), jnp.asarray(np.searchsorted(names, folds))
    of_folds = grid.fold_prototypes(kind, vectors, jnp.asarray(labels), train, jnp.asarray(text), topn, False)
    scores = grid.own_fold_scores(vectors, of_folds, fold)
    if background is not None:
        mean = jnp.broadcast_to(jnp.atleast_2d(background.mean), vectors.shape)
        scores = scores - weight * grid.own_fold_scores(mean, of_folds, fold)
    scores = np.asarray(scores)
    said = scores.argmax(-1)
    each = [100 * float(np.mean(said[folds == name] == labels[folds == name])) for name in names]
    confidence = metrics.softmax(scores).max(-1)
    return Published(np.asarray(of_folds), scores, said, confidence, np.array([*each, np.mean(each)]))
