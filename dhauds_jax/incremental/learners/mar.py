"""Ridge regression on a weighted sum of what several blocks say."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from dhauds_jax.dsp.unit_rows import unit_rows
from dhauds_jax.errors import BadInput, check_number
from dhauds_jax.incremental.descent import Descent, cross_entropy, descend, draw_orders
from dhauds_jax.incremental.profiles import BY_PROFILE, by_profile
from dhauds_jax.incremental.regressing import FeatureMap, regressing, rule_of
from dhauds_jax.nets.levels import Fusion, last_levels
from dhauds_jax.types import Classifier, LearnedHead, Learner, LearnerInfo, LearnerState, Shots, Variables

HEAD = "ridge"

CHOICES = {"fusion": ("random", "trained")}
"""Option -> its value in profile reference and in profile corrected."""

DESCENT = Descent(lr=1e-3, momentum=0.9, decay=5e-4, batch=25, drops=())
"""Of the training that MAR's code has and does not call (models/ast_finetune.py)."""


def mar(
    classifier: Classifier | None,
    *,
    profile: str = "corrected",
    fusion: str = BY_PROFILE,
    lambda_: str = BY_PROFILE,
    levels: int = 6,
    epochs: int = 100,
    scale: float = 16.0,
) -> Learner:
    """Logits are `scale cos(e, w_k)`, e the fused means of the last blocks, w_k the ridge solution's column of class k.

    e = sum_l a_l x_l with `a = softmax(W2 relu(W1 [x_1 ... x_L] + b1) + b2)`, x_l the mean of block l's normed tokens
    (of the patches alone); W = (E^T E + lambda I)^-1 E^T Y over the clips of all sessions, as learner `ridge` has it.

    Args:
      classifier: not needed.
      profile: reference: fusion random, lambda last_fifth; corrected: fusion trained, lambda loo.
      fusion: `random`: the small network that weighs levels stays as it was drawn, as in the published code, where the
        call of its training is commented out (so e is nearly the plain mean of the levels); `trained`: session 0 trains
        it beside a cosine head that is then thrown away, the network frozen. Afterwards it stays.
      lambda_: as of `ridge`, or `profile`.
      levels: last blocks that are fused; all where there are fewer.
      epochs: of that training, in batches of 25, rate 1e-3, momentum 0.9, decay 5e-4.
      scale: what cosines are multiplied by.

    Raises:
      BadInput: an unknown profile, a value that an option cannot have.

    Source: Si et al. 2025, arXiv 2506.18406; YongjieSi/MAR, models/ast_finetune.py:59-116, utils/inc_net.py:82-87.
    """
    chosen = by_profile("mar", profile, {"fusion": fusion}, CHOICES)
    if lambda_ == BY_PROFILE:
        lambda_ = "last_fifth" if profile == "reference" else "loo"
    check_number("learner mar: option levels", levels, 1)
    check_number("learner mar: option epochs", epochs, 1)
    ridge = regressing(FeatureMap(lambda words, rows: rows, lambda width: width, _no_head), *rule_of("mar", lambda_), 1)
    of = _Mar(ridge, chosen["fusion"] == "trained", levels, epochs, float(scale))
    forget = None if of.trained or ridge.forget is None else of.forget
    return Learner(
        of.init,
        of.learn,
        of.predict,
        (HEAD,),
        "layers",
        of.bytes_held,
        forget=forget,
        as_head=of.as_head,
        double=ridge.double,
    )


def _no_head(*given: Any) -> LearnedHead:
    raise AssertionError("the head of `mar` is its own")


def fuse(params: Any, levels: Float[Array, "rows levels width"]) -> Float[Array, "rows width"]:
    """The fused levels."""
    return Fusion().apply({"params": params}, levels.astype(jnp.float32))[0]


def head_loss(
    params: Any,
    levels: Float[Array, "batch levels width"],
    labels: Int[Array, " batch"],
    weights: Float[Array, " batch"],
    seen: Float[Array, " max_classes"],
    scale: float,
) -> Float[Array, ""]:
    """The cross-entropy of the cosine head that trains the fusion: of `params["fusion"]` and `params["rows"]`."""
    cosines = unit_rows(fuse(params["fusion"], levels)) @ unit_rows(params["rows"]).T
    return cross_entropy(jnp.where(seen[None] > 0, scale * cosines, -jnp.inf), labels, weights)


class _Mar(NamedTuple):
    """The functions of `mar`."""

    ridge: Learner
    trained: bool
    levels: int
    epochs: int
    scale: float

    def init(self, variables: Variables, info: LearnerInfo, key: Array) -> LearnerState:
        if len(info.shape) != 2:
            raise BadInput(
                f"learner mar: what is read has shape {info.shape}, expected (depth, width), a level a block"
            )
        count, width = min(self.levels, info.shape[0]), info.shape[1]
        drawn = Fusion().init(jax.random.fold_in(key, 0), jnp.zeros((1, count, width), jnp.float32))["params"]
        fusion = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), drawn)
        state = self.ridge.init(variables, info._replace(shape=(width,)), jax.random.fold_in(key, 1))
        return state._replace(params={"fusion": fusion, "ridge": state.params})

    def learn(self, state: LearnerState, shots: Shots, key: Array) -> tuple[LearnerState, dict[str, Array]]:
        fusion, told = state.params["fusion"], {}
        if self.trained:
            fusion, told = self._train(state, shots, key)
        inner, losses = self.ridge.learn(self._inner(state), self._fused(fusion, shots), key)
        return self._outer(inner, fusion), {**losses, **told}

    def predict(self, state: LearnerState, inputs: Float[Array, "rows depth width"]) -> dict[str, Array]:
        fused = fuse(state.params["fusion"], last_levels(inputs, self.levels)).astype(state.heads.dtype)
        cosines = jnp.matmul(unit_rows(fused), unit_rows(state.heads.T).T, precision="highest")
        return {HEAD: jnp.where(state.seen[None] > 0, self.scale * cosines, -jnp.inf)}

    def forget(self, state: LearnerState, which: Int[Array, ""]) -> LearnerState:
        return self._outer(self.ridge.forget(self._inner(state), which), state.params["fusion"])

    def bytes_held(self, state: LearnerState) -> int:
        return self.ridge.bytes_held(self._inner(state)) + sum(
            4 * leaf.size for leaf in jax.tree.leaves(state.params["fusion"])
        )

    def as_head(self, state: LearnerState, head: str) -> LearnedHead:
        kernel = unit_rows(jnp.asarray(state.heads).T).T.astype(jnp.float32)
        params = {"fusion": state.params["fusion"], "kernel": kernel, "bias": jnp.zeros(kernel.shape[1], jnp.float32)}
        return LearnedHead("levels", {"levels": self.levels, "scale": self.scale}, params)

    def _train(self, state: LearnerState, shots: Shots, key: Array) -> tuple[Any, dict[str, Array]]:
        """The fusion after session 0; in later ones no epoch is run."""
        real = shots.weights.astype(jnp.float32)
        levels = jnp.where(real[:, None, None] > 0, last_levels(shots.inputs, self.levels), 0).astype(jnp.float32)
        labels, width = jnp.where(real > 0, shots.labels, 0), levels.shape[-1]
        seen = (jax.nn.one_hot(labels, len(state.seen), dtype=jnp.float32) * real[:, None]).max(0)
        drawn, order = jax.random.split(jax.random.fold_in(key, 0))
        # Rows of a cosine head as published: uniform within 1 / sqrt(width).
        rows = jax.random.uniform(drawn, (len(state.seen), width), jnp.float32, -(width**-0.5), width**-0.5)

        def loss(params: Any, batch: Array, weights: Array) -> tuple[Array, dict[str, Array]]:
            value = head_loss(params, levels[batch], labels[batch], weights, seen, self.scale)
            return value, {"fusion_loss": value}

        start = {"fusion": state.params["fusion"], "rows": rows}
        epochs = jnp.where(state.session == 0, self.epochs, 0)
        params, told = descend(loss, start, draw_orders(order, shots.clip, real, self.epochs), real, DESCENT, epochs)
        return params["fusion"], told

    def _fused(self, fusion: Any, shots: Shots) -> Shots:
        real = shots.weights[:, None, None] > 0
        levels = jnp.where(real, last_levels(shots.inputs, self.levels), 0)
        return shots._replace(inputs=fuse(fusion, levels))

    def _inner(self, state: LearnerState) -> LearnerState:
        return state._replace(params=state.params["ridge"])

    def _outer(self, state: LearnerState, fusion: Any) -> LearnerState:
        return state._replace(params={"fusion": fusion, "ridge": state.params})
