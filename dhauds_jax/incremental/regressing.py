"""Learners whose classifier is a ridge regression on features of the embedding: `ridge` and `ranpac`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from dhauds_jax.errors import BadInput, check_number
from dhauds_jax.incremental import kept_rows, regression
from dhauds_jax.incremental.descent import draw_orders
from dhauds_jax.incremental.kept_rows import KeptRows
from dhauds_jax.incremental.products import product
from dhauds_jax.types import LearnedHead, Learner, LearnerInfo, LearnerState, Shots, Variables

RULES = ("loo", "last_fifth")
"""How lambda is chosen, where it is not a number."""

HEAD = "ridge"

ORDER = 17
"""Folded into the key of `learn` for the order of a session's clips, of which `last_fifth` judges the last."""


class Moments(NamedTuple):
    """What the primal keeps instead of clips: `F^T F`, `F^T Y`, clips of each class, errors of each lambda."""

    gram: Float[Array, "width width"]
    products: Float[Array, "width max_classes"]
    count: Float[Array, " max_classes"]
    errors: Float[Array, " lambdas"]


class Drawn(NamedTuple):
    """The lambda in force, the words of the key that the features are drawn from, and the embedding's width."""

    penalty: Float[Array, ""]
    words: Array
    width: Int[Array, ""]


class FeatureMap(NamedTuple):
    """Features of an embedding.

    Attributes:
      apply: `(words of a key, embeddings (rows, width)) -> (rows, features)`, in the embeddings' type.
      size: `width of the embedding -> features`.
      head: `(words, width of the embedding, kernel, scale) -> LearnedHead`, on the host.
    """

    apply: Callable[[Array, Array], Array]
    size: Callable[[int], int]
    head: Callable[[Array, int, Array, float], LearnedHead]


def rule_of(name: str, text: str) -> tuple[str, float]:
    """How lambda is found: a rule of `RULES` and 0, or "fixed" and the number.

    Raises:
      BadInput: neither a rule nor a positive number; `name` is the learner's.
    """
    if text in RULES:
        return text, 0.0
    try:
        value = float(text)
    except ValueError:
        raise BadInput(
            f"learner {name}: option lambda is {text!r}, expected {', '.join(RULES)} or a number above 0"
        ) from None
    check_number(f"learner {name}: option lambda", value, 0.0, above=True)
    return "fixed", value


def regressing(features: FeatureMap, rule: str, fixed: float, scale: float) -> Learner:
    """The learner on given features.

    Args:
      features: of the embedding.
      rule: "loo", "last_fifth" or "fixed".
      fixed: the lambda of rule "fixed".
      scale: what regression values are multiplied by to be logits.
    """
    of = _Regression(features, rule, fixed, scale)
    forget = None if rule == "last_fifth" else of.forget
    held_out = None if rule == "last_fifth" else of.held_out
    return Learner(
        of.init,
        of.learn,
        of.predict,
        (HEAD,),
        "embedding",
        bytes_held,
        forget=forget,
        merge=of.merge,
        held_out=held_out,
        as_head=of.as_head,
        double=rule != "last_fifth",
    )


def bytes_held(state: LearnerState) -> int:
    """Rows that are kept, or the moments' part of classes that are known; and the key's words."""
    words = np.asarray(state.params.words).nbytes
    if isinstance(state.memory, KeptRows):
        return kept_rows.nbytes(state.memory) + words
    size, item = len(state.memory.gram), state.memory.gram.dtype.itemsize
    return int((size + int(np.asarray(state.seen).sum())) * size * item) + words


class _Regression(NamedTuple):
    """The functions of `regressing`."""

    features: FeatureMap
    rule: str
    fixed: float
    scale: float

    @property
    def dtype(self) -> Any:
        return jnp.float32 if self.rule == "last_fifth" else jnp.float64

    def init(self, variables: Variables, info: LearnerInfo, key: Array) -> LearnerState:
        if len(info.shape) != 1:
            raise BadInput(f"ridge learners: what is read has shape {info.shape}, expected (width,), one embedding")
        size, room = self.features.size(info.width), info.max_rows * info.max_sessions
        kernel = jnp.zeros((size, info.max_classes), self.dtype)
        if self.rule != "last_fifth" and room < size:
            memory: Any = kept_rows.empty(info, room)
        else:
            errors = jnp.zeros(len(regression.LAMBDAS), self.dtype)
            count = jnp.zeros(info.max_classes, self.dtype)
            memory = Moments(jnp.zeros((size, size), self.dtype), kernel, count, errors)
        drawn = Drawn(jnp.asarray(self.fixed, self.dtype), jax.random.key_data(key), jnp.int32(info.width))
        return LearnerState(drawn, kernel, memory, jnp.zeros(info.max_classes, jnp.float32), jnp.int32(0))

    def learn(self, state: LearnerState, shots: Shots, key: Array) -> tuple[LearnerState, dict[str, Array]]:
        state = state._replace(session=state.session + 1)
        if isinstance(state.memory, KeptRows):
            return self._of_rows(state._replace(memory=kept_rows.added(state.memory, shots)))
        made, targets, weights = self._read(state, shots)
        memory = state.memory._replace(
            gram=state.memory.gram + product(made.T, made),
            products=state.memory.products + product(made.T, targets),
            count=state.memory.count + targets.sum(0),
        )
        found = None if self.rule == "last_fifth" else regression.spectrum(memory.gram)
        if self.rule == "last_fifth":
            # A shuffled batch, as published: rows come class by class, the last ones of the last class alone.
            order = draw_orders(jax.random.fold_in(key, ORDER), shots.clip, shots.weights, 1)[0]
            errors = regression.last_fifth_errors(made[order], targets[order], weights[order])
            memory = memory._replace(errors=errors)
        elif self.rule == "loo":
            errors = regression.primal_errors(found, memory.products, made, targets, weights)
            memory = memory._replace(errors=memory.errors + errors)
        return self._of_moments(state._replace(memory=memory), found)

    def predict(self, state: LearnerState, inputs: Float[Array, "rows width"]) -> dict[str, Array]:
        made = self.features.apply(state.params.words, jnp.asarray(inputs, self.dtype))
        return {HEAD: jnp.where(state.seen[None] > 0, self.scale * product(made, state.heads), -jnp.inf)}

    def held_out(self, state: LearnerState, shots: Shots) -> dict[str, Array]:
        made, targets, _ = self._read(state, shots)
        if isinstance(state.memory, KeptRows):
            residuals = self._kept_residuals(state, shots)
        else:
            found = regression.spectrum(state.memory.gram)
            share = 1.0 - regression.leverages(found, made, state.params.penalty)
            residuals = (targets - product(made, state.heads)) / share[:, None]
        known = self._count(state)[None] - targets > 0  # a class is not where the row is its only one
        return {HEAD: jnp.where(known, self.scale * (targets - residuals), -jnp.inf)}

    def forget(self, state: LearnerState, which: Int[Array, ""]) -> LearnerState:
        if not isinstance(state.memory, KeptRows):
            raise BadInput(
                "ridge learners: the state keeps sums of clips and no clip, since they came to more than its features, "
                "expected a state that keeps its clips: learn anew without the class"
            )
        return self._of_rows(state._replace(memory=kept_rows.without(state.memory, which)))[0]

    def merge(self, state: LearnerState, other: LearnerState, labels: Int[Array, " max_classes"]) -> LearnerState:
        state = state._replace(session=state.session + other.session)
        if isinstance(state.memory, KeptRows):
            return self._of_rows(state._replace(memory=kept_rows.joined(state.memory, other.memory, labels)))[0]
        if self.rule == "loo":
            raise BadInput(
                "ridge learners: the two states keep sums of clips, on which lambda cannot be judged together, "
                "expected states that keep their clips, or a number as lambda: learn the clips of both anew"
            )
        mine, theirs = state.memory, other.memory
        memory = Moments(
            mine.gram + theirs.gram,
            mine.products.at[:, labels].add(theirs.products),
            mine.count.at[labels].add(theirs.count),
            jnp.where(other.session > 0, theirs.errors, mine.errors),  # of the last session, which is the second's
        )
        found = None if self.rule == "last_fifth" else regression.spectrum(memory.gram)
        return self._of_moments(state._replace(memory=memory), found)[0]

    def as_head(self, state: LearnerState, head: str) -> LearnedHead:
        return self.features.head(state.params.words, int(state.params.width), jnp.asarray(state.heads), self.scale)

    def _read(self, state: LearnerState, rows: Shots | KeptRows) -> tuple[Array, Array, Array]:
        """Features, targets and weights, nothing but zeros where there is no row."""
        weights = (rows.weights > 0).astype(self.dtype)
        inputs = jnp.where(weights[:, None] > 0, rows.inputs, 0).astype(self.dtype)
        made = self.features.apply(state.params.words, inputs) * weights[:, None]
        return made, kept_rows.members(rows.labels, rows.weights, len(state.seen), self.dtype), weights

    def _count(self, state: LearnerState) -> Array:
        kept = isinstance(state.memory, KeptRows)
        return kept_rows.counts(state.memory, len(state.seen)) if kept else state.memory.count

    def _decided(self, errors: Array) -> tuple[Array, dict[str, Array]]:
        penalty, at_end = regression.best(errors)
        return penalty, {"log10_lambda": jnp.log10(penalty), "lambda_at_end": at_end.astype(jnp.float32)}

    def _given(self) -> tuple[Array, dict[str, Array]]:
        penalty = jnp.asarray(self.fixed, self.dtype)
        return penalty, {"log10_lambda": jnp.log10(penalty), "lambda_at_end": jnp.zeros((), jnp.float32)}

    def _of_rows(self, state: LearnerState) -> tuple[LearnerState, dict[str, Array]]:
        """The state whose kernel is that of its rows."""

        def solved(rows: KeptRows) -> tuple[Array, Array, dict[str, Array]]:
            made, targets, weights = self._read(state, rows)
            found = regression.spectrum(product(made, made.T))
            fixed = self.rule == "fixed"
            penalty, losses = self._given() if fixed else self._decided(regression.dual_errors(found, targets, weights))
            coefficients, _ = regression.dual_coefficients(found, targets, penalty)
            return penalty, product(made.T, coefficients), losses

        penalty, kernel, losses = kept_rows.of_those(state.memory, solved)
        return self._with(state, penalty, kernel), losses

    def _of_moments(self, state: LearnerState, found: Any) -> tuple[LearnerState, dict[str, Array]]:
        """The state whose kernel is that of its moments, `found` the spectrum of their Gram matrix."""
        memory = state.memory
        penalty, losses = self._given() if self.rule == "fixed" else self._decided(memory.errors)
        if found is None:
            kernel = regression.solved_primal(memory.gram, memory.products, penalty)
        else:
            kernel = regression.primal_weights(found, memory.products, penalty)
        return self._with(state, penalty, kernel), losses

    def _with(self, state: LearnerState, penalty: Array, kernel: Array) -> LearnerState:
        seen = (self._count(state) > 0).astype(jnp.float32)
        return state._replace(params=state.params._replace(penalty=penalty), heads=kernel, seen=seen)

    def _kept_residuals(self, state: LearnerState, shots: Shots) -> Array:
        """Leave-one-out residuals of the kept rows that are nearest to the given ones, of the same class."""
        pairs = (shots.inputs, shots.labels)

        def residuals(rows: KeptRows) -> Array:
            made, targets, _ = self._read(state, rows)
            found = regression.spectrum(product(made, made.T))
            coefficients, diagonal = regression.dual_coefficients(found, targets, state.params.penalty)
            places = jax.lax.map(lambda pair: kept_rows.nearest(rows, *pair), pairs)
            return coefficients[places] / diagonal[places][:, None]

        return kept_rows.of_those(state.memory, residuals)
