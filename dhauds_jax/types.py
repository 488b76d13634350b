"""The contracts that hold the package together: classifiers, adaptation methods and what passes between them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol, runtime_checkable

from jaxtyping import Array, Float, Int

Variables = Mapping[str, Any]
"""A linen variables tree: `{"params": ..., "batch_stats": ...}` (`batch_stats` may be empty)."""


class Running(NamedTuple):
    """Running statistics of one BatchNorm layer."""

    mean: Float[Array, " channels"]
    var: Float[Array, " channels"]


@runtime_checkable
class Normaliser(Protocol):
    """How a BatchNorm layer normalises: a pure function, chosen per forward pass.

    `x` is (..., channels), its first axis the batch; `weights` is 1 for real rows and 0 for padded ones (None: all
    real); `axis_name` names the mapped axis over which the batch is spread, if any. Returns the normalised `x` (before
    the affine part) and the running statistics to keep. `dhauds_jax.nets.normalisers` has the usual ones.
    """

    def __call__(
        self, x: Array, running: Running, epsilon: float, weights: Array | None, axis_name: str | None
    ) -> tuple[Array, Running]: ...


class Mode(NamedTuple):
    """The static half of a forward pass.

    Attributes:
      dropout: whether dropout, LayerDrop and token dropout are active (they then need `rngs={"dropout": key}`).
      norm: what BatchNorm layers do, a `Normaliser`.
      aux: what those of an auxiliary head do (None: as `norm`).
    """

    dropout: bool
    norm: Normaliser
    aux: Normaliser | None = None


class Outputs(NamedTuple):
    """What a classifier returns.

    Attributes:
      logits: (batch, classes), before any softmax.
      embedding: (batch, features), the input of the last linear layer.
      frames: (batch, tokens, width), the encoder's tokens.
      aux: (batch, auxiliary classes), the logits of the auxiliary head, for nets that have one (`params` then has an
        entry "aux"; None: they have not).
    """

    logits: Float[Array, "batch classes"]
    embedding: Float[Array, "batch features"]
    frames: Float[Array, "batch tokens width"]
    aux: Float[Array, "batch aux_classes"] | None = None


class Linear(NamedTuple):
    """The effective last linear layer: `logits = embedding @ kernel + bias` (weight norm already applied)."""

    kernel: Float[Array, "features classes"]
    bias: Float[Array, " classes"]


@runtime_checkable
class ClassifierInit(Protocol):
    """Random variables from a key; `wave`, (batch, time) at the classifier's rate, says what length they are for."""

    def __call__(self, key: Array, wave: Array, /) -> Variables: ...


@runtime_checkable
class Apply(Protocol):
    """A forward pass: what the network says of a batch, and its BatchNorm statistics after the pass.

    `wave` is (batch, time) at `config.sample_rate` (or the front end's output, for `apply_features`); `mode` says what
    dropout and BatchNorm do; `weights` (batch,) are 1 for real rows and 0 for padded ones (None: all real), so that
    those touch no statistic; `rngs={"dropout": key}` where dropout is on; `axis_name` names the mapped axis over which
    the batch is spread, if any.
    """

    def __call__(
        self,
        variables: Variables,
        wave: Array,
        /,
        *,
        mode: Mode,
        weights: Array | None = None,
        rngs: Mapping[str, Array] | None = None,
        axis_name: str | None = None,
    ) -> tuple[Outputs, Mapping[str, Any]]: ...


@runtime_checkable
class Features(Protocol):
    """The front end alone: (batch, time) waves to what the network takes, row by row and without parameters."""

    def __call__(self, wave: Array, /) -> Array: ...


@runtime_checkable
class Head(Protocol):
    """The effective last linear layer, weight norm and the like already applied."""

    def __call__(self, variables: Variables, /) -> Linear: ...


class Classifier(NamedTuple):
    """A network as pure functions over a variables tree.

    Attributes:
      init: `(key, wave) -> variables`.
      apply: `(variables, wave, *, mode, weights=None, rngs=None, axis_name=None) -> (Outputs, batch_stats)`.
      features: `wave -> features`, the front end alone (log-mel, fbank, or the normalised wave itself).
      apply_features: as `apply`, from the front end's output.
      head: `variables -> Linear`.
      config: the `ClassifierConfig` that made it and that travels with its checkpoints.
    """

    init: ClassifierInit
    apply: Apply
    features: Features
    apply_features: Apply
    head: Head
    config: Any


class Batch(NamedTuple):
    """What an adaptation method may see of a batch: never a label.

    Attributes:
      wave: (batch, time) waveforms; for nets fed with cached features, those.
      weights: (batch,) 1 for a real row, 0 for a padded one.
      index: (batch,) position of each clip in the set (padded rows: any valid position).
      slot: (batch,) 1 for a row that the batch size counts, 0 for one that was added so that all devices get equally
        many (None: all count).
    """

    wave: Array
    weights: Float[Array, " batch"]
    index: Int[Array, " batch"]
    slot: Float[Array, " batch"] | None = None


class Prediction(NamedTuple):
    """What one step of a method says about its batch.

    Attributes:
      logits: (batch, classes), taken before or after the update as the method's docstring says.
      losses: scalars by name; a method that minimises something has at least `total`.
    """

    logits: Float[Array, "batch classes"]
    losses: Mapping[str, Float[Array, ""]]


class AdaptState(NamedTuple):
    """Everything that changes during adaptation, as one pytree.

    Attributes:
      variables: the classifier's variables as they are now.
      opt_state: the optimiser's state (of the moving leaves alone), or ().
      memory: a method's own memory (banks, teachers, centroids), or ().
      step: updates done so far, an int32 scalar.
    """

    variables: Variables
    opt_state: Any
    memory: Any
    step: Int[Array, ""]


class SourceData(NamedTuple):
    """Labelled clips of the source, for methods that need some: (clips, time) waves, (clips,) class indices."""

    waves: Float[Array, "clips time"]
    labels: Int[Array, " clips"]


class RunInfo(NamedTuple):
    """What a method may know of a run before it starts.

    Attributes:
      steps_per_epoch: updates in one pass over the set.
      clips: clips in the set.
      classes: classes of the classifier.
      source: labelled source clips, only for methods whose `needs` say "source_data".
      batch_size: clips in an update.
    """

    steps_per_epoch: int
    clips: int
    classes: int
    source: SourceData | None = None
    batch_size: int = 0


@runtime_checkable
class Init(Protocol):
    """The state before the first update, from the source model's variables and what may be known of the run.

    Not jitted; raises `BadInput` where the network or the run lacks what the method needs.
    """

    def __call__(self, variables: Variables, info: RunInfo, /) -> AdaptState: ...


@runtime_checkable
class Step(Protocol):
    """One batch: predict it and adapt to it, in the order that the method's docstring says.

    Pure, jit-able and scannable: the new state has the old one's structure, shapes and types; rows of weight 0 touch
    neither state nor losses; `key` is all its randomness. Logits are (batch, classes), losses scalars.
    """

    def __call__(self, state: AdaptState, batch: Batch, key: Array, /) -> tuple[AdaptState, Prediction]: ...


@runtime_checkable
class Predict(Protocol):
    """Logits (batch, classes) of an evaluation as the method means it; nothing changes, nothing is random."""

    def __call__(self, state: AdaptState, batch: Batch, /) -> Array: ...


@runtime_checkable
class Observe(Protocol):
    """What `BeginEpoch` looks at of each clip: a pytree of (batch, ...) arrays. Nothing changes."""

    def __call__(self, state: AdaptState, batch: Batch, /) -> Any: ...


@runtime_checkable
class BeginEpoch(Protocol):
    """The state after a look at the whole set: `observed` is what `Observe` gave for every clip, in the set's order.

    Called before each epoch of the protocols that have epochs; one-pass protocols never call it, so `step` must do
    without.
    """

    def __call__(self, state: AdaptState, observed: Any, key: Array, /) -> AdaptState: ...


class Method(NamedTuple):
    """A test-time adaptation method as pure functions, like an optax transform.

    Its factory, `(classifier, *, options..., axis_name=None) -> Method`, is found by its name (`names.METHODS`, or
    "my_package.my_module:factory") and says the rest of what others need to know of it in its own file: its options are
    its keyword arguments with a number, a text or a truth value as their default, each with a line in its docstring;
    its profiles, and the options that the contract table gives it, stand in its decorator
    (`tta.declared.declares`). What a network or a run must have for it stands in `adapts` and `needs`.

    Attributes:
      init: `(variables, info) -> AdaptState`.
      step: `(state, batch, key) -> (state, Prediction)`.
      predict: `(state, batch) -> logits`.
      adapts: which leaves of `variables["params"]` move: a group's name (`masks.GROUPS`; "none" for methods without
        gradients) or a rule of the method's own, `path -> bool` over paths such as ("encoder", "block0", "kernel").
      passes: forward passes and backward passes of one `step` per clip, for the cost column.
      begin_epoch: `(state, observed, key) -> state`, for methods that look at the whole set first.
      needs: subset of {"batch_norm", "source_data", "aux_head", "input_norm"} (`methods.NEEDS`).
      observe: `(state, batch) -> pytree of (batch, ...)`, what `begin_epoch` looks at (None: `predict`).
    """

    init: Init
    step: Step
    predict: Predict
    adapts: str | Callable[[tuple[str, ...]], bool]
    passes: tuple[int, int]
    begin_epoch: BeginEpoch | None = None
    needs: tuple[str, ...] = ()
    observe: Observe | None = None


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
