"""COME: entropy minimisation that may keep its doubt: of an opinion with a mass for "I do not know"."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from dhauds_jax import registry
from dhauds_jax.tta import losses
from dhauds_jax.tta.batchwise import FEW_CLASSES, norm_passes, sgd_or_adam
from dhauds_jax.tta.methods.eata import eata
from dhauds_jax.tta.methods.sar import sar
from dhauds_jax.tta.update import Evaluated, first_state, gradient_update
from dhauds_jax.types import AdaptState, Batch, Classifier, Method, Prediction, RunInfo, Variables

BASES = ("tent", "eata", "sar")
EPSILON = 1e-7
"""Added to the masses, inside and outside of the logarithm, as the authors' code does."""


def opinion(logits: Float[Array, "batch classes"]) -> Float[Array, "batch masses"]:
    """The belief in each class and, last, the doubt: `b_k = e_k / S`, `u = C / S`, `S = sum_k e_k + C`, `e = exp(z)`.

    A softmax with one logit more, `ln C`: a Dirichlet's mean evidence where no class has any.
    """
    doubt = jnp.full((*logits.shape[:-1], 1), math.log(logits.shape[-1]), logits.dtype)
    return jax.nn.softmax(jnp.concatenate([logits, doubt], -1), -1)


def opinion_entropy_rows(logits: Float[Array, "batch classes"]) -> Float[Array, " batch"]:
    """Entropy of each row's opinion in nats; its gradient turns the logits and does not lengthen them.

    `-sum_k m_k ln m_k` over the masses m of `opinion`; the length of z is a constant in the gradient, so the evidence
    as a whole stays as it is and only moves between the classes.
    """
    length = losses.safe_sqrt(jnp.square(logits).sum(-1, keepdims=True))
    held = logits * (jax.lax.stop_gradient(length) / jnp.where(length > 0, length, 1.0))
    masses = opinion(held) + EPSILON
    return -(masses * jnp.log(masses)).sum(-1)


def _tent(
    classifier: Classifier,
    *,
    lr: float | Array,
    momentum: float,
    optimiser: str,
    group: str,
    evaluate: str,
    axis_name: str | None,
) -> Method:
    """TENT with the opinion's entropy, which it has no threshold for."""
    passes = norm_passes("come", classifier, evaluate, axis_name)
    optimise = sgd_or_adam("come", optimiser, lr, momentum)

    def init(variables: Variables, info: RunInfo) -> AdaptState:
        return first_state("come", variables, optimise, group)

    def step(state: AdaptState, batch: Batch, key: PRNGKeyArray) -> tuple[AdaptState, Prediction]:
        def loss(variables: Variables) -> tuple[Array, Evaluated]:
            logits, stats = passes.adapt(variables, batch.wave, batch.weights)
            value = losses.weighted_mean(opinion_entropy_rows(logits), batch.weights, axis_name)
            return value, Evaluated({"total": value, "entropy": value}, stats, logits)

        state, evaluated = gradient_update(state, loss, optimise, group, axis_name)
        return state, Prediction(evaluated.logits, evaluated.losses)

    return Method(init, step, passes.predict, adapts=group, passes=(1, 1))


def come(
    classifier: Classifier,
    *,
    base: str = "tent",
    lr: float | Array = 2.5e-4,
    momentum: float = 0.9,
    optimiser: str = "sgd",
    margin: float = 0.4,
    redundancy: float = 0.4,
    fisher: float = 2000.0,
    rho: float = 0.05,
    recover: float = 0.2,
    few_classes: str = "scaled",
    group: str = "norm",
    evaluate: str = "running",
    axis_name: str | None = None,
) -> Method:
    """Minimises the entropy of an opinion, in which doubt is a further outcome, in place of the softmax's.

    `mean_b -sum_m m_b ln m_b` over the C beliefs and the doubt of `opinion`; with another `base` this entropy is both
    what that method minimises and what its thresholds look at. Where the network says little the doubt is large and the
    entropy can fall by doubting. Everything else is the base's, losses and state too. A step's prediction is taken
    before its update.

    Args:
      classifier: the network.
      base: "tent" (all clips), "eata" (needs source clips unless fisher=0) or "sar".
      lr: learning rate (the authors' for ResNet-50; 1e-3 for ViT).
      momentum: of SGD (or Adam's first decay).
      optimiser: "sgd" as the authors, for all three bases, or "adam".
      margin: of eata and sar, E0 as a share of ln C.
      redundancy: of eata, largest cosine.
      fisher: of eata, rate of the anti-forgetting term; 0 leaves it out.
      rho: of sar, length of the climb.
      recover: of sar, threshold in nats of the opinion's entropy.
      few_classes: of eata and sar, what their thresholds are below 10 classes: "scaled" or "as_given".
      group: parameters that move, a name of `nets.masks.GROUPS`.
      evaluate: statistics of an evaluation pass, "running" (followed while adapting) or "batch" (as the original).
      axis_name: the mapped axis over which the batch is spread.

    Raises:
      BadInput: an unknown choice, or what the base refuses.

    Source: Zhang et al., ICLR 2025, arXiv 2410.10894, section 3; its code's tent_come.py, eata_come.py and
    sar_come.py, which have 1,000 for C, ImageNet's.
    """
    registry.check("base of method come", base, BASES)
    registry.check("few_classes of method come", few_classes, FEW_CLASSES)
    shared = {
        "lr": lr,
        "momentum": momentum,
        "optimiser": optimiser,
        "group": group,
        "evaluate": evaluate,
        "axis_name": axis_name,
    }
    if base == "tent":
        return _tent(classifier, **shared)
    if base == "eata":
        filters = {"margin": margin, "redundancy": redundancy, "fisher": fisher, "few_classes": few_classes}
        return eata(classifier, **shared, **filters, entropy_rows=opinion_entropy_rows)
    sharp = {"margin": margin, "rho": rho, "recover": recover, "few_classes": few_classes}
    return sar(classifier, **shared, **sharp, entropy_rows=opinion_entropy_rows)
