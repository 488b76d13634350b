"""SGEM: several updates on one clip, by a generalised entropy and by what the clip surely is not."""

from __future__ import annotations

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from dhauds_jax.errors import BadInput
from dhauds_jax.tta import losses
from dhauds_jax.tta.augment import Augmentation, checked
from dhauds_jax.tta.declared import declares
from dhauds_jax.tta.episodes import Episode, episodic, statistics_of
from dhauds_jax.tta.methods.suta import clip_views
from dhauds_jax.types import Classifier, Method


def renyi_entropy_rows(logits: Float[Array, "rows classes"], order: float) -> Float[Array, " rows"]:
    """Rényi's entropy of each row in nats, `log(sum_c p^order) / (1 - order)`; Shannon's at order 1.

    Source: Kim et al., Interspeech 2023, arXiv 2306.01981, section 2 (generalized entropy minimization).
    """
    if order == 1:
        return losses.exact_entropy_rows(logits)
    return jax.nn.logsumexp(order * jax.nn.log_softmax(logits, -1), -1) / (1 - order)


def negative_rows(logits: Float[Array, "rows classes"], temperature: float, threshold: float) -> Float[Array, " rows"]:
    """`-log(1 - sum_{c in N} p_c)` of each row, p at the temperature.

    N are the classes whose probability at temperature 1 is below `threshold / C`: which they are has no gradient.

    Source: Kim et al., Interspeech 2023, arXiv 2306.01981, section 2 (negative sampling), after Chen et al. 2020.
    """
    classes = logits.shape[-1]
    others = jax.nn.softmax(jax.lax.stop_gradient(logits), -1) >= threshold / classes
    log_p = jax.nn.log_softmax(logits / temperature, -1)
    return -jax.nn.logsumexp(jnp.where(others, log_p, -jnp.inf), -1)


def annealed(lr: float | Array, end: float, updates: int) -> Callable[[Array], Array]:
    """The rate of update t of an episode of `updates`: from `lr` along half a cosine towards `end * lr`, which one more
    update would have. An optimiser that lives on begins anew with each episode."""

    def rate(count: Array) -> Array:
        return lr * (end + (1 - end) * (1 + jnp.cos(math.pi * (count % updates) / updates)) / 2)

    return rate


@declares(
    contract_options={"iterations": 2},
    because="every clip pays all updates, and the second already starts from the optimiser state of another",
)
def sgem(
    classifier: Classifier,
    *,
    lr: float | Array = 4e-5,
    lr_end: float = 0.5,
    iterations: int = 10,
    temperature: float = 2.5,
    order: float = 1.5,
    negative_rate: float = 1.0,
    negative_threshold: float = 0.4,
    augmentations: int = 4,
    shift: float = 0.1,
    gain_db: float = 0.0,
    noise: float = 0.0,
    over: str = "clip",
    reset: bool = True,
    statistics: str = "running",
    alpha: float = 1 / 17,
    group: str = "norm",
    axis_name: str | None = None,
) -> Method:
    """Minimises Rényi's entropy of a clip and the probability of improbable classes over several updates.

    `mean R_order(p) + negative_rate * mean -log(1 - sum_{c in N} p_c)`, p the softmax of logits over the temperature, N
    the classes below `negative_threshold / C` without it. In speech recognition both are means over the frames of the
    likeliest transcript that a beam search with a language model finds; a clip classifier has one prediction and no
    sequence, so the search is left out and the rows are views of the clip, as in `suta`. Parameters and optimiser
    (Adam, which is AdamW without decay) are reset before every clip; the prediction is taken after the updates.
    `tta.episodes.episodic` says what `predict` and the state hold.

    Args:
      classifier: the network.
      lr: learning rate of the first update.
      lr_end: the share of it that the rate falls towards, along half a cosine.
      iterations: updates for a clip.
      temperature: divides the logits in both losses.
      order: of Rényi's entropy; 1 is Shannon's.
      negative_rate: weight of the improbable classes; 0 leaves them out.
      negative_threshold: below which share of 1/C a class is improbable.
      augmentations: views of a clip, itself included.
      shift: largest circular shift of a view, as a share of the clip.
      gain_db: its largest gain or loss in dB.
      noise: its noise, as a share of the clip's root mean square.
      over: "clip" or "batch": shared updates on all views of a batch.
      reset: with over=batch, whether each batch starts from the source; False goes on where the last one ended.
      statistics: BatchNorm by "running" (source) or "blend" statistics of the views (`normalisers.blend`).
      alpha: share of the views' statistics in "blend" (unbiased variance, no gradient, as `suta`).
      group: parameters that move, a name of `nets.masks.GROUPS` (the paper: the feature extractor).
      axis_name: the mapped axis over which the batch is spread.

    Raises:
      BadInput: a rate, an order or a threshold that is impossible.

    Source: Kim et al., Interspeech 2023, arXiv 2306.01981, section 2; its code's config_sgem_ctc.yaml (all defaults but
    those of views).
    """
    augmentation = checked("sgem", Augmentation(shift, gain_db, noise))
    if order <= 0 or temperature <= 0:
        raise BadInput(f"sgem: order is {order} and temperature {temperature}, expected both above 0")
    if not 0.0 <= negative_threshold <= 1.0 or not 0.0 <= lr_end <= 1.0:
        raise BadInput(f"sgem: negative_threshold is {negative_threshold} and lr_end {lr_end}, expected shares, 0 to 1")

    def loss(logits: Array, weights: Array, axis_name: str | None) -> dict[str, Array]:
        rows, row_weights = logits.reshape(-1, logits.shape[-1]), jnp.tile(weights, logits.shape[0])
        entropy = losses.weighted_mean(renyi_entropy_rows(rows / temperature, order), row_weights, axis_name)
        negative = losses.weighted_mean(negative_rows(rows, temperature, negative_threshold), row_weights, axis_name)
        return {"total": entropy + negative_rate * negative, "entropy": entropy, "negative": negative}

    views, norm = clip_views(augmentation, augmentations), statistics_of("sgem", statistics, alpha, "unbiased")
    rule = optax.adam(annealed(lr, lr_end, iterations))
    episode = Episode("sgem", classifier, views, loss, augmentations, rule, iterations, group, norm, over, reset)
    return episodic(episode, axis_name)
