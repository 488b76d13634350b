"""DeYO: entropy minimisation on clips whose prediction breaks when their order in time is destroyed."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from dhauds_jax.errors import BadInput
from dhauds_jax.parallel import total
from dhauds_jax.tta import losses
from dhauds_jax.tta.batchwise import chosen_mean, kept_share, norm_passes, sgd_or_adam, update_if_kept
from dhauds_jax.tta.declared import declares
from dhauds_jax.tta.update import Evaluated, first_state
from dhauds_jax.types import AdaptState, Batch, Classifier, Method, Prediction, RunInfo, Variables


def segment_orders(key: PRNGKeyArray, index: Int[Array, " batch"], segments: int) -> Int[Array, "batch {segments}"]:
    """A random order of the segments for each clip, drawn from `fold_in(key, index[row])`."""
    return jax.vmap(lambda clip: jax.random.permutation(jax.random.fold_in(key, clip), segments))(index)


def shuffled_segments(
    key: PRNGKeyArray, wave: Float[Array, "batch time"], index: Int[Array, " batch"], segments: int
) -> Float[Array, "batch time"]:
    """Cuts each clip into `segments` of `time // segments` samples and puts them in the order of `segment_orders`.

    Samples left over at the end stay there.

    Args:
      key: random key.
      wave: (batch, time) samples.
      index: (batch,) position of each clip in its set.
      segments: pieces of a clip.

    Raises:
      BadInput: fewer than 2 segments or more than samples.
    """
    time = wave.shape[-1]
    if not 2 <= segments <= time:
        raise BadInput(f"deyo: segments is {segments}, expected 2 to the {time} samples of a clip")
    length = time // segments

    def row(samples: Array, order: Array) -> Array:
        pieces = samples[: segments * length].reshape(segments, length)[order]
        return jnp.concatenate([pieces.reshape(-1), samples[segments * length :]])

    return jax.vmap(row)(wave, segment_orders(key, index, segments))


def plpd(logits: Float[Array, "batch classes"], destroyed: Float[Array, "batch classes"]) -> Float[Array, " batch"]:
    """Pseudo-label probability difference: what the predicted class loses, `p_c(x) - p_c(x')`, `c = argmax p(x)`."""
    gap = jax.nn.softmax(logits, -1) - jax.nn.softmax(destroyed, -1)
    return jnp.take_along_axis(gap, logits.argmax(-1)[:, None], -1)[:, 0]


@declares(
    contract_options={"entropy_limit": 1.0, "plpd_limit": -1.0},
    because="an untrained net is sure of no clip, and a shuffle takes nothing from its predictions",
    recipes={
        "authors_imagenet": {
            "optimiser": "sgd",
            "lr": 2.5e-4,
            "momentum": 0.9,
            "entropy_limit": 0.5,
            "margin": 0.4,
            "plpd_limit": 0.2,
            "segments": 16,
            "evaluate": "batch",
        },
    },
)
def deyo(
    classifier: Classifier,
    *,
    lr: float | Array = 2.5e-4,
    momentum: float = 0.9,
    optimiser: str = "sgd",
    entropy_limit: float = 0.5,
    margin: float = 0.4,
    plpd_limit: float = 0.2,
    segments: int = 16,
    group: str = "norm",
    evaluate: str = "running",
    axis_name: str | None = None,
) -> Method:
    """Minimises the weighted entropy of clips that are sure and whose prediction rests on the order of the sound.

    `mean_{b in S} (exp(E0 - E_b) + exp(PLPD_b)) E_b`, the factor without gradient, `E0 = margin ln C`; S are the clips
    with entropy below `entropy_limit ln C` and PLPD above `plpd_limit`. PLPD is the probability that the predicted
    class loses when the clip is destroyed. Choice for audio: the clip's waveform is cut into `segments` pieces of equal
    size, shuffled anew in each step, in place of the authors' 4 x 4 image patches: spectrum and loudness stay, the
    course in time is lost. The destroyed clips of low entropy form a batch of their own for BatchNorm, whose running
    statistics follow the whole clips alone. A batch with empty S moves nothing but those. A step's prediction is taken
    before its update.

    Args:
      classifier: the network.
      lr: learning rate.
      momentum: of SGD (or Adam's first decay).
      optimiser: "sgd" as the authors, or "adam".
      entropy_limit: entropy threshold as a share of ln C.
      margin: E0 as a share of ln C.
      plpd_limit: PLPD threshold, -1 to 1.
      segments: pieces of a clip, at least 2.
      group: parameters that move, a name of `nets.masks.GROUPS`; the authors leave the last blocks' norms out.
      evaluate: statistics of an evaluation pass, "running" (followed while adapting) or "batch" (as the original).
      axis_name: the mapped axis over which the batch is spread.

    Source: Lee et al., ICLR 2024, arXiv 2403.07366, equations 6 to 10.
    """
    passes = norm_passes("deyo", classifier, evaluate, axis_name)
    optimise = sgd_or_adam("deyo", optimiser, lr, momentum)

    def init(variables: Variables, info: RunInfo) -> AdaptState:
        return first_state("deyo", variables, optimise, group)

    def step(state: AdaptState, batch: Batch, key: PRNGKeyArray) -> tuple[AdaptState, Prediction]:
        destroyed = shuffled_segments(key, batch.wave, batch.index, segments)

        def loss(variables: Variables) -> tuple[Array, Evaluated]:
            logits, stats = passes.adapt(variables, batch.wave, batch.weights)
            entropy, nats = losses.entropy_rows(logits, 0.0), math.log(logits.shape[-1])
            sure = batch.weights * (entropy < entropy_limit * nats)
            # BatchNorm cannot normalise an empty batch; what it then sees is of no use and is not used.
            seen = jnp.where(total(sure.sum(), axis_name) > 0, sure, batch.weights)
            drop = jax.lax.stop_gradient(plpd(logits, passes.look(variables, destroyed, seen)))
            chosen = sure * (drop > plpd_limit)
            factor = jnp.exp(margin * nats - jax.lax.stop_gradient(entropy)) + jnp.exp(drop)
            value = chosen_mean(factor * entropy, chosen, axis_name)
            terms = {
                "total": value,
                "entropy": losses.weighted_mean(entropy, batch.weights, axis_name),
                "kept": kept_share(chosen, batch.weights, axis_name),
            }
            return value, Evaluated(terms, stats, logits)

        return update_if_kept(state, loss, optimise, group, axis_name)

    return Method(init, step, passes.predict, adapts=group, passes=(2, 1))
