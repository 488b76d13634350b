"""TTAug: the mean of what the network says of a clip and of changed copies of it; nothing is learnt."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, UInt32

from dhauds_jax import registry
from dhauds_jax.errors import BadInput
from dhauds_jax.nets.normalisers import EVALUATIONS
from dhauds_jax.tta.augment import Augmentation, augmented, checked
from dhauds_jax.tta.declared import declares
from dhauds_jax.tta.election import AVERAGES
from dhauds_jax.types import AdaptState, Batch, Classifier, Method, Prediction, Predicts, RunInfo, Variables


def mean_over_views(logits: Float[Array, "views batch classes"], average: str) -> Float[Array, "batch classes"]:
    """The mean over views of the logits, or of the softmax rows (as log-probabilities)."""
    if average == "logits":
        return logits.mean(0)
    log_p = jax.nn.log_softmax(logits, -1)
    return jax.nn.logsumexp(log_p, 0) - jnp.log(float(logits.shape[0]))


@declares(contract_options={"augmentations": 2}, because="every clip pays all copies, and two differ as eight do")
def ttaug(
    classifier: Classifier,
    *,
    augmentations: int = 8,
    shift: float = 0.1,
    gain_db: float = 3.0,
    noise: float = 0.05,
    average: str = "logits",
    statistics: str = "running",
    axis_name: str | None = None,
) -> Method:
    """Predicts by the mean over a clip and changed copies of it: `1/(V+1) sum_v z(view_v)`.

    A step draws its copies (shift, gain, noise) from its key, `predict` from the key of the last step, so both look at
    a clip in as many ways and the second is random in nothing. Every view is a forward pass of the whole batch.

    Args:
      classifier: the network.
      augmentations: copies beside the clip itself (32 in the benchmark of Marsden et al.; 8 here, as in `memo`).
      shift: largest circular shift of a copy, as a share of the clip.
      gain_db: its largest gain or loss in dB.
      noise: its noise, as a share of the clip's root mean square.
      average: of "logits" (as that benchmark), or of "softmax" rows; the logits are then log-probabilities.
      statistics: BatchNorm's, "running" (the source's) or "batch" (of the view of the batch at hand).
      axis_name: the mapped axis over which the batch is spread.

    Raises:
      BadInput: an unknown choice, fewer than no copies, or a change that is impossible.

    Source: Krizhevsky et al., NIPS 2012, section 4.1 (predictions averaged over views); as a baseline of adaptation in
    Marsden et al., WACV 2024, arXiv 2306.00650, its code's methods/ttaug.py.
    """
    augmentation = checked("ttaug", Augmentation(shift, gain_db, noise))
    registry.check("average of method ttaug", average, AVERAGES)
    registry.check("statistics of method ttaug", statistics, EVALUATIONS)
    if augmentations < 0:
        raise BadInput(f"ttaug: augmentations is {augmentations}, expected copies beside the clip, at least 0")

    def views(variables: Variables, batch: Batch, key: PRNGKeyArray) -> Array:
        def said(wave: Array) -> Array:
            outputs, _ = classifier.apply(
                variables, wave, mode=EVALUATIONS[statistics], weights=batch.weights, axis_name=axis_name
            )
            return outputs.logits

        # One after the other: the memory of one pass, and with "batch" the statistics of one view.
        copies = jax.lax.map(
            lambda k: said(augmented(k, batch.wave, batch.index, augmentation)), jax.random.split(key, augmentations)
        )
        return mean_over_views(jnp.concatenate([said(batch.wave)[None], copies]), average)

    def init(variables: Variables, info: RunInfo) -> AdaptState:
        return AdaptState(variables, (), jnp.zeros((), jnp.uint32), jnp.zeros((), jnp.int32))

    def predict(state: AdaptState, batch: Batch) -> Array:
        seed: UInt32[Array, ""] = state.memory
        return views(state.variables, batch, jax.random.key(seed))

    def step(state: AdaptState, batch: Batch, key: PRNGKeyArray) -> tuple[AdaptState, Prediction]:
        seed = jax.random.bits(key, (), jnp.uint32)
        state = state._replace(memory=seed, step=state.step + 1)
        return state, Prediction(predict(state, batch), {})

    views_each = augmentations + 1
    return Method(init, step, predict, adapts="none", passes=(views_each, 0), predicts=Predicts(views_each))
