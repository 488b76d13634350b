"""The scores of a zero-shot row: prototypes of every fold, the scorer over the tested clips, and the weights beside."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Shaped

from dhauds_jax.errors import BadInput
from dhauds_jax.runs.zeroshot_measures import Labels, right
from dhauds_jax.runs.zeroshot_rows import Row, scorer_options
from dhauds_jax.runs.zeroshot_sets import LabelledSet
from dhauds_jax.runs.zeroshot_towers import Towers
from dhauds_jax.types import Background, Scorer, ScorerInfo
from dhauds_jax.wording import counted
from dhauds_jax.zeroshot import choose, grid, prototypes, scorers, scoring
from dhauds_jax.zeroshot.request import EQUAL, ZeroshotGrid

SCALE = choose.SCALE
"""What scores are multiplied by where no model says it."""

_scores = jax.jit(grid.own_fold_scores)
_prototypes = jax.jit(grid.fold_prototypes, static_argnums=(0, 5, 6))


class Scored(NamedTuple):
    """A set with prototypes.

    Attributes:
      one: the set.
      source: the set that the prototypes' clips are of.
      prototypes: (folds, classes, width).
      vectors, labels, fold: of the tested clips; labels are rows of 0 and 1 where clips may have several.
      plain: (tested, classes) scores with nothing taken off; None for embeddings that were moved.
      info: what scorers may know beside.
      seed: of an order and of shots.
      shots: labelled clips of a class for scorers that want some.
      template_weights: of each template; None where all count alike.
    """

    one: LabelledSet
    source: LabelledSet
    prototypes: Float[Array, "folds classes width"]
    vectors: Float[np.ndarray, "tested width"]
    labels: Labels
    fold: Int[np.ndarray, " tested"]
    plain: Float[np.ndarray, "tested classes"] | None
    info: ScorerInfo
    seed: int
    shots: int
    template_weights: tuple[float, ...] | None = None


def is_normalised(run: ZeroshotGrid) -> bool:
    """Whether prototypes of clips and of a head get unit length: what is asked for, else the profile's."""
    return run.profile == "corrected" if run.normalised is None else run.normalised


def check_training(kind: str, source: LabelledSet, topn: int) -> None:
    """Raises `BadInput` where the training clips do not do for prototypes of a kind."""
    training = source.training
    if kind == "supervised" and source.about.label_rows is not None:
        raise BadInput(
            f"--prototypes=supervised (and --scorer=treff): clips of {source.about.place} have several labels, which "
            "make no mean of a class; expected prototypes text, tgap or head"
        )
    if kind in ("tgap", "supervised") and not training.any(1).all():
        raise BadInput(
            f"--prototypes={kind}: {source.about.place} has no training clips, expected folds or a split of them in "
            "its index, or --folds=5; embed with --split=train,test"
        )
    if kind == "supervised":
        prototypes.check_supervised(source.labels, training, source.about.classes)
    if kind == "tgap":
        prototypes.check_topn(training, topn)


def scored(run: ZeroshotGrid, kind: str, one: LabelledSet, source: LabelledSet, towers: Towers) -> Scored:
    """The set with the prototypes of a kind, `source` being where clips for these come from.

    Raises:
      BadInput: too few training clips, or none of a class.
    """
    check_training(kind, source, run.topn)
    classes, width = len(one.about.classes), one.vectors.shape[1]
    rows = one.tested
    vectors, fold = one.vectors[rows], one.fold[rows]
    weights = templates_of(run, towers, vectors)
    text = towers.text(weights)
    if kind == "head":
        made = prototypes.head(towers.head.kernel, normalised=is_normalised(run))
        made = jnp.broadcast_to(made[None], (len(one.folds), *made.shape))
    else:
        anchors = jnp.zeros((classes, width)) if text is None else jnp.asarray(text)
        given = (jnp.asarray(source.vectors), jnp.asarray(np.maximum(source.labels, 0)), jnp.asarray(source.training))
        made = _prototypes(kind, *given, anchors, run.topn, is_normalised(run))
    plain = np.asarray(_scores(vectors, made, fold))
    noisy = None if towers.noisy is None else jnp.asarray(towers.noisy)
    scale = SCALE if towers.scale is None else towers.scale
    info = ScorerInfo(scale, None if text is None else jnp.asarray(text), noisy)
    several = one.about.label_rows
    labels = one.labels[rows] if several is None else several[rows]
    weights = None if weights is None else tuple(weights.tolist())
    return Scored(one, source, made, vectors, labels, fold, plain, info, run.seed, run.shots, weights)


def templates_of(
    run: ZeroshotGrid, towers: Towers, vectors: Float[np.ndarray, "tested width"]
) -> Float[np.ndarray, " templates"] | None:
    """Weights of the templates, by the unlabelled clips that are tested; None where all count alike."""
    if run.template_weights == EQUAL or towers.anchors is None:
        return None
    scale = SCALE if towers.scale is None else towers.scale
    return np.asarray(prototypes.template_weights(jnp.asarray(vectors), jnp.asarray(towers.anchors), scale))


@functools.lru_cache(maxsize=64)
def _made(name: str, options: tuple[tuple[str, Any], ...]) -> Scorer:
    """One scorer a name and its options: what was compiled for it is kept with it."""
    return scorers.make(name, dict(options))


def scorer_of(row: Row, weight: float | None, online: bool) -> Scorer:
    """The scorer of a row with a weight."""
    return _made(row.scorer, tuple(scorer_options(row, weight, online).items()))


def score(
    row: Row, weight: float | None, background: Background | None, it: Scored, online: bool,
    taken: Float[np.ndarray, "tested classes"] | None = None,
) -> Float[np.ndarray, "tested classes"]:  # fmt: skip
    """The scores of the tested clips, the clips of a fold being its set; `taken` is `profile` where it is known."""
    if row.scorer == "plain" and it.plain is not None:
        return it.plain
    if row.scorer == "subtract":  # the same online, since no clip sees another
        return it.plain - np.float32(weight) * (profile(background, it) if taken is None else taken)
    first, *others = scorers.members(row.scorer)
    if first == "subtract" and "subtract" not in others:
        # The chain's own first step: what comes behind it is then one program for all weights.
        rest = others[0] if len(others) == 1 else f"chain:{'+'.join(others)}"
        mean = np.broadcast_to(np.atleast_2d(np.asarray(background.mean)), it.vectors.shape)
        moved = it.vectors - np.float32(weight) * mean
        return score(row._replace(scorer=rest), None, None, it._replace(vectors=moved, plain=None), online)
    scorer = scorer_of(row, weight, online)
    if online or "train_labels" in scorer.uses:
        return _fold_by_fold(scorer, background, it, online)
    return np.asarray(scoring.score_folds(scorer, it.prototypes, background, it.info, it.vectors, it.fold))


def profile(background: Background, it: Scored) -> Float[np.ndarray, "tested classes"]:
    """The background's own scores with the prototypes of each clip's fold."""
    mean = np.broadcast_to(np.atleast_2d(np.asarray(background.mean)), it.vectors.shape)
    return np.asarray(_scores(mean, it.prototypes, it.fold))


def _fold_by_fold(scorer: Scorer, background: Background | None, it: Scored, online: bool) -> np.ndarray:
    """Scores where each fold has labelled clips of its own, or where its clips come one after the other."""
    found = np.zeros((len(it.fold), it.prototypes.shape[1]), np.float32)
    for fold in range(len(it.prototypes)):
        rows = np.flatnonzero(it.fold == fold)
        if online:
            rows = np.random.default_rng([it.seed, fold]).permutation(rows)
        here = background
        if background is not None and background.mean.ndim == 2:
            here = background._replace(mean=jnp.asarray(background.mean)[rows])
        info = it.info
        if "train_labels" in scorer.uses:
            info = info._replace(shots=shots_of(it.source, fold, it.shots, it.seed))
        run = scoring.score_online if online else scoring.score
        found[rows] = np.asarray(run(scorer, it.prototypes[fold], here, info, it.vectors[rows])[1])
    return found


def shots_of(source: LabelledSet, fold: int, most: int, seed: int) -> tuple[Array, Array]:
    """At most `most` training clips of each class, drawn from the seed.

    Raises:
      BadInput: a class without any.
    """
    rows = np.flatnonzero(source.training[fold])
    prototypes.check_supervised(source.labels[rows], np.ones(len(rows)), source.about.classes)
    order = np.random.default_rng([seed, fold]).permutation(rows)
    kept = [order[source.labels[order] == k][:most] for k in range(len(source.about.classes))]
    chosen = np.concatenate(kept)
    return jnp.asarray(source.vectors[chosen]), jnp.asarray(source.labels[chosen])


def too_few_shots(row: Row, source: LabelledSet, most: int) -> str:
    """A sentence on a row whose scorer gets fewer labelled clips of a class than it may have; "" where it gets all."""
    if "train_labels" not in scorer_of(row, row.weight, False).uses:
        return ""
    classes = np.arange(len(source.about.classes))
    least = int((source.training @ (source.labels[:, None] == classes[None])).min())
    if least >= most:
        return ""
    clips = counted(least, "training clip")
    return f"scorer {row.scorer}: of some classes there are {clips} in {source.name}, fewer than --shots={most}"


class Curve(NamedTuple):
    """The scores of a scorer with every weight; of one without a weight, its scores alone.

    Attributes:
      weights: 0, 0.1, ..., 1.2 and those asked for; (None,) without.
      scores: of each, (tested, classes).
      values: what the criterion says of each; empty without.
      hits: (weights, tested) whether each clip is right with each; with several labels a share of 1.
      chosen: index of the weight that the criterion prefers, one of 0, 0.1, ..., 1.2.
    """

    weights: tuple[float | None, ...]
    scores: tuple[Float[np.ndarray, "tested classes"], ...]
    values: tuple[float | None, ...]
    hits: Shaped[np.ndarray, "weights tested"]
    chosen: int

    def of_row(self, row: Row) -> Curve:
        """The row's part: 0, 0.1, ..., 1.2 and its own weight, whatever else the command asked for."""
        own = (*choose.WEIGHTS, row.weight)
        kept = [k for k, weight in enumerate(self.weights) if weight in own]
        scores, values = tuple(self.scores[k] for k in kept), tuple(self.values[k] for k in kept if self.values)
        return Curve(tuple(self.weights[k] for k in kept), scores, values, self.hits[kept], kept.index(self.chosen))

    def place_of(self, row: Row) -> int:
        """Which of the weights is the row's."""
        return self.chosen if row.auto else self.weights.index(row.weight)


def curve_of(
    row: Row, background: Background | None, it: Scored, online: bool, asked: Sequence[float], criterion: str
) -> Curve:
    """The scores with every weight, and the choice among these, which no label reaches."""
    weighted = row.auto or row.weight is not None
    weights = choose.with_none([*choose.WEIGHTS, *asked]) if weighted else (None,)
    taken = profile(background, it) if row.scorer == "subtract" else None
    every = tuple(score(row, weight, background, it, online, taken) for weight in weights)
    hits = np.stack([right(scores, it.labels) for scores in every])
    if not weighted:
        return Curve(weights, every, (), hits, 0)
    among = [k for k, weight in enumerate(weights) if weight in choose.WEIGHTS]
    picked = choose.choose([every[k] for k in among], criterion)
    values = dict(zip(among, picked.values, strict=True))
    listed = tuple(values.get(k) for k in range(len(weights)))
    return Curve(weights, every, listed, hits, among[picked.index])
