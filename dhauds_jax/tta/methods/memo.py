"""MEMO: one update per clip that makes its augmented copies agree and be sure, forgotten before the next clip."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PRNGKeyArray

from dhauds_jax import registry
from dhauds_jax.tta import losses
from dhauds_jax.tta.augment import Augmentation, augmented_copies, checked
from dhauds_jax.tta.declared import declares
from dhauds_jax.tta.episodes import Episode, episodic, statistics_of
from dhauds_jax.types import Classifier, Method

OPTIMISERS = {
    "sgd": lambda lr, decay: optax.chain(optax.add_decayed_weights(decay), optax.sgd(lr)),
    "adamw": lambda lr, decay: optax.adamw(lr, weight_decay=decay),
}


def marginal_entropy(logits: Float[Array, "views clips classes"]) -> Float[Array, " clips"]:
    """Entropy in nats of each clip's mean prediction over its views, `H(1/V sum_v softmax(z_v))`.

    Source: Zhang, Levine, Finn, NeurIPS 2022, arXiv 2110.09506, equations 1 and 2.
    """
    log_p = jax.nn.logsumexp(jax.nn.log_softmax(logits, -1), 0) - jnp.log(float(logits.shape[0]))
    return -(jnp.exp(log_p) * log_p).sum(-1)


AUTHORS = {"optimiser": "sgd", "weight_decay": 0.0, "iterations": 1, "group": "all"}
"""What the authors' two recipes share."""


@declares(
    contract_options={"augmentations": 3},
    because="every clip pays all copies, and three differ as eight do",
    unsaid={"moments": lambda options: options["statistics"] != "blend"},
    recipes={
        "authors_cifar": {**AUTHORS, "lr": 5e-3, "augmentations": 32, "statistics": "running"},
        "authors_imagenet": {
            **AUTHORS,
            "lr": 2.5e-4,
            "augmentations": 64,
            "statistics": "blend",
            "alpha": 1 / 17,
            "moments": "unbiased",
        },
    },
)
def memo(
    classifier: Classifier,
    *,
    lr: float | Array = 5e-3,
    augmentations: int = 8,
    iterations: int = 1,
    optimiser: str = "sgd",
    weight_decay: float = 0.0,
    shift: float = 0.1,
    gain_db: float = 3.0,
    noise: float = 0.05,
    over: str = "clip",
    reset: bool = True,
    statistics: str = "blend",
    alpha: float = 1 / 17,
    moments: str = "unbiased",
    group: str = "all",
    axis_name: str | None = None,
) -> Method:
    """Minimises the entropy of each clip's mean prediction over augmented copies, then predicts the clip.

    For each clip, from the source parameters: `iterations` steps on `H(1/V sum_v p(y | copy_v))` with fresh copies
    (shift, gain, noise; AugMix in the paper), then the prediction of the clip itself, after the update. Parameters and
    optimiser are reset before every clip. `tta.episodes.episodic` says what `predict` and the state hold.

    Args:
      classifier: the network.
      lr: learning rate (the paper's for its small residual networks).
      augmentations: copies of a clip in an update (32 and 64 in the paper; 8 here, for the cost grows with them).
      iterations: updates for a clip.
      optimiser: "sgd" or "adamw" (the paper's for transformers, with a rate near 1e-5).
      weight_decay: of the optimiser (coupled in SGD, decoupled in AdamW).
      shift: largest circular shift of a copy, as a share of the clip.
      gain_db: its largest gain or loss in dB.
      noise: its noise, as a share of the clip's root mean square.
      over: "clip" (the paper) or "batch": shared updates on the mean of a batch's marginal entropies, as many passes.
      reset: with over=batch, whether each batch starts from the source; False goes on where the last one ended.
      statistics: BatchNorm by "running" (source) or "blend" statistics of the copies (`normalisers.blend`).
      alpha: share of the copies' statistics in "blend"; 1/17 is a prior of 16 clips against one.
      moments: of the copies, in "blend": "unbiased" variance and no gradient through it or the mean, as the authors'
        code, or "biased" with gradients.
      group: parameters that move, a name of `nets.masks.GROUPS`.
      axis_name: the mapped axis over which the batch is spread.

    Source: Zhang, Levine, Finn, NeurIPS 2022, arXiv 2110.09506, equations 1 and 2, algorithm 1.
    """
    augmentation = checked("memo", Augmentation(shift, gain_db, noise))
    registry.check("optimiser of method memo", optimiser, OPTIMISERS)

    def views(key: PRNGKeyArray, wave: Array, index: Array) -> Array:
        return augmented_copies(key, wave, index, augmentation, augmentations)

    def loss(logits: Array, weights: Array, axis_name: str | None) -> dict[str, Array]:
        return {"total": losses.weighted_mean(marginal_entropy(logits), weights, axis_name)}

    rule = OPTIMISERS[optimiser](lr, weight_decay)
    norm = statistics_of("memo", statistics, alpha, moments)
    episode = Episode("memo", classifier, views, loss, augmentations, rule, iterations, group, norm, over, reset)
    return episodic(episode, axis_name)
