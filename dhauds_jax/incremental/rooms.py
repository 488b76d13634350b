"""A learner with all that it has learnt, as one record: taught, cleared of a class, joined with another, grown.

A learner's state has room for so many classes, sessions and clips, and its shapes never change: one compilation serves
all sessions. What was read of the clips is kept beside it, so that leaving one out can be worked out at any time, and
so that a full room can be left for one twice as large (all sessions are learnt again there).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from dhauds_jax.errors import BadInput
from dhauds_jax.types import Learner, LearnerInfo, LearnerState, Shots, Variables

CLASSES, SESSIONS, ROWS = 1000, 20, 32
"""Room of a new learner."""

EXEMPLAR_CLASSES = 64
"""Classes that there is room for where each keeps a clip's tokens: 45 MB with AST base, at 1,000 classes 707."""

KEYS = 2**31 - 1
"""Folded into the key of a learner's seed for the keys of its sessions."""

FREE = ""
"""The name of a place in the room that no class has."""


class Rows(NamedTuple):
    """What was learnt, window by window, sessions in their order.

    Attributes:
      inputs: (rows, ...) what the learner reads.
      labels: (rows,) places in the room.
      weights: (rows,) 1, or 0 for a silent window, which is not learnt.
      clip: (rows,) numbers of clips.
      session: (rows,) from 0.
    """

    inputs: Float[np.ndarray, "rows ..."]
    labels: Int[np.ndarray, " rows"]
    weights: Float[np.ndarray, " rows"]
    clip: Int[np.ndarray, " rows"]
    session: Int[np.ndarray, " rows"]


class Clip(NamedTuple):
    """A clip that was learnt: its name, and a digest of its samples ("" for a row of a network's last layer)."""

    name: str
    digest: str


@dataclass(frozen=True, eq=False)
class Learned:
    """A learner and what it knows.

    Attributes:
      name, options, head: of the learner, all options with their values, and which head labels recordings.
      seed: of its keys.
      learner: its compiled functions (`precision.compiled`).
      variables: of the network that it reads.
      info: its room.
      classes: the name at each place of the room, `FREE` where there is none, as far as there are some.
      state: what outlives a session.
      rows: what it has learnt.
      clips: by their numbers.
    """

    name: str
    options: Mapping[str, Any]
    head: str
    seed: int
    learner: Learner
    variables: Variables
    info: LearnerInfo
    classes: tuple[str, ...]
    state: LearnerState
    rows: Rows
    clips: tuple[Clip, ...]

    @property
    def known(self) -> tuple[str, ...]:
        """Names of the classes, in the order of their places."""
        return tuple(name for name in self.classes if name != FREE)

    @property
    def places(self) -> Int[np.ndarray, " classes"]:
        """The place of each of the `known`."""
        return np.array([place for place, name in enumerate(self.classes) if name != FREE], np.int64)

    @property
    def sessions(self) -> int:
        """How many there were."""
        return int(self.rows.session.max()) + 1 if len(self.rows.session) else 0

    @property
    def taken(self) -> int:
        """Sessions for which the state has used its room up."""
        return max(self.sessions, int(self.state.session))

    @property
    def key(self) -> Array:
        """Of its seed."""
        return jax.random.key(self.seed)

    def clips_of(self, name: str) -> int:
        """How many clips of a class were learnt, rows of a last layer not counted."""
        mine = np.unique(self.rows.clip[self.rows.labels == self.classes.index(name)])
        return sum(bool(self.clips[clip].digest) for clip in mine)


def begun(
    name: str,
    options: Mapping[str, Any],
    head: str,
    learner: Learner,
    variables: Variables,
    shape: tuple[int, ...],
    **about: int,
) -> Learned:
    """A learner that knows nothing yet; `about` are `seed`, `memory`, `clip_bytes` and sizes of the room.

    Raises:
      BadInput: what the learner's `init` refuses.
    """
    info = LearnerInfo(
        about.get("max_classes", EXEMPLAR_CLASSES if "exemplars" in learner.needs else CLASSES),
        about.get("max_sessions", SESSIONS),
        about.get("max_rows", ROWS),
        tuple(shape),
        about.get("memory", 0),
        about.get("clip_bytes", 0),
    )
    nothing = Rows(np.zeros((0, *shape), np.float32), *_numbers(0))
    seed = about.get("seed", 0)
    state = learner.init(variables, info, jax.random.key(seed))
    return Learned(name, options, head, seed, learner, variables, info, (), state, nothing, ())


def _numbers(rows: int) -> tuple[np.ndarray, ...]:
    kinds = (np.int32, np.float32, np.int32, np.int32)
    return tuple(np.zeros(rows, kind) for kind in kinds)


def with_room(learned: Learned, classes: int, rows: int, sessions: int) -> tuple[Learned, str]:
    """The same in a room that is large enough, each size doubled until it is; and a sentence, "" where it was.

    Args:
      learned: what is known.
      classes, rows, sessions: for how much there has to be room; rows are those of one session.
    """
    wanted = {"max_classes": classes, "max_rows": rows, "max_sessions": sessions}
    return moved(learned, {name: doubled(getattr(learned.info, name), least) for name, least in wanted.items()})


def moved(learned: Learned, sizes: Mapping[str, int]) -> tuple[Learned, str]:
    """The same in a room of these sizes, learnt again where they are others."""
    info = learned.info
    larger = {name: size for name, size in sizes.items() if size != getattr(info, name)}
    if not larger:
        return learned, ""
    roomier = replace(learned, info=info._replace(**larger))
    what = {"max_classes": "classes", "max_sessions": "sessions", "max_rows": "clips at once"}
    told = ", ".join(f"{larger[name]:,} {called}" for name, called in what.items() if name in larger)
    said = f"the room was full: it is now for {told}, and is compiled once more"
    return replace(roomier, state=relearnt(roomier)), said


def doubled(size: int, least: int) -> int:
    """The size times the power of two that makes it at least `least`."""
    while size < least:
        size *= 2
    return size


def taught(
    learned: Learned,
    inputs: Float[np.ndarray, "rows ..."],
    names: Sequence[str],
    weights: Float[np.ndarray, " rows"],
    owner: Int[np.ndarray, " rows"],
    clips: Sequence[Clip],
) -> tuple[Learned, str]:
    """With one session more.

    Args:
      learned: what is known.
      inputs: (rows, ...) what the learner reads of each window.
      names: class of each row; new ones are given the first free places.
      weights: (rows,) 1, or 0 for a window that is not learnt.
      owner: (rows,) position of each row's clip in `clips`.
      clips: of this session.

    Returns:
      The learner after it, and a sentence where its room had to grow ("": it had not).
    """
    classes = placed(learned.classes, names)
    number = learned.sessions
    learned, grew = with_room(learned, len(classes), len(names), learned.taken + 1)
    said = grew if number else ""  # a first session chooses its room
    labels = np.array([classes.index(name) for name in names], np.int32)
    session = Rows(
        np.asarray(inputs, np.float32),
        labels,
        np.asarray(weights, np.float32),
        np.asarray(owner, np.int32) + len(learned.clips),
        np.full(len(names), number, np.int32),
    )
    rows = Rows(*(np.concatenate(pair) for pair in zip(learned.rows, session, strict=True)))
    after = replace(learned, classes=classes, rows=rows, clips=(*learned.clips, *clips))
    return replace(after, state=_session(after, learned.state, number)), said


def placed(classes: Sequence[str], names: Sequence[str]) -> tuple[str, ...]:
    """The places of the room with new names in the first free ones, in their order."""
    found = list(classes)
    for name in dict.fromkeys(names):
        if name not in found:
            free = found.index(FREE) if FREE in found else len(found)
            found[free : free + 1] = [name]
    return tuple(found)


def _session(learned: Learned, state: LearnerState, number: int, kept: np.ndarray | None = None) -> LearnerState:
    rows = learned.rows
    mine = rows.session == number
    weights = rows.weights if kept is None else rows.weights * kept
    new = ~np.isin(rows.labels[mine], rows.labels[rows.session < number])
    # Not the numbers that learners fold into the key of `init`; and a key of its own for each function.
    learning, remembering = jax.random.split(jax.random.fold_in(jax.random.fold_in(learned.key, KEYS), number))
    size = learned.info.max_rows
    shots = Shots(
        padded(rows.inputs[mine], size),
        padded(rows.labels[mine], size),
        padded(weights[mine], size),
        padded(new.astype(np.float32), size),
        padded(rows.clip[mine], size, -1),
    )
    state, _ = learned.learner.learn(state, shots, learning)
    if learned.learner.remember is not None and learned.info.memory:
        state = learned.learner.remember(state, shots, remembering)
    return state


def padded(values: np.ndarray, size: int, fill: int = 0) -> Array:
    """Rows up to a fixed number, the rest `fill`, on the device."""
    out = np.full((size, *values.shape[1:]), fill, values.dtype)
    out[: len(values)] = values
    return jnp.asarray(out)


def relearnt(learned: Learned, kept: Float[np.ndarray, " rows"] | None = None) -> LearnerState:
    """The state after all sessions anew, without the rows whose `kept` is 0."""
    state = learned.learner.init(learned.variables, learned.info, learned.key)
    for number in np.unique(learned.rows.session).tolist():
        state = _session(learned, state, number, kept)
    return state


def without(learned: Learned, name: str) -> Learned:
    """As if a class had never been learnt; a state that has not kept what that takes is learnt again without it.

    Raises:
      BadInput: the learner cannot do that exactly.
    """
    if learned.learner.forget is None:
        raise BadInput(
            f"learner {learned.name}: cannot forget a class exactly, expected one that can (docs/incremental.md lists "
            "them), or a checkpoint that is learnt anew without it"
        )
    place = learned.classes.index(name)
    stays = learned.rows.labels != place
    rows = Rows(*(values[stays] for values in learned.rows))
    numbers = np.unique(rows.clip)
    rows = rows._replace(clip=np.searchsorted(numbers, rows.clip).astype(np.int32))
    classes = tuple(FREE if one == name else one for one in learned.classes)
    after = replace(learned, classes=classes, rows=rows, clips=tuple(learned.clips[k] for k in numbers))
    try:
        return replace(after, state=learned.learner.forget(learned.state, jnp.int32(place)))
    except BadInput:  # sums of a regression with more clips than features
        return replace(after, state=relearnt(after))


def class_of_clips(learned: Learned) -> list[str]:
    """The class of each clip, by its number."""
    numbers, rows = np.unique(learned.rows.clip, return_index=True)
    found = dict(zip(numbers.tolist(), learned.rows.labels[rows].tolist(), strict=True))
    return [learned.classes[found[number]] for number in range(len(learned.clips))]
