"""Scorers in a row: all but the last move the embeddings, the last one scores what they moved."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jaxtyping import Array, Float

from dhauds_jax.errors import BadInput
from dhauds_jax.types import Background, Scorer, ScorerInfo

PREFIX = "chain:"
"""How the name of a chain begins."""


def chain(names: Sequence[str], scorers: Sequence[Scorer]) -> Scorer:
    """The scorer of a chain; moved embeddings are not brought to unit length between (a scorer that needs it does so).

    Raises:
      BadInput: one before the last moves no embeddings.
    """
    for name, scorer in zip(names[:-1], scorers[:-1], strict=True):
        if scorer.move is None:
            raise BadInput(
                f"scorer {PREFIX}{'+'.join(names)}: {name} moves no embeddings and can only come last: expected plain, "
                "subtract, centre or whiten before it"
            )
    *movers, last = scorers

    def init(prototypes: Float[Array, "classes width"], background: Background | None, info: ScorerInfo) -> Any:
        return tuple(scorer.init(prototypes, background, info) for scorer in scorers)

    def before(state: Any, vectors: Array, weights: Array) -> tuple[list[Any], Array]:
        states = []
        for scorer, its in zip(movers, state[:-1], strict=True):
            its, vectors = scorer.move(its, vectors, weights)
            states.append(its)
        return states, vectors

    def step(
        state: Any, vectors: Float[Array, "rows width"], weights: Float[Array, " rows"]
    ) -> tuple[Any, Float[Array, "rows classes"]]:
        states, moved = before(state, vectors, weights)
        its, scores = last.step(state[-1], moved, weights)
        return (*states, its), scores

    def move(state: Any, vectors: Array, weights: Array) -> tuple[Any, Array]:
        states, moved = before(state, vectors, weights)
        its, moved = last.move(state[-1], moved, weights)
        return (*states, its), moved

    def linear(state: Any) -> tuple[Array, Array]:
        offsets = [scorer.linear(its)[0] for scorer, its in zip(movers, state[:-1], strict=True)]
        offset, kernel = last.linear(state[-1])
        return sum(offsets, offset), kernel

    linear_parts = all(scorer.linear is not None for scorer in scorers) and not any(one.turns for one in movers)
    used = {one for scorer in scorers for one in scorer.uses}
    return Scorer(
        init,
        step,
        tuple(sorted(used)),
        move=move if last.move is not None else None,
        linear=linear if linear_parts else None,
        turns=any(scorer.turns for scorer in scorers),
    )
