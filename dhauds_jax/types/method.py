"""Adaptation methods: pure functions over one state, and what passes between them and a protocol."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol, runtime_checkable

from jaxtyping import Array, Float, Int

from dhauds_jax.types.classifier import Variables


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


class Predicts(NamedTuple):
    """What one `predict` costs for each clip of its batch.

    Attributes:
      forward: forward passes.
      backward: backward passes, of methods that adapt to what they predict.
      networks: networks that predict together, each with BatchNorm statistics of its own.
    """

    forward: int = 1
    backward: int = 0
    networks: int = 1


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
      predicts: passes of one `predict` per clip, counted where each clip is predicted by itself over a window.
    """

    init: Init
    step: Step
    predict: Predict
    adapts: str | Callable[[tuple[str, ...]], bool]
    passes: tuple[int, int]
    begin_epoch: BeginEpoch | None = None
    needs: tuple[str, ...] = ()
    observe: Observe | None = None
    predicts: Predicts = Predicts()
