"""LAME: Laplacian adjusted maximum-likelihood estimation; predictions change, parameters do not."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from dhauds_jax import registry
from dhauds_jax.errors import BadInput
from dhauds_jax.nets.normalisers import EVALUATIONS
from dhauds_jax.parallel import own_rows, whole_batch
from dhauds_jax.tta import neighbours
from dhauds_jax.tta.declared import declares
from dhauds_jax.types import AdaptState, Batch, Classifier, Method, Prediction, RunInfo, Variables

AFFINITIES = ("knn", "rbf", "linear")


def affinity_matrix(
    features: Float[Array, "rows features"], weights: Float[Array, " rows"], kind: str, k: int
) -> Float[Array, "rows rows"]:
    """Affinity of each pair of real rows; 0 wherever a padded row is concerned.

    Args:
      features: (rows, features) embeddings of unit length.
      weights: (rows,) 0 for padded rows.
      kind: "knn": 1 where the second row is among the `k` nearest of the first; "rbf": `exp(-d^2 / (2 s^2))`, s the
        mean distance to the `k`-th nearest, the row itself counted as the first (so k = 1 joins nothing); "linear": the
        inner product.
      k: see `kind`.
    """
    rows = features.shape[0]
    if kind == "knn":
        graph = neighbours.nearest(features, k, weights)
        hits = jax.nn.one_hot(graph.index, rows, dtype=features.dtype)
        return (graph.counts[..., None] * hits).sum(1)
    pairs = weights[:, None] * weights[None]
    similarity = jnp.matmul(features, features.T, precision="highest")
    if kind == "linear":
        return pairs * similarity
    squares = jnp.square(features).sum(-1)
    distance = jnp.maximum(squares[:, None] + squares[None] - 2 * similarity, 0.0) * (1 - jnp.eye(rows))
    count = weights.sum()
    # With fewer real rows than k, the farthest real one takes the k-th place.
    place = jnp.minimum(k, count).astype(jnp.int32) - 1
    ordered = jnp.sort(jnp.where((weights > 0)[None], distance, jnp.inf), -1)
    kth = jnp.sqrt(jnp.take_along_axis(ordered, jnp.full((rows, 1), place), -1)[:, 0])
    scale = jnp.where(weights > 0, kth, 0.0).sum() / count
    return pairs * jnp.exp(-distance / jnp.maximum(2 * scale**2, 1e-12))


def adjusted(
    log_p: Float[Array, "rows classes"],
    affinity: Float[Array, "rows rows"],
    iterations: int,
    tolerance: float = 0.0,
    weights: Float[Array, " rows"] | None = None,
) -> Float[Array, "rows classes"]:
    """Log of the assignments after `iterations` concave-convex steps `Z <- softmax(log p + W Z)`, from Z = p.

    Each step minimises a bound of `sum_i KL(z_i || p_i) - sum_ij w_ij z_i . z_j`, so the energy never rises as long as
    W is positive semi-definite (it is for "rbf" and "linear"). With a `tolerance`, no step follows one after the second
    that changed the energy by at most that share of it, which the authors' code takes as `sum_i z_i . (log z_i -
    log p_i - pull_i)` with the pull that made z; rows of weight 0 are left out.
    """
    real = jnp.ones(log_p.shape[0], bool) if weights is None else weights > 0

    def stepped(log_z: Array) -> tuple[Array, Array]:
        pull = jnp.matmul(affinity, jnp.exp(log_z), precision="highest")
        after = jax.nn.log_softmax(log_p + pull, -1)
        # Their logarithm has a floor of 1e-20.
        terms = jnp.exp(after) * (jnp.maximum(after, math.log(1e-20)) - log_p - pull)
        return after, jnp.where(real, terms.sum(-1), 0.0).sum()

    start = jax.nn.log_softmax(log_p, -1)
    if tolerance == 0:
        return jax.lax.fori_loop(0, iterations, lambda _, log_z: stepped(log_z)[0], start)

    def goes_on(carry: tuple[Array, ...]) -> Array:
        step, _, energy, before = carry
        return (step < iterations) & ((step < 3) | (jnp.abs(energy - before) > tolerance * jnp.abs(before)))

    def body(carry: tuple[Array, ...]) -> tuple[Array, ...]:
        after, energy = stepped(carry[1])
        return carry[0] + 1, after, energy, carry[2]

    infinite = jnp.asarray(jnp.inf, log_p.dtype)
    return jax.lax.while_loop(goes_on, body, (jnp.int32(0), start, infinite, infinite))[1]


def energy_rows(log_z: Array, log_p: Array, affinity: Array) -> Float[Array, " rows"]:
    """`KL(z_i || p_i) - sum_j w_ij z_i . z_j` of each row: LAME's energy is their sum."""
    z = jnp.exp(log_z)
    return (z * (log_z - log_p - jnp.matmul(affinity, z, precision="highest"))).sum(-1)


AUTHORS = {
    "affinity": "rbf",
    "k": 5,
    "symmetric": False,
    "iterations": 100,
    "tolerance": 1e-8,
    "statistics": "running",
}


@declares(unsaid={"tolerance": 0.0}, recipes={"authors_imagenet": AUTHORS})
def lame(
    classifier: Classifier,
    *,
    affinity: str = "knn",
    k: int = 5,
    symmetric: bool = False,
    iterations: int = 100,
    tolerance: float = 0.0,
    statistics: str = "running",
    axis_name: str | None = None,
) -> Method:
    """Corrects a batch's predictions so that clips with similar embeddings agree; nothing is learnt.

    Minimises `sum_i KL(z_i || p_i) - sum_ij w_ij z_i . z_j` over the batch's assignments z by the fixed point
    `z_i ~ p_i exp(sum_j w_ij z_j)`, p being the softmax without dropout and w the affinity of the unit-length
    embeddings. Steps and `predict` are the same: log z of the batch at hand, so predictions depend on how clips are
    batched, and a batch of one is predicted as by the source model. There is no update to predict before or after.

    Args:
      classifier: the network.
      affinity: "knn", "rbf" or "linear", see `affinity_matrix`.
      k: neighbours of a clip in the batch.
      symmetric: use `(W + W') / 2`.
      iterations: concave-convex steps (the original: at most 100).
      tolerance: relative change of the energy after which no further step follows (the original: 1e-8; 0: never, which
        moves assignments by up to 3e-6 on the peers' tiny net).
      statistics: BatchNorm's, "running" (the source's, as in the original) or "batch" (of each batch).
      axis_name: the mapped axis over which the batch is spread.

    Raises:
      BadInput: an unknown choice, or no neighbours.

    Source: Boudiaf et al., CVPR 2022, arXiv 2201.05718; src/adaptation/lame.py of its code.
    """
    registry.check("affinity of method lame", affinity, AFFINITIES)
    registry.check("statistics of method lame", statistics, EVALUATIONS)
    if k < 1:
        raise BadInput(f"lame: k is {k}, expected at least 1 neighbour")
    if tolerance < 0:
        raise BadInput(f"lame: tolerance is {tolerance}, expected 0 (never stop early) or a small share such as 1e-8")

    def init(variables: Variables, info: RunInfo) -> AdaptState:
        return AdaptState(variables, (), (), jnp.zeros((), jnp.int32))

    def forward(state: AdaptState, batch: Batch) -> tuple[Array, Array]:
        """Log-assignments of this device's rows, and the mean energy over the whole batch."""
        outputs, _ = classifier.apply(
            state.variables, batch.wave, mode=EVALUATIONS[statistics], weights=batch.weights, axis_name=axis_name
        )
        logits, embedding, weights = whole_batch((outputs.logits, outputs.embedding, batch.weights), axis_name)
        matrix = affinity_matrix(neighbours.of_unit_length(embedding), weights, affinity, k)
        matrix = (matrix + matrix.T) / 2 if symmetric else matrix
        # As in the original, probabilities have a floor: a class that the network rules out can come back.
        log_p = jnp.log(jax.nn.softmax(logits, -1) + 1e-10)
        log_z = adjusted(log_p, matrix, iterations, tolerance, weights)
        energy = (weights * energy_rows(log_z, log_p, matrix)).sum() / weights.sum()
        return own_rows(log_z, batch.weights.shape[0], axis_name), energy

    def predict(state: AdaptState, batch: Batch) -> Array:
        return forward(state, batch)[0]

    def step(state: AdaptState, batch: Batch, key: PRNGKeyArray) -> tuple[AdaptState, Prediction]:
        logits, energy = forward(state, batch)
        return state._replace(step=state.step + 1), Prediction(logits, {"total": energy})

    return Method(init, step, predict, adapts="none", passes=(1, 0))
