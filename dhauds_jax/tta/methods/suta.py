"""SUTA: several updates on one utterance, by entropy and minimum class confusion, forgotten before the next one."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PRNGKeyArray

from dhauds_jax.errors import BadInput
from dhauds_jax.parallel import total
from dhauds_jax.tta import losses
from dhauds_jax.tta.augment import Augmentation, augmented_copies, checked
from dhauds_jax.tta.declared import declares
from dhauds_jax.tta.episodes import Episode, episodic, statistics_of
from dhauds_jax.types import Classifier, Method


def class_confusion(
    logits: Float[Array, "rows classes"],
    weights: Float[Array, " rows"] | None = None,
    axis_name: str | None = None,
    *,
    reweight: bool = True,
) -> Float[Array, ""]:
    """Minimum class confusion: how much rows that look like one class also look like others.

    `1/C sum_{i != j} B_ij / sum_k B_kj` with `B = P^T W P` over the softmax rows P; W is the identity, or, reweighted,
    sure rows count for more: `W_bb = n (1 + exp(-H_b)) / sum_b (1 + exp(-H_b))`, without a gradient. It is constant for
    a single row.

    Args:
      logits: (rows, classes), already divided by the temperature.
      weights: (rows,) 1 for real rows and 0 for padded ones.
      axis_name: the mapped axis over which the rows are spread.
      reweight: whether sure rows count for more.

    Source: Jin et al., ECCV 2020, arXiv 1912.03699, section 3; Lin et al., Interspeech 2022, arXiv 2203.14222.
    """
    p = jax.nn.softmax(logits, -1)
    w = jnp.ones(logits.shape[:1], p.dtype) if weights is None else weights
    if reweight:
        sure = w * (1 + jnp.exp(-jax.lax.stop_gradient(losses.entropy_rows(logits, 0.0))))
        count, summed = total((w.sum(), sure.sum()), axis_name)
        w = count * sure / summed
    together = total((w[:, None] * p).T @ p, axis_name)
    # A class that no row gives any probability has an empty column: it confuses nothing.
    columns = together.sum(0)
    shares = together / jnp.where(columns > 0, columns, 1.0)[None]
    return (shares.sum() - jnp.trace(shares)) / p.shape[-1]


def clip_views(augmentation: Augmentation, augmentations: int) -> Callable[[PRNGKeyArray, Array, Array], Array]:
    """`Episode.views`: a clip and `augmentations - 1` changed copies of it, which stand for an utterance's frames."""

    def views(key: PRNGKeyArray, wave: Array, index: Array) -> Array:
        copies = augmented_copies(key, wave, index, augmentation, augmentations - 1) if augmentations > 1 else wave[:0]
        return jnp.concatenate([wave[None], copies.reshape(-1, *wave.shape)])

    return views


def utterance_losses(
    name: str, temperature: float, entropy_rate: float, reweight: bool
) -> Callable[[Array, Array, str | None], dict[str, Array]]:
    """`Episode.losses`: `entropy_rate * mean H(p) + (1 - entropy_rate) * MCC(p)` over all views.

    Raises:
      BadInput: a rate that is no share, or a temperature that is not above 0; `name` is the method's.
    """
    if not 0.0 <= entropy_rate <= 1.0 or temperature <= 0:
        raise BadInput(
            f"{name}: entropy_rate is {entropy_rate} and temperature {temperature}, expected 0 to 1 and above 0"
        )

    def loss(logits: Array, weights: Array, axis_name: str | None) -> dict[str, Array]:
        rows = logits.reshape(-1, logits.shape[-1]) / temperature
        row_weights = jnp.tile(weights, logits.shape[0])
        entropy = losses.entropy(rows, row_weights, axis_name, epsilon=0.0)
        confusion = class_confusion(rows, row_weights, axis_name, reweight=reweight)
        value = entropy_rate * entropy + (1 - entropy_rate) * confusion
        return {"total": value, "entropy": entropy, "confusion": confusion}

    return loss


@declares(
    contract_options={"iterations": 2},
    because="every clip pays all updates, and the second already starts from the optimiser state of another",
    unsaid={"moments": lambda options: options["statistics"] != "blend"},
)
def suta(
    classifier: Classifier,
    *,
    lr: float | Array = 2e-5,
    iterations: int = 10,
    temperature: float = 2.5,
    entropy_rate: float = 0.3,
    reweight: bool = True,
    augmentations: int = 4,
    shift: float = 0.1,
    gain_db: float = 0.0,
    noise: float = 0.0,
    over: str = "clip",
    reset: bool = True,
    statistics: str = "running",
    alpha: float = 1 / 17,
    moments: str = "unbiased",
    group: str = "norm",
    axis_name: str | None = None,
) -> Method:
    """Minimises entropy and class confusion of a single clip over several updates, then predicts the clip.

    `entropy_rate * mean H(p) + (1 - entropy_rate) * MCC(p)`, p the softmax of logits over the temperature. In speech
    recognition both run over an utterance's frames; a clip classifier has one prediction a clip, so here the rows are
    views of the clip, itself and circularly shifted copies of it (time frames have no class scores behind most heads),
    or, with over=batch, all views of all clips of a batch, which then is the utterance. Parameters and optimiser (Adam,
    which is AdamW without decay) are reset before every clip; the prediction is taken after the updates.
    `tta.episodes.episodic` says what `predict` and the state hold.

    Args:
      classifier: the network.
      lr: learning rate.
      iterations: updates for a clip.
      temperature: divides the logits in both losses.
      entropy_rate: share of the entropy in the loss, 0 to 1.
      reweight: whether sure rows count for more in the class confusion.
      augmentations: views of a clip, itself included (1 leaves the class confusion of a single clip constant).
      shift: largest circular shift of a view, as a share of the clip.
      gain_db: its largest gain or loss in dB.
      noise: its noise, as a share of the clip's root mean square.
      over: "clip" or "batch".
      reset: with over=batch, whether each batch starts from the source; False goes on where the last one ended.
      statistics: BatchNorm by "running" (source) or "blend" statistics of the views (`normalisers.blend`).
      alpha: share of the views' statistics in "blend".
      moments: of the views, in "blend": "unbiased" variance and no gradient through it or the mean, as MEMO's authors,
        or "biased" with gradients.
      group: parameters that move, a name of `nets.masks.GROUPS` (the paper: layer norms and the convolutions).
      axis_name: the mapped axis over which the batch is spread.

    Source: Lin, Li, Lee, Interspeech 2022, arXiv 2203.14222, section 2 (iterations, temperature, rates, lr).
    """
    augmentation = checked("suta", Augmentation(shift, gain_db, noise))
    views = clip_views(augmentation, augmentations)
    loss = utterance_losses("suta", temperature, entropy_rate, reweight)
    norm = statistics_of("suta", statistics, alpha, moments)
    rule = optax.adam(lr)
    episode = Episode("suta", classifier, views, loss, augmentations, rule, iterations, group, norm, over, reset)
    return episodic(episode, axis_name)
