"""Auto: several methods side by side, and of what they say the most informative, or the source's where none is."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from dhauds_jax import names, registry
from dhauds_jax.errors import BadInput, check_number
from dhauds_jax.nets.normalisers import EVAL
from dhauds_jax.parallel import total
from dhauds_jax.tta import advice, methods
from dhauds_jax.tta.batchwise import CHOSE
from dhauds_jax.tta.declared import declares
from dhauds_jax.types import AdaptState, Batch, Classifier, Method, Prediction, Predicts, RunInfo, Variables

CANDIDATES = ("dhauds", "shot", "ntta")
"""The first three of both boards (docs/results.md) that need no source clips: of the older one offline, and of
`board_words15` online, where `rmt`, which replays source clips in four passes, stands between them."""

SEPARATOR = "+"
SOURCE = "source"
"""What is left where no candidate is chosen."""


class Tally(NamedTuple):
    """What was said of the last clips, of each candidate (the source is the first): decaying sums.

    Attributes:
      probabilities: of the classes.
      entropy: of each clip, nats.
      sureness: probability of each clip's label.
      clips: how many count.
    """

    probabilities: Float[Array, "candidates classes"]
    entropy: Float[Array, " candidates"]
    sureness: Float[Array, " candidates"]
    clips: Float[Array, ""]

    def added(
        self, logits: Float[Array, "candidates batch classes"], batch: Batch, window: int, axis_name: str | None
    ) -> Tally:
        """With a batch; clips that came before count `(1 - 1/window)` times as much for each clip of it."""
        real = batch.weights[None] > 0
        log_p = jax.nn.log_softmax(jnp.where(real[..., None], logits, 0.0), -1)
        p = jnp.exp(log_p)
        rows = (-(p * log_p).sum(-1), p.max(-1))
        sums = ((p * real[..., None]).sum(1), *((row * real).sum(1) for row in rows), batch.weights.sum())
        sums = total(sums, axis_name)
        kept = (1 - 1 / window) ** sums[-1]
        return Tally(*(kept * old + new for old, new in zip(self, sums, strict=True)))

    def information(self) -> Float[Array, " candidates"]:
        """Mutual information of clip and class, a share of ln C (`advice.information`)."""
        mean = self.probabilities / self.clips
        spread = -(mean * jnp.log(jnp.maximum(mean, 1e-30))).sum(-1)
        return (spread - self.entropy / self.clips) / math.log(max(mean.shape[-1], 2))


class AutoMemory(NamedTuple):
    """Memory of auto: the source's variables, every method's state, what was said, clips so far, and who is chosen."""

    source: Variables
    states: tuple[AdaptState, ...]
    tally: Tally
    seen: Int[Array, ""]
    chosen: Int[Array, ""]


def choice(tally: Tally, seen: Int[Array, ""], leave: bool) -> Int[Array, ""]:
    """0 for the source, i for the i-th method: the most informative that the advice would not refuse.

    A method is refused where its mean confidence lies more than `advice.LESS_SURE` below the source's, or its
    information grew by less than `advice.GROWTH` (which of the two says `advice.SURE` of the source), all are below
    `advice.FEWEST` clips; without `leave` none is.
    """
    information, sure = tally.information(), tally.sureness / tally.clips
    able = jnp.isfinite(information[1:])
    if leave:
        needed = jnp.where(sure[0] >= advice.SURE, advice.GROWTH[1], advice.GROWTH[0])
        able &= (information[1:] - information[0] >= needed) & (sure[1:] >= sure[0] - advice.LESS_SURE)
        able &= seen >= advice.FEWEST
    best = jnp.argmax(jnp.where(able, information[1:], -jnp.inf)).astype(jnp.int32) + 1
    return jnp.where(able.any() if leave else jnp.ones((), bool), best, 0)


def _named(candidates: str) -> tuple[str, ...]:
    """The methods of an option's text."""
    found = tuple(part.strip() for part in candidates.split(SEPARATOR) if part.strip())
    if not found or "auto" in found or SOURCE in found:
        raise BadInput(
            f"auto: candidates is {candidates!r}, expected methods with {SEPARATOR} between, such as "
            f"{SEPARATOR.join(CANDIDATES)}; the source is always among them"
        )
    return found


class _Side(NamedTuple):
    """The methods side by side."""

    classifier: Classifier
    made: Mapping[str, Method]

    def said(self, state: AdaptState, batch: Batch) -> Array:
        """An evaluation of the chosen one, whose variables are the state's."""

        def source() -> Array:
            return self.classifier.apply(state.variables, batch.wave, mode=EVAL)[0].logits

        def other(method: Method, its: AdaptState) -> Callable[[], Array]:
            return lambda: method.predict(its._replace(variables=state.variables), batch)

        pairs = zip(self.made.values(), state.memory.states, strict=True)
        return jax.lax.switch(state.memory.chosen, [source, *(other(*pair) for pair in pairs)])

    def variables(self, kept: AutoMemory, chosen: Array) -> Variables:
        """Those of the chosen one."""
        every = [kept.source, *(state.variables for state in kept.states)]
        return jax.lax.switch(chosen, [lambda one=one: one for one in every])

    def observe(self, state: AdaptState, batch: Batch) -> Mapping[str, Any]:
        """What each method that looks at the whole set looks at."""
        found = {}
        for (name, method), its in zip(self.made.items(), state.memory.states, strict=True):
            if method.begin_epoch is not None:
                found[name] = (method.observe or method.predict)(its, batch)
        return found

    def begin_epoch(self, state: AdaptState, observed: Mapping[str, Any], key: PRNGKeyArray) -> AdaptState:
        """The methods' own, each with its share of the key."""
        states = [
            its if method.begin_epoch is None else method.begin_epoch(its, observed[name], jax.random.fold_in(key, i))
            for i, ((name, method), its) in enumerate(zip(self.made.items(), state.memory.states, strict=True))
        ]
        return state._replace(memory=state.memory._replace(states=tuple(states)))


@declares(
    profiles={name: {"profile": name} for name in names.PROFILES},
    contract_options={"candidates": "shot", "leave": False},
    because="an untrained net gains no information by adapting, and one method that looks at the set stands for three",
)
def auto(
    classifier: Classifier,
    *,
    candidates: str = SEPARATOR.join(CANDIDATES),
    leave: bool = True,
    window: int = 300,
    profile: str = "corrected",
    axis_name: str | None = None,
) -> Method:
    """Adapts by several methods at once and says what the most informative one says, or what the source model says.

    For each candidate and the source: `I = H(mean p) - mean H(p)` over the probabilities of the last `window` clips or
    so, as a share of ln C. The candidate with the largest is chosen at each step, and none where it grew less than
    `classify`'s advice asks for (`tta.advice`: 4 points, or 10 where the source is 75 % sure), where confidence fell by
    more than 7 points, or before 30 clips. No label is used. A step's prediction is that of the chosen one, made as
    that method makes its own; `predict` and the state's variables are the chosen one's. It costs what the candidates
    cost together, and their states.

    Args:
      classifier: the network.
      candidates: methods with + between, with the options of `profile`; the default is the board's first three.
      leave: whether the source may be chosen.
      window: clips that the information is of, about: one that lies so many back counts 1/e.
      profile: of the candidates' options, "reference" or "corrected".
      axis_name: the mapped axis over which the batch is spread.

    Raises:
      BadInput: no or unknown candidates, or what one of them refuses.

    Ours. Source of the criterion: Bridle et al., NIPS 1991; Hu et al., ICML 2017, arXiv 1702.08720 (`tta.selection`).
    """
    check_number("auto: window", window, 1, above=True)
    registry.check("profile of method auto", profile, names.PROFILES)
    made = {
        name: methods.make(name, classifier, methods.default_options(name, profile), axis_name)
        for name in _named(candidates)
    }
    side = _Side(classifier, made)

    def init(variables: Variables, info: RunInfo) -> AdaptState:
        copy: Callable[[Any], Any] = lambda tree: jax.tree.map(jnp.array, tree)  # noqa: E731
        states = []
        for name, method in made.items():
            methods.check_needs(name, method, variables, info)
            states.append(copy(method.init(variables, info)))
        size = len(made) + 1
        zeros = jnp.zeros(size, jnp.float32)
        tally = Tally(jnp.zeros((size, info.classes), jnp.float32), zeros, jnp.array(zeros), jnp.zeros((), jnp.float32))
        nothing = jnp.zeros((), jnp.int32)
        kept = AutoMemory(copy(variables), tuple(states), tally, nothing, jnp.array(nothing))
        return AdaptState(variables, (), kept, jnp.array(nothing))

    def predict(state: AdaptState, batch: Batch) -> Array:
        return side.said(state, batch)

    def step(state: AdaptState, batch: Batch, key: PRNGKeyArray) -> tuple[AdaptState, Prediction]:
        kept = state.memory
        before = classifier.apply(kept.source, batch.wave, mode=EVAL)[0].logits
        states, said = [], [before]
        for i, (method, its) in enumerate(zip(made.values(), kept.states, strict=True)):
            its, prediction = method.step(its, batch, jax.random.fold_in(key, i))
            states.append(its)
            said.append(prediction.logits)
        logits = jnp.stack(said)
        tally = kept.tally.added(logits, batch, window, axis_name)
        seen = kept.seen + total((batch.weights > 0).sum(dtype=jnp.int32), axis_name)
        chosen = choice(tally, seen, leave)
        kept = AutoMemory(kept.source, tuple(states), tally, seen, chosen)
        information = tally.information()
        terms = {
            **{f"{CHOSE}{name}": (chosen == i).astype(jnp.float32) for i, name in enumerate((SOURCE, *made))},
            "information": information[chosen],
            "growth": information[chosen] - information[0],
        }
        state = AdaptState(side.variables(kept, chosen), (), kept, state.step + 1)
        return state, Prediction(logits[chosen], terms)

    looks = any(method.begin_epoch is not None for method in made.values())
    passes = tuple(sum(pair) for pair in zip((1, 0), *(method.passes for method in made.values()), strict=True))
    dearest = max((Predicts(), *(method.predicts for method in made.values())), key=lambda one: one[0] + 2 * one[1])
    return Method(
        init,
        step,
        predict,
        adapts="all",
        predicts=dearest,
        passes=passes,
        begin_epoch=side.begin_epoch if looks else None,
        observe=side.observe if looks else None,
        needs=tuple(dict.fromkeys(need for method in made.values() for need in method.needs)),
    )
