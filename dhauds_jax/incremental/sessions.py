"""Which classes come in which session, from which clips they are learnt and on which they are tested."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int

from dhauds_jax.errors import BadInput
from dhauds_jax.names import PROFILES
from dhauds_jax.registry import nearest
from dhauds_jax.wording import counted, plural

ORDERS = ("identity", "random")
"""Classes as the set lists them, or in an order that the seed draws."""

ALL = "all"
"""Of `base_shot`: every clip of the classes of session 0, as the ordinary protocol has it."""


class Clips(NamedTuple):
    """What a plan is made from.

    Attributes:
      labels: (clips,) indices into `classes`.
      classes: their names.
      ids: a name a clip.
      groups: (clips,) speaker, video or recording of each; clips of a group that gave a class's shots do not test that
        class. None where nothing is known, or where the set's splits keep them apart.
      held: (clips,) true for clips that only test; None where tests are what shots leave over.
    """

    labels: Int[np.ndarray, " clips"]
    classes: tuple[str, ...]
    ids: tuple[str, ...]
    groups: tuple[str, ...] | None = None
    held: Bool[np.ndarray, " clips"] | None = None


class Session(NamedTuple):
    """One session.

    Attributes:
      classes: labels of those that come with it, in their order.
      shots: positions of the clips that it is learnt from, class by class.
      tests: positions of the clips that test its classes, rising.
      pool: positions of all clips that may be learnt from, class by class, of which none tests: reference memories
        choose among them.
    """

    classes: tuple[int, ...]
    shots: Int[np.ndarray, " shots"]
    tests: Int[np.ndarray, " tests"]
    pool: Int[np.ndarray, " pool"]


def check_classes(classes: Sequence[str], most: int) -> None:
    """Raises `BadInput` for one class alone, more than `most`, or names that differ by case or Unicode form only."""
    if len(classes) < 2:
        raise BadInput(f"classes: there is {len(classes)} ({', '.join(classes)}), expected at least two to tell apart")
    if len(classes) > most:
        raise BadInput(f"classes: there are {len(classes):,}, expected at most --max_classes={most}; raise it")
    seen: dict[str, str] = {}
    for name in classes:
        like = unicodedata.normalize("NFKC", name).casefold()
        if like in seen:
            raise BadInput(
                f"classes: {seen[like]!r} and {name!r} are one name, or differ by case or Unicode form only, expected "
                "names that can be told apart; rename one, or put their clips together"
            )
        seen[like] = name


def plan(
    clips: Clips,
    *,
    way: int,
    shot: int,
    sessions: int = 0,
    base_way: int = 0,
    base_shot: int | str = 0,
    order: str = "",
    seed: int = 0,
    profile: str = "corrected",
) -> tuple[Session, ...]:
    """The sessions of one seed.

    In profile reference classes come as they are listed and the shots lie at the same positions in every class
    (defect F13 of the published code, its `randperm` replaced by NumPy's). In profile corrected every draw is keyed by
    the seed and the class's name, a clip's by its own as well: one class or clip more changes no other class's clips,
    and the shots of a smaller `shot` are among those of a larger one.

    Args:
      clips: labels, names, and what keeps shots and tests apart.
      way: classes of a session.
      shot: clips of a class.
      sessions: their number, session 0 among them; 0: as many as there are classes for.
      base_way: classes of session 0; 0: `way`.
      base_shot: clips of a class in session 0, or "all"; 0: `shot`.
      order: of `ORDERS`; "": identity in profile reference, random in profile corrected.
      seed: of all draws.
      profile: of `names.PROFILES`.

    Raises:
      BadInput: sessions that need more classes than there are, a class with fewer clips than it needs, or with none to
        be tested on.
    """
    base_way, base_shot = base_way or way, base_shot or shot
    order = order or ("identity" if profile == "reference" else "random")
    _check(way, shot, sessions, base_way, base_shot, order, profile)
    arriving = _arrivals(clips.classes, order, seed)
    sessions = sessions or 1 + (len(arriving) - base_way) // way
    wanted = base_way + (sessions - 1) * way
    if wanted > len(arriving) or sessions < 1:
        raise BadInput(
            f"--sessions={sessions}, --way={way}, --base_way={base_way}: need {max(wanted, base_way)} classes, and "
            f"there {plural(len(arriving), 'is', 'are')} {len(arriving)}; ask for fewer sessions or classes"
        )
    ends = [0, *(base_way + k * way for k in range(sessions))]
    made = []
    for k in range(sessions):
        classes = arriving[ends[k] : ends[k + 1]]
        each = [_of_class(clips, c, base_shot if k == 0 else shot, seed, profile) for c in classes]
        shots, tests, pool = (np.concatenate(parts) for parts in zip(*each, strict=True))
        made.append(Session(tuple(classes), shots, np.sort(tests), pool))
    return tuple(made)


def _check(way: int, shot: int, sessions: int, base_way: int, base_shot: int | str, order: str, profile: str) -> None:
    """Raises `BadInput` for numbers and names that no set would mend."""
    for name, value, least in (
        ("way", way, 1),
        ("shot", shot, 1),
        ("base_way", base_way, 1),
        ("sessions", sessions, 0),
    ):
        if value < least:
            raise BadInput(f"--{name}={value}: expected at least {least}")
    if base_shot != ALL and not (isinstance(base_shot, int) and base_shot > 0):
        raise BadInput(f"--base_shot={base_shot}: expected a number of clips, at least 1, or {ALL}")
    for flag, value, known in (("order", order, ORDERS), ("profile", profile, PROFILES)):
        if value not in known:
            raise BadInput(f"--{flag}={value}: expected {nearest(value, known)}")


def _arrivals(classes: Sequence[str], order: str, seed: int) -> list[int]:
    """Labels in the order in which they come."""
    if order == "identity":
        return list(range(len(classes)))
    return sorted(range(len(classes)), key=lambda c: (_drawn(seed, "order", classes[c]), c))


def _drawn(*key: object) -> bytes:
    """What is drawn for a key, alike on every machine: it is compared with others."""
    return hashlib.sha256("\0".join(map(str, key)).encode("utf-8", "surrogateescape")).digest()


def _of_class(
    clips: Clips, label: int, shot: int | str, seed: int, profile: str
) -> tuple[Int[np.ndarray, " shots"], Int[np.ndarray, " tests"], Int[np.ndarray, " pool"]]:
    """A class's shots in the order of their draw, its tests, and all that may be learnt from."""
    own = np.flatnonzero(clips.labels == label)
    pool = own if clips.held is None else own[~clips.held[own]]
    name, count = clips.classes[label], len(pool)
    if shot != ALL and count < shot:
        raise BadInput(
            f"class {name}: has {counted(count, 'clip')} to learn from, expected at least {shot}; ask for fewer with "
            "--shot (--base_shot), or leave the class out"
        )
    if profile == "reference":
        rows = np.random.default_rng(seed).permutation(count)
    else:
        rows = sorted(range(count), key=lambda k: (_drawn(seed, name, clips.ids[pool[k]]), k))
    shots = pool[np.asarray(rows, int)[: count if shot == ALL else shot]]
    tests = _tests(clips, own, shots)
    if not len(tests) or not len(shots):
        why = "no clip to learn from" if not len(shots) else "no clip left to be tested on"
        apart = " that is of another speaker or recording than its shots" if clips.groups and len(shots) else ""
        raise BadInput(
            f"class {name}: has {counted(len(own), 'clip')} and {why}{apart}, expected at least one; ask for fewer "
            "shots, or leave the class out"
        )
    return shots, tests, np.setdiff1d(pool, tests)


def sharing(plan: Sequence[Session], clips: Clips) -> int:
    """Tests of a group that gave a shot of their class: clips of one speaker or recording on both sides."""
    of = [(int(label), group) for label, group in zip(clips.labels, clips.groups or (), strict=True)]
    taken = {of[k] for one in plan for k in one.shots}
    return sum(of[k] in taken for one in plan for k in one.tests)


def _tests(clips: Clips, own: Int[np.ndarray, " own"], shots: Int[np.ndarray, " shots"]) -> Int[np.ndarray, " tests"]:
    tests = np.setdiff1d(own, shots) if clips.held is None else own[clips.held[own]]
    if clips.groups is None:
        return tests
    taken = {clips.groups[k] for k in shots}
    return np.array([k for k in tests if clips.groups[k] not in taken], int)
