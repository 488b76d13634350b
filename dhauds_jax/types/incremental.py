"""Learning new classes from a few clips, session after session: learners as pure functions over one state."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol, runtime_checkable

from jaxtyping import Array, Float, Int

from dhauds_jax.types.classifier import Variables


class Shots(NamedTuple):
    """The labelled clips of one session, padded to a fixed number of rows.

    Attributes:
      inputs: (rows, ...), of each clip what the learner `reads`.
      labels: (rows,) indices into the room of classes (padded rows: any).
      weights: (rows,) 1 for a clip, 0 for padding, which changes nothing whatever it holds.
      new: (rows,) 1 where the clip's class comes with this session, 0 for a further clip of a class already known.
      clip: (rows,) position of each clip in its set, by which a memory knows it again (padded rows: -1).
    """

    inputs: Any
    labels: Int[Array, " rows"]
    weights: Float[Array, " rows"]
    new: Float[Array, " rows"]
    clip: Int[Array, " rows"]


class LearnerInfo(NamedTuple):
    """All that a learner may know beforehand: room, not the future.

    Attributes:
      max_classes: that it has room for.
      max_sessions: likewise.
      max_rows: clips of a session at most.
      shape: of what it reads of one clip: (width,), (depth, width), (tokens, width) or (samples,).
      memory: clips of each class that it may keep between sessions.
      clip_bytes: what one kept clip counts as, its audio in 16 bits.
    """

    max_classes: int
    max_sessions: int
    max_rows: int
    shape: tuple[int, ...]
    memory: int = 0
    clip_bytes: int = 0

    @property
    def width(self) -> int:
        """Of an embedding."""
        return self.shape[-1]


class LearnerState(NamedTuple):
    """Everything that outlives a session, as one pytree whose shapes never change.

    Attributes:
      params: what gradients or a closed form made, and whatever is drawn once.
      heads: what each head needs to predict.
      memory: statistics, shots or exemplars that are kept.
      seen: (max_classes,) 1 for a class that has been learnt.
      session: sessions learnt so far, an int32 scalar.
    """

    params: Any
    heads: Any
    memory: Any
    seen: Float[Array, " max_classes"]
    session: Int[Array, ""]


class LearnedHead(NamedTuple):
    """A learner's state as the head of a classifier.

    Attributes:
      kind: a key of `names.HEADS`.
      options: the sizes of the head's record but for `inner`, the record of the classifier's own head.
      params: its parameters but for the entry "inner", its classes in the order of the room, all of the room.
    """

    kind: str
    options: Mapping[str, Any]
    params: Mapping[str, Any]


@runtime_checkable
class LearnerInit(Protocol):
    """The state before the first session; not jitted, raises `BadInput` where the network lacks what is read."""

    def __call__(self, variables: Variables, info: LearnerInfo, key: Array, /) -> LearnerState: ...


@runtime_checkable
class Learn(Protocol):
    """One session. Pure and jit-able, of the same shapes in every session; losses are scalars by name."""

    def __call__(
        self, state: LearnerState, shots: Shots, key: Array, /
    ) -> tuple[LearnerState, Mapping[str, Float[Array, ""]]]: ...


@runtime_checkable
class LearnerPredict(Protocol):
    """Logits of each head, (rows, max_classes), -inf for classes not seen; row by row, never by batch."""

    def __call__(self, state: LearnerState, inputs: Any, /) -> Mapping[str, Float[Array, "rows max_classes"]]: ...


class Learner(NamedTuple):
    """A class-incremental learner as pure functions; found by name in `names.LEARNERS`.

    Its factory is `(classifier, *, options...) -> Learner`, `classifier` None where embeddings came without a network;
    options are keyword arguments with a default and a line in the docstring.

    Attributes:
      init: `(variables, info, key) -> state`.
      learn: `(state, shots, key) -> (state, losses)`.
      predict: `(state, inputs) -> {head: logits}`.
      heads: their names, the method's own first.
      reads: what of the network it needs, "embedding", "layers", "tokens" (`Classifier.tap`) or "wave".
      bytes_held: `state -> int`, what of the state has to be kept between sessions, in bytes; on the host.
      prepare: `(variables, state, shots, key) -> (variables, state)`: training of the encoder in session 0, `shots`
        with waves as inputs; what is read is read anew afterwards. None: the encoder stays.
      remember: `(state, pool, key) -> state`: chooses `info.memory` clips of each class of the pool to keep, called
        after a session with its shots (or, in profile reference, with all training clips). None: it keeps none.
      forget: `(state, class) -> state`, as if the class had never been learnt. None: not exact, and refused.
      merge: `(state, other, labels) -> state`, as if one learner had learnt what both have; `labels` (max_classes,)
        says which class of the first each of the other is; both began with one key. None: not exact, and refused.
      held_out: `(state, shots) -> {head: logits (rows, max_classes)}`: of clips that the state has learnt, each as if
        it alone had been left out, by a closed form. None: there is none.
      as_head: `(state, head) -> LearnedHead`. None: it cannot be the head of a classifier.
      part: `(state, inputs, number) -> (rows, features)`: of what is predicted from the part that session number - 1
        added (0: what was there before all), which stays as it is: who predicts the same clips after every session
        keeps it. None: nothing of a prediction stays.
      predict_parts: `(state, parts (rows, 1 + max_sessions, features)) -> {head: logits}`: what `predict` says of the
        inputs that gave these parts, zeros where no session has been. None: as `part`.
      needs: subset of {"exemplars", "base_training"}.
      double: whether its closed form is computed in float64 (`incremental.precision`).
    """

    init: LearnerInit
    learn: Learn
    predict: LearnerPredict
    heads: tuple[str, ...]
    reads: str
    bytes_held: Callable[[LearnerState], int]
    prepare: Callable[..., tuple[Variables, LearnerState]] | None = None
    remember: Callable[[LearnerState, Shots, Array], LearnerState] | None = None
    forget: Callable[[LearnerState, Int[Array, ""]], LearnerState] | None = None
    merge: Callable[[LearnerState, LearnerState, Int[Array, " max_classes"]], LearnerState] | None = None
    held_out: Callable[[LearnerState, Shots], Mapping[str, Float[Array, "rows max_classes"]]] | None = None
    as_head: Callable[[LearnerState, str], LearnedHead] | None = None
    part: Callable[[LearnerState, Array, Int[Array, ""]], Float[Array, "rows features"]] | None = None
    predict_parts: Callable[[LearnerState, Array], Mapping[str, Float[Array, "rows max_classes"]]] | None = None
    needs: tuple[str, ...] = ()
    double: bool = False
