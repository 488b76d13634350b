"""DSUTA: SUTA's updates on each clip from slow weights that remember, which start anew when the sounds change."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, PRNGKeyArray

from dhauds_jax.errors import BadInput, check_number
from dhauds_jax.nets import masks
from dhauds_jax.parallel import own_rows, whole_batch
from dhauds_jax.tta import episodes, memory
from dhauds_jax.tta.augment import Augmentation, checked
from dhauds_jax.tta.declared import declares
from dhauds_jax.tta.episodes import Episode, statistics_of
from dhauds_jax.tta.methods.dsuta_slow import DsutaMemory, Rhythm, Slow, no_improvements
from dhauds_jax.tta.methods.suta import clip_views, utterance_losses
from dhauds_jax.tta.update import first_state
from dhauds_jax.types import AdaptState, Batch, Classifier, Method, Prediction, Predicts, RunInfo, Variables


@declares(
    contract_options={"iterations": 1, "augmentations": 2, "lr": 1e-3},
    because="every clip pays all updates, and few clips at a low rate would move no printed number",
)
def dsuta(
    classifier: Classifier,
    *,
    lr: float | Array = 2e-5,
    iterations: int = 5,
    every: int = 5,
    construct: int = 100,
    patience: int = 2,
    deviation: float = 2.0,
    temperature: float = 2.5,
    entropy_rate: float = 0.3,
    reweight: bool = True,
    augmentations: int = 4,
    shift: float = 0.1,
    gain_db: float = 0.0,
    noise: float = 0.0,
    statistics: str = "running",
    alpha: float = 1 / 17,
    group: str = "norm",
    axis_name: str | None = None,
) -> Method:
    """SUTA's loss on two time scales: fast updates for each clip, a slow one for every few, and a reset by its own eye.

    Clips are taken one after the other in the order of the stream, whatever the batch. Each is predicted after
    `iterations` fast updates that begin at the slow weights (and their Adam moments) and are forgotten; every `every`
    clips the slow weights take one step on the mean of these clips' losses. The loss is that of `suta`, over views of
    the clip.

    Dynamic reset: after `construct` / 2 clips the slow weights are kept as the domain's, D; on those up to `construct`
    the loss improvement `L(D; x) - L(source; x)` is collected, a Gaussian. From then on, at each slow update, the mean
    improvement of its clips is held against it: more than `deviation` standard errors above it is an alarm, and
    `patience` alarms in a row bring the source back in place of that update. State: the slow weights are the state's
    variables. A batch spread over devices is done by each of them as a whole.

    Args:
      classifier: the network; its `config.length` is the length of the clips in the memory.
      lr: Adam's learning rate, fast and slow.
      iterations: fast updates of a clip.
      every: clips of a slow update.
      construct: clips that a domain is known by, at least 5.
      patience: alarms before a reset; 0 never resets (DSUTA without dynamic reset).
      deviation: standard errors of an alarm.
      temperature: divides the logits in the loss.
      entropy_rate: share of the entropy in it, 0 to 1; the rest is the class confusion.
      reweight: whether sure views count for more in the class confusion.
      augmentations: views of a clip, itself included (in speech recognition: an utterance's frames).
      shift: largest circular shift of a view, as a share of the clip.
      gain_db: its largest gain or loss in dB.
      noise: its noise, as a share of the clip's root mean square.
      statistics: BatchNorm by "running" (source) or "blend" statistics of a clip's views (`normalisers.blend`).
      alpha: share of the views' statistics in "blend" (unbiased variance, no gradient, as `suta`).
      group: parameters that move, a name of `nets.masks.GROUPS` (the paper: layer norms and the feature extractor).
      axis_name: the mapped axis over which the batch is spread.

    Raises:
      BadInput: sizes or rates that are impossible.

    Source: Lin, Huang, Lee, EMNLP 2024, arXiv 2406.11064, section 3 (algorithms 1 and 2); its code's dsuta_reset.py and
    configurations (iterations, every, construct, patience, deviation, lr).
    """
    memory.check_sizes("dsuta", 1, every)
    for option, value, least in (("iterations", iterations, 1), ("augmentations", augmentations, 1)):
        check_number(f"dsuta: {option}", value, least)
    check_number("dsuta: patience", patience, 0)
    if construct < 5:
        raise BadInput(f"dsuta: construct is {construct}, expected at least 5 clips, of whose second half two remain")
    views = clip_views(checked("dsuta", Augmentation(shift, gain_db, noise)), augmentations)
    loss = utterance_losses("dsuta", temperature, entropy_rate, reweight)
    norm, rule = statistics_of("dsuta", statistics, alpha, "unbiased"), optax.adam(lr)
    episode = Episode("dsuta", classifier, views, loss, augmentations, rule, iterations, group, norm, "clip", True)
    slow = Slow(episode, Rhythm(every, construct, patience, deviation))

    def init(variables: Variables, info: RunInfo) -> AdaptState:
        state = first_state("dsuta", variables, rule, group)
        source = jax.tree.map(jnp.copy, masks.split(variables["params"], group)[0])
        zero = jnp.zeros((), jnp.int32)
        kept = DsutaMemory(
            source=source,
            domain=jax.tree.map(jnp.copy, source),
            waves=memory.empty_waves(classifier, every),
            clips=jnp.zeros((every,), jnp.int32),
            seen=zero,
            since=zero,
            improvements=no_improvements(),
            fails=zero,
            resets=zero,
            seed=jnp.zeros((), jnp.uint32),
        )
        return state._replace(memory=kept)

    def fast(state: AdaptState, wave: Array, clip: Array, key: PRNGKeyArray) -> tuple[Array, Any]:
        alone = Batch(wave[None], jnp.ones((1,), wave.dtype), clip[None])
        _, logits, terms = episodes.run(episode, state._replace(memory=()), alone, key, None)
        return logits[0], dict(terms)

    def predict(state: AdaptState, batch: Batch) -> Array:
        key = jax.random.key(state.memory.seed)
        rows = (batch.wave, batch.index)
        return jax.lax.map(lambda row: fast(state, *row, jax.random.fold_in(key, row[1]))[0], rows)

    def one(key: PRNGKeyArray, state: AdaptState, row: tuple[Array, Array, Array]) -> tuple[AdaptState, Any]:
        wave, clip, weight = row
        ahead, behind = jax.random.split(jax.random.fold_in(key, clip))

        def real(state: AdaptState) -> tuple[AdaptState, tuple[Array, Any]]:
            said = fast(state, wave, clip, ahead)
            return slow.after(state, wave, clip, behind), said

        def padding(state: AdaptState) -> tuple[AdaptState, tuple[Array, Any]]:
            said = jax.eval_shape(lambda: fast(state, wave, clip, ahead))
            return state, jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), said)

        return jax.lax.cond(weight > 0, real, padding, state)

    def step(state: AdaptState, batch: Batch, key: PRNGKeyArray) -> tuple[AdaptState, Prediction]:
        if batch.wave.shape[1:] != state.memory.waves.shape[1:]:
            raise BadInput(
                f"method dsuta keeps clips of {state.memory.waves.shape[1]} samples (the classifier's config.length), "
                f"but the batch has rows of shape {batch.wave.shape[1:]}: cut or pad the clips to that length"
            )
        wave, clips, weights = whole_batch((batch.wave, batch.index, batch.weights), axis_name)
        after, (logits, terms) = jax.lax.scan(functools.partial(one, key), state, (wave, clips, weights))
        kept = after.memory._replace(seed=jax.random.bits(key, (), jnp.uint32))
        found = {name: (weights * rows).sum() / weights.sum() for name, rows in terms.items()}
        found["resets"] = kept.resets.astype(jnp.float32)
        logits = own_rows(logits, batch.weights.shape[0], axis_name)
        return after._replace(memory=kept, step=state.step + 1), Prediction(logits, found)

    passes = (augmentations * (iterations + 3) + 1, augmentations * (iterations + 1))
    predicts = Predicts(augmentations * iterations + 1, augmentations * iterations)
    return Method(init, step, predict, adapts=group, passes=passes, predicts=predicts)
