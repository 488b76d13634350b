"""Classification without training: audio-text towers, scorers of embeddings, and what counts as unknown."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, runtime_checkable

from jaxtyping import Array, Float, Int

from dhauds_jax.types.classifier import Features, Variables


@runtime_checkable
class Layout(Protocol):
    """A recording at the model's rate, laid out as the audio tower's rows; on the host.

    `recording` is (time,), `rule` one of `names.LONG_RULES` with its settings, `name` the recording's own, from which
    random rules draw. Gives what `AudioText.features` takes,
    (rows, 1, samples) waves, or, where rows have more than one channel, finished features (rows, 4, frames, mels), and
    for each row whether its recording was longer than the tower's clip (its other channels then count).
    """

    def __call__(self, recording: Array, rule: Any, /, name: str = "") -> tuple[Array, Array]: ...


class AudioText(NamedTuple):
    """A pair of towers that put sounds and sentences into one space, as pure functions.

    Attributes:
      init: `key -> {"params": {"audio", "text", "scale"}, "batch_stats": {"audio"}}`.
      layout: `(recording, rule, name="") -> (waves or features, longer)`, on the host (`Layout`).
      features: (batch, samples) waves -> (batch, frames, mels), row by row and without parameters.
      audio: `(variables, features (batch, channels, frames, mels), longer (batch,)) -> (batch, width)`, the projection
        before the L2 norm; channels 1, or 4 of which the last three count in rows that are `longer`.
      text: `(variables, ids (batch, tokens), mask (batch, tokens)) -> (batch, width)`, before the L2 norm.
      scale: `variables -> ()`, what cosines are multiplied by: exp of the learned logarithm.
      config: the `AudioTextConfig` that made it and that travels with its checkpoints.
    """

    init: Callable[[Array], Variables]
    layout: Layout
    features: Features
    audio: Callable[[Variables, Array, Array], Array]
    text: Callable[[Variables, Array, Array], Array]
    scale: Callable[[Variables], Array]
    config: Any


class Background(NamedTuple):
    """What clips were recorded over, in the space of the embeddings.

    Attributes:
      mean: (width,) for all clips, or (clips, width), a row for each; a mean of unit vectors, itself shorter.
      kind: "text", "audio", "quiet" or "oracle" (the very recording that was mixed in).
      vectors: (backgrounds, width) the single unit vectors, for thresholds; None where there are none.
    """

    mean: Float[Array, " width"] | Float[Array, "clips width"]
    kind: str
    vectors: Float[Array, "backgrounds width"] | None = None


class ScorerInfo(NamedTuple):
    """What a scorer may know beside prototypes and background.

    Attributes:
      scale: what cosines are multiplied by where a scorer needs probabilities.
      text: (classes, width) unit text anchors, for scorers that use them beside other prototypes.
      noisy_text: (phrases, classes, width) unit vectors of every class with every noise phrase ("rain with wind").
      shots: labelled unit vectors (shots, width) with their class indices (shots,).
      clips: clips in the set, which scorers that use the set are given as one step over all rows.
    """

    scale: float
    text: Float[Array, "classes width"] | None = None
    noisy_text: Float[Array, "phrases classes width"] | None = None
    shots: tuple[Float[Array, "shots width"], Int[Array, " shots"]] | None = None
    clips: int = 0


@runtime_checkable
class ScorerInit(Protocol):
    """The state before the first clip, a pytree; raises `BadInput` where what the scorer `uses` is not there.

    Pure and jit-able in the arrays that it is given.
    """

    def __call__(
        self, prototypes: Float[Array, "classes width"], background: Background | None, info: ScorerInfo, /
    ) -> Any: ...


@runtime_checkable
class ScorerStep(Protocol):
    """Scores of some clips: `(state, vectors (rows, width), weights (rows,)) -> (state, scores (rows, classes))`.

    Pure, jit-able and scannable. Scores are cosines (larger: more likely), before any scale; rows of weight 0 are
    padding: whatever they hold, it changes no other row and no state. Where a background has a row for each clip, the
    rows of all steps so far, padded ones included, count through it.
    """

    def __call__(
        self, state: Any, vectors: Float[Array, "rows width"], weights: Float[Array, " rows"], /
    ) -> tuple[Any, Float[Array, "rows classes"]]: ...


class Scorer(NamedTuple):
    """A classifier of unit embeddings without training, like an optax transform; found by name in `names.SCORERS`.

    Its factory is `(*, options...) -> Scorer`; options are keyword arguments with a default and a line in the
    docstring. A scorer of the form `(a - offset) . kernel` says so in its last two fields: it can then stand before
    others in a chain, and become the last layer of a classifier (`zeroshot.scorers.linear_head`).

    Attributes:
      init: `(prototypes, background, info) -> state`, one pytree.
      step: `(state, vectors, weights) -> (state, scores)`.
      uses: what it looks at, which every record says: a subset of "text", "background", "own_background" (a row for
        each clip; `zeroshot.scorers.uses` adds it where the background has them), "set" (the unlabelled clips
        themselves, at once), "past" (those before), "train_labels".
      move: `(state, vectors, weights) -> (state, moved vectors)`, the embeddings that `step` compares with the
        prototypes; None for a scorer that moves none.
      linear: `state -> (offset (width,), kernel (width, classes))`, not jitted; raises `BadInput` in a state that has
        no one offset for all clips. None for a scorer that is not linear.
      turns: whether `move` does more than take an offset off, so that a chain with it is no such form.
    """

    init: ScorerInit
    step: ScorerStep
    uses: tuple[str, ...]
    move: Callable[[Any, Array, Array], tuple[Any, Array]] | None = None
    linear: Callable[[Any], tuple[Array, Array]] | None = None
    turns: bool = False


class Calibration(NamedTuple):
    """How scores become probabilities, and what counts as unknown; in a checkpoint's `extra["calibration"]`.

    Attributes:
      temperature: logits are divided by it.
      chosen_by: how it was chosen, e.g. "none", "checkpoint", "agreement" or "nll".
      score: what is compared with the thresholds, e.g. "max_probability" or "max_score".
      known: up to 1,000 sorted scores of held-out clips of the known classes; None where there are none.
      background: likewise of held-out windows of background alone.
    """

    temperature: float
    chosen_by: str
    score: str
    known: Float[Array, " known"] | None = None
    background: Float[Array, " background"] | None = None
