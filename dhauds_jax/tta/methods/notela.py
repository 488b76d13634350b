"""NOTELA: a noisy student learns the Laplacian-adjusted pseudo-labels of its noiseless self."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from dhauds_jax import registry
from dhauds_jax.errors import BadInput
from dhauds_jax.nets import normalisers
from dhauds_jax.nets.normalisers import EVAL
from dhauds_jax.parallel import own_rows, whole_batch
from dhauds_jax.tta import neighbours
from dhauds_jax.tta.losses import weighted_mean
from dhauds_jax.tta.methods.shot import Observed
from dhauds_jax.tta.multilabel_losses import activation_losses
from dhauds_jax.tta.update import Evaluated, first_state, gradient_update
from dhauds_jax.types import AdaptState, Batch, Classifier, Method, Mode, Prediction, RunInfo, Variables


class PseudoLabels(NamedTuple):
    """Soft pseudo-labels: (clips, classes) probabilities, and (clips,) whether a clip has got some yet."""

    labels: Float[Array, "clips classes"]
    known: Bool[Array, " clips"]


def adjusted_labels(
    logits: Float[Array, "rows classes"],
    graph: neighbours.Neighbours,
    *,
    laplacian: float,
    alpha: float,
    activation: str = "softmax",
) -> Float[Array, "rows classes"]:
    """The teacher's pseudo-labels `y_i ~ p_i^(1/alpha) exp((laplacian/alpha) mean_j p_j)`, j the neighbours of i.

    With "sigmoid" each class is a problem of its own with the probabilities (p, 1 - p), and y is that of "on". Rows
    without neighbours keep `p^(1/alpha)`.

    Args:
      logits: (rows, classes) of the noiseless network.
      graph: the neighbours of each row.
      laplacian: weight of the neighbours.
      alpha: softness; below 1 sharpens.
      activation: "softmax" or "sigmoid".

    Source: Boudiaf et al., ICML 2023, arXiv 2302.06658, equation 3.
    """
    if activation == "softmax":
        pull = neighbours.mean(jax.nn.softmax(logits, -1), graph)
        return jax.nn.softmax((jax.nn.log_softmax(logits, -1) + laplacian * pull) / alpha, -1)
    # Mean of p minus mean of 1 - p: both are 0 for a row without neighbours.
    pull = neighbours.mean(2 * jax.nn.sigmoid(logits) - 1, graph)
    return jax.nn.sigmoid((logits + laplacian * pull) / alpha)


def student_rows(logits: Array, labels: Array, activation: str) -> Float[Array, " rows"]:
    """Cross-entropy of each row against soft labels; "sigmoid": the mean over classes of the binary ones."""
    if activation == "softmax":
        return -(labels * jax.nn.log_softmax(logits, -1)).sum(-1)
    return -(labels * jax.nn.log_sigmoid(logits) + (1 - labels) * jax.nn.log_sigmoid(-logits)).mean(-1)


def notela(
    classifier: Classifier,
    *,
    lr: float | Array = 1e-4,
    k: int = 4,
    mutual: bool = True,
    laplacian: float = 1.0,
    alpha: float = 1.0,
    group: str = "batch_norm",
    statistics: str = "running",
    activation: str = "softmax",
    axis_name: str | None = None,
) -> Method:
    """Teaches the network under dropout what it says without, smoothed over neighbours in embedding space.

    Teacher: `y_i ~ p_i^(1/alpha) exp((laplacian/alpha) mean_j p_j)` over the `k` nearest clips j of the whole set,
    without dropout, anew before each epoch (`memory`: soft labels of every clip). Student: one
    Adam step on the mean cross-entropy `-sum_c y log p`, with dropout. Protocols with one pass never look at the set:
    clips without a label get one from the neighbours in their own batch. A step predicts before its update, by the
    teacher's forward pass (no dropout); `predict` is evaluation mode. Networks without dropout have a student without
    noise.

    Args:
      classifier: the network.
      lr: Adam's learning rate.
      k: neighbours of a clip (the audio recipe says 5 and counts the clip itself).
      mutual: neighbours are only clips that have each other among their `k` nearest.
      laplacian: weight of the neighbours.
      alpha: softness of the labels, above 0.
      group: parameters that move, a name of `nets.masks.GROUPS`.
      statistics: BatchNorm's while adapting, "running" (they stay, as in the audio recipe) or "batch" (of each batch;
        the running ones follow).
      activation: "softmax", or "sigmoid" for multi-label networks, each class a binary problem.
      axis_name: the mapped axis over which the batch is spread.

    Raises:
      BadInput: an unknown choice, `alpha` not above 0, or no neighbours.

    Source: Boudiaf et al., ICML 2023, arXiv 2302.06658, equation 3; the defaults are its audio recipe's.
    """
    registry.check("statistics of method notela", statistics, ("running", "batch"))
    if alpha <= 0:
        raise BadInput(f"notela: alpha is {alpha}, expected a number above 0")
    if k < 1:
        raise BadInput(f"notela: k is {k}, expected at least 1 neighbour")
    activation_losses(activation)  # refuses unknown names
    optimiser = optax.adam(lr)
    running = statistics == "running"
    teaching = Mode(dropout=False, norm=normalisers.running if running else normalisers.batch_frozen)
    learning = Mode(dropout=True, norm=normalisers.running if running else normalisers.batch)
    rule = dict(laplacian=laplacian, alpha=alpha, activation=activation)

    def init(variables: Variables, info: RunInfo) -> AdaptState:
        memory = PseudoLabels(jnp.zeros((info.clips, info.classes), jnp.float32), jnp.zeros(info.clips, bool))
        return first_state("notela", variables, optimiser, group)._replace(memory=memory)

    def without_noise(state: AdaptState, batch: Batch) -> Observed:
        outputs, _ = classifier.apply(
            state.variables, batch.wave, mode=teaching, weights=batch.weights, axis_name=axis_name
        )
        return Observed(outputs.logits, outputs.embedding)

    def begin_epoch(state: AdaptState, observed: Observed, key: PRNGKeyArray) -> AdaptState:
        graph = neighbours.nearest(observed.embedding, k, mutual=mutual)
        labels = adjusted_labels(observed.logits, graph, **rule)
        return state._replace(memory=PseudoLabels(labels, jnp.ones(len(labels), bool)))

    def predict(state: AdaptState, batch: Batch) -> Array:
        return classifier.apply(state.variables, batch.wave, mode=EVAL)[0].logits

    def teach(state: AdaptState, batch: Batch) -> tuple[Array, Array]:
        """The noiseless logits of this device's rows, and the labels that the student learns."""
        own = without_noise(state, batch)
        (logits, embedding), weights = whole_batch((own, batch.weights), axis_name)
        graph = neighbours.nearest(embedding, k, weights, mutual=mutual)
        here = own_rows(adjusted_labels(logits, graph, **rule), batch.weights.shape[0], axis_name)
        known = state.memory.known[batch.index]
        return own.logits, jnp.where(known[:, None], state.memory.labels[batch.index], here)

    def step(state: AdaptState, batch: Batch, key: PRNGKeyArray) -> tuple[AdaptState, Prediction]:
        logits, labels = teach(state, batch)

        def loss(variables: Variables) -> tuple[Array, Evaluated]:
            outputs, stats = classifier.apply(
                variables,
                batch.wave,
                mode=learning,
                weights=batch.weights,
                rngs={"dropout": key},
                axis_name=axis_name,
            )
            value = weighted_mean(student_rows(outputs.logits, labels, activation), batch.weights, axis_name)
            return value, Evaluated({"total": value, "student": value}, stats, logits)

        state, evaluated = gradient_update(state, loss, optimiser, group, axis_name)
        return state, Prediction(evaluated.logits, evaluated.losses)

    return Method(
        init,
        step,
        predict,
        adapts=group,
        passes=(2, 1),
        begin_epoch=begin_epoch,
        observe=without_noise,
    )
