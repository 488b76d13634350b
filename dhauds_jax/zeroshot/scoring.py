"""A scorer over a set: all clips as one step, each fold's test clips with its own prototypes, or clip after clip."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from dhauds_jax.errors import BadInput
from dhauds_jax.types import Background, Scorer, ScorerInfo, ScorerStep

Vectors = Float[Array | np.ndarray, "clips width"]


def score(
    scorer: Scorer,
    prototypes: Float[Array | np.ndarray, "classes width"],
    background: Background | None,
    info: ScorerInfo,
    vectors: Vectors,
) -> tuple[Any, Float[Array, "clips classes"]]:
    """The scorer's state and scores after the whole set as one step.

    Raises:
      BadInput: what the scorer's `init` refuses; scores of another shape.
    """
    state = scorer.init(jnp.asarray(prototypes), background, info._replace(clips=len(vectors)))
    state, scores = jax.jit(scorer.step)(state, jnp.asarray(vectors), jnp.ones(len(vectors)))
    _check_shape(scorer.step, scores, (len(vectors), len(prototypes)))
    return state, scores


def score_folds(
    scorer: Scorer,
    prototypes: Float[Array, "folds classes width"],
    background: Background | None,
    info: ScorerInfo,
    vectors: Vectors,
    folds: Int[np.ndarray, " clips"],
) -> Float[Array, "clips classes"]:
    """Scores of every clip by the prototypes of its fold; the set of a fold is its own clips alone.

    Args:
      scorer: any, whose `uses` lack "past".
      prototypes: those of each fold, as `prototypes.by_fold` gives them.
      background: one for all, or a row for each clip of the set.
      info: as for `score`.
      vectors: of all clips.
      folds: (clips,) the index of each clip's fold in `prototypes`.
    """
    member = jnp.asarray(np.arange(len(prototypes))[:, None] == folds[None], jnp.float32)
    info = info._replace(clips=int(np.bincount(folds, minlength=len(prototypes)).min()))
    scorer.init(prototypes[0], background, info)  # what it refuses is said here, before anything is compiled
    kind, mean, rows = (
        (None, None, None) if background is None else (background.kind, background.mean, background.vectors)
    )
    scores = _folds(
        scorer.init,
        scorer.step,
        kind,
        (info.scale, info.clips),
        (prototypes, mean, rows, info.text, info.noisy_text, info.shots),
        jnp.asarray(vectors),
        member,
    )
    return scores[jnp.asarray(folds), jnp.arange(len(vectors))]


def score_online(
    scorer: Scorer,
    prototypes: Float[Array | np.ndarray, "classes width"],
    background: Background | None,
    info: ScorerInfo,
    vectors: Vectors,
    batch: int = 1,
) -> tuple[Any, Float[Array, "clips classes"]]:
    """The scorer's state and scores, `batch` clips a step in the given order; what it knows of others are those before.

    Scorers that use the set see a step's clips alone.
    """
    state = scorer.init(jnp.asarray(prototypes), background, info._replace(clips=len(vectors)))
    steps = -(-len(vectors) // batch)
    padded = np.zeros((steps * batch, np.shape(vectors)[1]), np.float32)
    padded[: len(vectors)] = np.asarray(vectors)
    weights = (np.arange(steps * batch) < len(vectors)).astype(np.float32)
    state, scores = stream(scorer.step, state, padded.reshape(steps, batch, -1), weights.reshape(steps, batch))
    _check_shape(scorer.step, scores[0], (batch, len(prototypes)))
    return state, scores.reshape(steps * batch, -1)[: len(vectors)]


def _check_shape(step: Any, scores: Any, expected: tuple[int, int]) -> None:
    """Raises `BadInput` for scores of another shape, which a scorer of the user's own may give."""
    if np.shape(scores) != expected:
        name = f"{getattr(step, '__module__', '?')}:{getattr(step, '__qualname__', '?').partition('.')[0]}"
        raise BadInput(
            f"scorer {name} gave {np.shape(scores)}, expected {expected}: a score of every clip for each class"
        )


@functools.partial(jax.jit, static_argnums=(0, 1, 2, 3))
def _folds(init: Any, step: Any, kind: Any, facts: Any, arrays: Any, vectors: Array, member: Array) -> Array:
    prototypes, mean, rows, text, noisy_text, shots = arrays
    background = None if kind is None else Background(mean, kind, rows)
    info = ScorerInfo(facts[0], text, noisy_text, shots, facts[1])

    def one(fold: tuple[Array, Array]) -> Array:
        scores = step(init(fold[0], background, info), vectors, fold[1])[1]
        _check_shape(step, scores, (len(vectors), prototypes.shape[1]))
        return scores

    # One fold after the other: `vmap` would hold every fold's copy of the set.
    return jax.lax.map(one, (prototypes, member))


@functools.partial(jax.jit, static_argnums=0)
def stream(
    step: ScorerStep, state: Any, vectors: Float[Array, "steps rows width"], weights: Float[Array, "steps rows"]
) -> tuple[Any, Float[Array, "steps rows classes"]]:
    """A scorer's step over one batch after the other, as one program."""
    return jax.lax.scan(lambda its, batch: step(its, *batch), state, (vectors, weights))
