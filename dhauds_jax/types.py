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


class Classifier(NamedTuple):
    """A network as pure functions over a variables tree.

    Attributes:
      init: `(key, wave) -> variables`.
      apply: `(variables, wave, *, mode, weights=None, rngs=None, axis_name=None) -> (Outputs, batch_stats)`; `wave` is
        Float[batch time] at `config.sample_rate`.
      features: `wave -> features`, the front end alone (log-mel, fbank, or the normalised wave itself).
      apply_features: as `apply`, from the front end's output.
      head: `variables -> Linear`, the effective last linear layer.
      config: the `ClassifierConfig` that made it and that travels with its checkpoints.
    """

    init: Callable[..., Variables]
    apply: Callable[..., tuple[Outputs, Mapping[str, Any]]]
    features: Callable[[Array], Array]
    apply_features: Callable[..., tuple[Outputs, Mapping[str, Any]]]
    head: Callable[[Variables], Linear]
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


class Method(NamedTuple):
    """A test-time adaptation method as pure functions, like an optax transform.

    Attributes:
      init: `(variables, info) -> AdaptState`.
      step: `(state, batch, key) -> (state, Prediction)`, jit-able and scannable.
      predict: `(state, batch) -> logits`, evaluation as the method means it, nothing changes.
      adapts: the group of leaves that moves (`dhauds_jax.nets.masks`), "none" for methods without gradients.
      passes: forward passes and backward passes of one `step` per clip, for the cost column.
      begin_epoch: `(state, observed, key) -> state`, for methods that look at the whole set first; `observed` is what
        `observe` gave for every clip, in the set's order. Protocols with one pass never call it.
      observe: `(state, batch) -> pytree of (batch, ...)`, what `begin_epoch` looks at (None: `predict`).
      needs: subset of {"batch_norm", "source_data", "aux_head", "set_pass"}.
    """

    init: Callable[[Variables, RunInfo], AdaptState]
    step: Callable[[AdaptState, Batch, Array], tuple[AdaptState, Prediction]]
    predict: Callable[[AdaptState, Batch], Array]
    adapts: str
    passes: tuple[int, int]
    begin_epoch: Callable[..., AdaptState] | None = None
    needs: tuple[str, ...] = ()
    observe: Callable[[AdaptState, Batch], Any] | None = None
