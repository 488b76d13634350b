"""Classifiers: networks as pure functions over a tree of variables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol, runtime_checkable

from jaxtyping import Array, Float

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
      aux: what those of an auxiliary head do (None: as `norm`, but its running statistics stay: a pass for the classes
        is none for that head, and need not compute it).
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


@runtime_checkable
class Tap(Protocol):
    """What later learning reads of the network, evaluated as in a prediction: pure, row by row.

    `features` is the front end's output, `what` one of "embedding", (batch, width), the input of the last linear layer;
    "layers", (batch, depth, width), of every block the mean of its normed tokens; "tokens", (batch, tokens, width), the
    encoder's tokens before its last norm. Raises `BadInput` for a network that has none of these.
    """

    def __call__(self, variables: Variables, features: Array, what: str, /) -> Array: ...


class Classifier(NamedTuple):
    """A network as pure functions over a variables tree.

    Attributes:
      init: `(key, wave) -> variables`.
      apply: `(variables, wave, *, mode, weights=None, rngs=None, axis_name=None) -> (Outputs, batch_stats)`.
      features: `wave -> features`, the front end alone (log-mel, fbank, or the normalised wave itself).
      apply_features: as `apply`, from the front end's output.
      head: `variables -> Linear`.
      config: the `ClassifierConfig` that made it and that travels with its checkpoints.
      tap: `(variables, features, what) -> array`, what learners read; None for classifiers made without one.
    """

    init: ClassifierInit
    apply: Apply
    features: Features
    apply_features: Apply
    head: Head
    config: Any
    tap: Tap | None = None
