"""What DSUTA does beside its fast updates: slow steps, what a domain is known by, and when it has ended."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, UInt32

from dhauds_jax.nets import masks
from dhauds_jax.tta.batchwise import where
from dhauds_jax.tta.episodes import Episode
from dhauds_jax.tta.update import Evaluated, gradient_update
from dhauds_jax.types import AdaptState, Mode, Variables


class Improvements(NamedTuple):
    """Running moments of the loss improvement on the clips that a domain is known by: how many, mean, squares apart."""

    count: Float[Array, ""]
    mean: Float[Array, ""]
    squares: Float[Array, ""]

    def added(self, value: Float[Array, ""]) -> Improvements:
        """With one more (Welford)."""
        count = self.count + 1
        away = value - self.mean
        mean = self.mean + away / count
        return Improvements(count, mean, self.squares + away * (value - mean))

    def deviation(self, mean: Float[Array, ""], clips: int) -> Float[Array, ""]:
        """How many standard errors the mean of `clips` lies above this one; the sample's standard deviation counts."""
        spread = jnp.sqrt(self.squares / jnp.maximum(self.count - 1, 1.0))
        return (mean - self.mean) / jnp.maximum(spread / clips**0.5, 1e-12)


class DsutaMemory(NamedTuple):
    """Memory of DSUTA.

    Attributes:
      source: the source's moving leaves.
      domain: the slow ones halfway through `construct`.
      waves: the clips since the last slow update.
      clips: their positions in the set.
      seen: clips so far.
      since: clips since the last reset.
      improvements: what the domain's clips gain from `domain`.
      fails: alarms in a row.
      resets: how many there were.
      seed: what `predict` draws its views from.
    """

    source: Any
    domain: Any
    waves: Float[Array, "every time"]
    clips: Int[Array, " every"]
    seen: Int[Array, ""]
    since: Int[Array, ""]
    improvements: Improvements
    fails: Int[Array, ""]
    resets: Int[Array, ""]
    seed: UInt32[Array, ""]


class Rhythm(NamedTuple):
    """`every`, `construct`, `patience` and `deviation` of `dsuta`."""

    every: int
    construct: int
    patience: int
    deviation: float


def no_improvements() -> Improvements:
    """Of a domain of which no clip has been seen."""
    return Improvements(*(jnp.zeros((), jnp.float32) for _ in range(3)))


class Slow(NamedTuple):
    """What happens beside the fast updates: pure functions over a state whose memory is a `DsutaMemory`.

    Attributes:
      episode: the fast updates.
      rhythm: when what happens.
    """

    episode: Episode
    rhythm: Rhythm

    def _loss(self, variables: Variables, waves: Array, clips: Array, key: PRNGKeyArray) -> Array:
        """Mean of the clips' losses, each over views of its own."""
        mode = Mode(dropout=False, norm=self.episode.norm)

        def one(wave: Array, clip: Array) -> Array:
            views = self.episode.views(jax.random.fold_in(key, clip), wave[None], clip[None])
            outputs, _ = self.episode.classifier.apply(variables, views[:, 0], mode=mode)
            return self.episode.losses(outputs.logits[:, None], jnp.ones(1, wave.dtype), None)["total"]

        return jax.vmap(one)(waves, clips).mean()

    def improvement(self, state: AdaptState, waves: Array, clips: Array, key: PRNGKeyArray) -> Float[Array, ""]:
        """The loss under the domain's leaves less that under the source's, on the same views."""
        frozen = masks.split(state.variables["params"], self.episode.group)[1]

        def under(leaves: Any) -> Array:
            return self._loss({**state.variables, "params": masks.merge(leaves, frozen)}, waves, clips, key)

        return under(state.memory.domain) - under(state.memory.source)

    def update(self, state: AdaptState, key: PRNGKeyArray) -> AdaptState:
        """One step of the slow leaves on the clips that are kept."""
        kept = state.memory

        def loss(variables: Variables) -> tuple[Array, Evaluated]:
            value = self._loss(variables, kept.waves, kept.clips, key)
            return value, Evaluated({}, variables["batch_stats"], value)

        return gradient_update(state, loss, self.episode.optimiser, self.episode.group)[0]

    def anew(self, state: AdaptState) -> AdaptState:
        """The source's leaves, a fresh optimiser, and no domain."""
        kept = state.memory
        params = masks.merge(kept.source, masks.split(state.variables["params"], self.episode.group)[1])
        kept = kept._replace(
            since=jnp.zeros_like(kept.since),
            improvements=no_improvements(),
            fails=jnp.zeros_like(kept.fails),
            resets=kept.resets + 1,
        )
        variables = {**state.variables, "params": params}
        return AdaptState(variables, self.episode.optimiser.init(kept.source), kept, state.step)

    def consolidated(self, state: AdaptState, key: PRNGKeyArray) -> AdaptState:
        """After `every` clips: an alarm or none, then a start anew or a slow update."""
        kept, rhythm = state.memory, self.rhythm
        look, learn = jax.random.split(key)

        def asked() -> Bool[Array, ""]:
            gained = self.improvement(state, kept.waves, kept.clips, look)
            return kept.improvements.deviation(gained, rhythm.every) > rhythm.deviation

        known = kept.since > rhythm.construct
        alarm = jax.lax.cond(known, asked, lambda: jnp.zeros((), bool))
        fails = jnp.where(alarm, kept.fails + 1, 0)
        state = state._replace(memory=kept._replace(fails=fails))
        reset = (fails >= rhythm.patience) & (rhythm.patience > 0)
        return jax.lax.cond(reset, self.anew, lambda s: self.update(s, learn)._replace(step=s.step), state)

    def known(self, state: AdaptState, wave: Array, clip: Array, key: PRNGKeyArray) -> AdaptState:
        """The domain after a clip: its leaves halfway through `construct`, its improvements in the second half."""
        kept, half = state.memory, self.rhythm.construct // 2
        slow = masks.split(state.variables["params"], self.episode.group)[0]
        domain = where(kept.since == half, slow, kept.domain)
        counts = (kept.since > half) & (kept.since < self.rhythm.construct)
        found = jax.lax.cond(
            counts,
            lambda: kept.improvements.added(self.improvement(state, wave[None], clip[None], key)),
            lambda: kept.improvements,
        )
        return state._replace(memory=kept._replace(domain=domain, improvements=found))

    def after(self, state: AdaptState, wave: Array, clip: Array, key: PRNGKeyArray) -> AdaptState:
        """The state after a clip: kept, and consolidated when `every` are together."""
        kept, (slow, look) = state.memory, jax.random.split(key)
        place = kept.seen % self.rhythm.every
        kept = kept._replace(
            waves=kept.waves.at[place].set(wave),
            clips=kept.clips.at[place].set(clip),
            seen=kept.seen + 1,
            since=kept.since + 1,
        )
        state = state._replace(memory=kept)
        due = kept.seen % self.rhythm.every == 0
        state = jax.lax.cond(due, lambda s: self.consolidated(s, slow), lambda s: s, state)
        return self.known(state, wave, clip, look)
