"""Session 0 as EDE has it: the whole encoder, the first adapter and a linear head are trained together."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from dhauds_jax.incremental import dual
from dhauds_jax.incremental.descent import Descent, cross_entropy, descend, draw_orders
from dhauds_jax.nets import dual_embedding
from dhauds_jax.nets.dual_embedding import Sizes
from dhauds_jax.types import Classifier, LearnerState, Shots, Variables

DESCENT = Descent(lr=1e-3, momentum=0.9, decay=2e-4, batch=25, drops=(40, 80, 120, 160), drop=0.1)
"""The published one, whose rate never falls in its single epoch."""


def trained(
    classifier: Classifier,
    sizes: Sizes,
    variables: Variables,
    state: LearnerState,
    shots: Shots,
    key: Array,
    epochs: int,
) -> tuple[Variables, LearnerState]:
    """G, and the state with A_0 and the linear head of that training, by cross-entropy alone.

    Only what the tokens depend on is trained, and decays: not the encoder's last norm. The encoder as it was stays
    beside the new one (`dual_embedding.with_initial`).

    Args:
      classifier: the network, whose dropout is off and whose running statistics stay.
      sizes: of an adapter.
      variables: of the classifier.
      state: before session 0.
      shots: of session 0, waves as inputs.
      key: for the head's fresh weights and the order of clips.
      epochs: passes over the shots.
    """
    config, encoder = classifier.config, dict(variables["params"]["encoder"])
    fixed = {name: encoder.pop(name) for name in dual_embedding.untrained(config) if name in encoder}
    real = shots.weights.astype(jnp.float32)
    shape = (-1, *[1] * (shots.inputs.ndim - 1))
    features = classifier.features(jnp.where(real.reshape(shape) > 0, shots.inputs, 0.0))
    labels = jnp.where(real > 0, shots.labels, 0)
    seen = (jax.nn.one_hot(labels, len(state.seen)) * real[:, None]).max(0)
    drawing, ordering = jax.random.split(key)
    drawn, _ = dual.draw_heads(drawing, state.heads, state.session)
    kernel, bias = dual.extended(state.heads, drawn, state.session, state.seen, seen)

    def loss(params: Any, batch: Array, weights: Array) -> tuple[Array, dict[str, Array]]:
        moved = {**variables, "params": {"encoder": {**params["encoder"], **fixed}}}
        made = dual.adapted(params["adapter"], sizes, classifier.tap(moved, features[batch], "tokens"))
        logits = jnp.matmul(made, params["kernel"][0]) + params["bias"][None]
        value = cross_entropy(jnp.where(seen[None] > 0, logits, -jnp.inf), labels[batch], weights)
        return value, {"loss": value}

    first = dual.one_of(state.params["adapters"], 0)
    start = {"encoder": jax.tree.map(jnp.asarray, encoder), "adapter": first, "kernel": kernel, "bias": bias}
    orders = draw_orders(ordering, shots.clip, real, epochs)
    after, _ = descend(loss, start, orders, real, DESCENT, epochs)
    adapters = jax.tree.map(lambda leaf, own: leaf.at[0].set(own), state.params["adapters"], after["adapter"])
    params = {**state.params, "adapters": adapters, "prepared": jnp.float32(1)}
    heads = state.heads._replace(kernel=after["kernel"], bias=after["bias"])
    moved = dual_embedding.with_initial(variables, {**after["encoder"], **fixed})
    return moved, state._replace(params=params, heads=heads)
