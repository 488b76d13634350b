"""GALA as TTA-in-AC runs it: TENT whose steps are plain gradient steps on the layers that a cosine lets through."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import optax
from flax import traverse_util
from jaxtyping import Array, PRNGKeyArray

from dhauds_jax import registry
from dhauds_jax.nets import masks
from dhauds_jax.tta import losses
from dhauds_jax.tta.batchwise import norm_passes, where
from dhauds_jax.tta.update import Evaluated, first_state, gradients
from dhauds_jax.types import AdaptState, Batch, Classifier, Method, Prediction, RunInfo, Variables


def gated_step(moving: Any, grads: Any, lr: float | Array, threshold: float) -> tuple[Any, Array]:
    """`p - lr g` on the layers whose vector `v = (scale, bias)` has `cos(v, v - lr g) > threshold`.

    Returns the leaves and the share of layers that moved. Layers stacked along leading axes (scanned blocks) count one
    by one; a layer of zeros has no direction and stays.
    """
    leaves, slopes = traverse_util.flatten_dict(moving), traverse_util.flatten_dict(grads)
    layers: dict[Any, list[Any]] = {}
    for path in leaves:
        layers.setdefault(path[:-1], []).append(path)
    out, gates = {}, []
    for paths in layers.values():
        old = jnp.concatenate([leaves[path] for path in paths], -1)
        new = old - lr * jnp.concatenate([slopes[path] for path in paths], -1)
        product = jnp.sqrt(jnp.square(old).sum(-1)) * jnp.sqrt(jnp.square(new).sum(-1))
        gate = (old * new).sum(-1) > threshold * product
        gate = gate & (product > 0)
        for path in paths:
            out[path] = jnp.where(gate[..., None], leaves[path] - lr * slopes[path], leaves[path])
        gates.append(gate.reshape(-1))
    return traverse_util.unflatten_dict(out), jnp.concatenate(gates).mean(dtype=jnp.float32)


def gala(
    classifier: Classifier,
    *,
    lr: float | Array = 1e-3,
    b1: float = 0.9,
    b2: float = 0.99,
    threshold: float = 0.75,
    group: str = "batch_norm",
    evaluate: str = "running",
    axis_name: str | None = None,
) -> Method:
    """Minimises the mean entropy as `tent`, with Adam on the first batch of each pass and gated plain steps after it.

    On all other batches each normalisation layer with `v = (scale, bias)` takes `v - lr g` if
    `cos(v, v - lr g) > threshold`, else it stays. With a small rate practically every layer moves: the reference
    compares a layer with its own next value, where the paper compares the step with the total displacement from the
    source and moves the best layer alone. A step's prediction is taken before its update.

    Args:
      classifier: the network.
      lr: learning rate of both kinds of step.
      b1: Adam's first-moment decay.
      b2: Adam's second-moment decay.
      threshold: least cosine of a layer that moves, below 1.
      group: "batch_norm", or "norm" for layer and group norms too.
      evaluate: statistics of an evaluation pass, "running" (followed while adapting) or "batch" (as the reference).
      axis_name: the mapped axis over which the batch is spread.

    Source: TTA-in-AC, GALA/lib/galaTentAdapt.py, after Sahoo et al., AAAI 2025, arXiv 2404.03784.
    """
    registry.check("group of method gala", group, ("batch_norm", "norm"))
    passes = norm_passes("gala", classifier, evaluate, axis_name)
    adam = optax.adam(lr, b1=b1, b2=b2)

    def init(variables: Variables, info: RunInfo) -> AdaptState:
        state = first_state("gala", variables, adam, group)
        return state._replace(memory=jnp.asarray(info.steps_per_epoch, jnp.int32))

    def step(state: AdaptState, batch: Batch, key: PRNGKeyArray) -> tuple[AdaptState, Prediction]:
        def loss(variables: Variables) -> tuple[Array, Evaluated]:
            logits, stats = passes.adapt(variables, batch.wave, batch.weights)
            value = losses.entropy(logits, batch.weights, axis_name, epsilon=0.0)
            return value, Evaluated({"total": value, "entropy": value}, stats, logits)

        grads, evaluated = gradients(state.variables, loss, group, axis_name)
        moving, frozen = masks.split(state.variables["params"], group)
        updates, opt_state = adam.update(grads, state.opt_state, moving)
        gated, share = gated_step(moving, grads, lr, threshold)
        first = state.step % state.memory == 0
        moving, opt_state = where(first, (optax.apply_updates(moving, updates), opt_state), (gated, state.opt_state))
        params = masks.merge(moving, frozen)
        variables = {**state.variables, "params": params, "batch_stats": evaluated.batch_stats}
        terms = {**evaluated.losses, "layers": jnp.where(first, 1.0, share)}
        return AdaptState(variables, opt_state, state.memory, state.step + 1), Prediction(evaluated.logits, terms)

    return Method(init, step, passes.predict, adapts=group, passes=(1, 1))
