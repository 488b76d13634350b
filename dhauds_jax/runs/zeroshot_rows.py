"""The rows of a zero-shot grid: which combinations make sense, and why the others are left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from dhauds_jax import registry
from dhauds_jax.errors import BadInput, check_number
from dhauds_jax.runs.zeroshot_sets import LabelledSet, clean_of
from dhauds_jax.zeroshot import scorers
from dhauds_jax.zeroshot.request import AUTO, BACKGROUNDS, ENTROPY, PROTOTYPES, TRAIN, ZeroshotGrid

NO_TRAIN = "-"
"""Of prototypes that are made of no clips."""

OF_CLIPS = ("tgap", "supervised")


class Row(NamedTuple):
    """A row of the grid.

    Attributes:
      place: which set.
      train: "same", "clean", or `NO_TRAIN`.
      prototypes, background, scorer: names.
      weight: of the background's profile; None where the scorer takes none off.
      auto: whether the weight is chosen without labels.
    """

    place: int
    train: str
    prototypes: str
    background: str
    scorer: str
    weight: float | None
    auto: bool


class Grid(NamedTuple):
    """The rows, those of one set and of the same prototypes together, and a sentence about what was left out."""

    rows: tuple[Row, ...]
    left_out: tuple[str, ...]


def check(run: ZeroshotGrid) -> None:
    """Raises `BadInput` for lists that hold something unknown, before anything is read."""
    for flag, known in (("prototypes", PROTOTYPES), ("background", BACKGROUNDS), ("train", TRAIN)):
        given = getattr(run, flag)
        if given is not None and not given:
            raise BadInput(f"--{flag}: names none, expected some of {', '.join(known)}")
        for name in given or ():
            registry.check(f"--{flag}", name, known)
    if not run.scorer:
        raise BadInput("--scorer: names none, expected some of docs/zeroshot.md, such as plain,subtract")
    for name in run.scorer:
        for one in scorers.members(name):
            scorers.factory(one)
    if not run.online and all(map(in_turn, run.scorer)):
        raise BadInput(f"--scorer={run.scorer[0]}: takes clips one after the other, expected --online")
    for text in run.weight:
        _weight(text)
    check_number("--topn", run.topn, 1)
    check_number("--shots", run.shots, 1)
    gap_shares(run)
    if run.close_gap and not ("text" in run.prototypes and "plain" in run.scorer):
        raise BadInput("--close_gap: moves sentences, expected --prototypes=text and --scorer=plain among the lists")
    if run.template_weights == ENTROPY and run.online:
        raise BadInput("--template_weights=entropy: looks at all clips at once, expected a run without --online")
    if run.reject is not None:
        check_number("--reject", run.reject, 0.0, 1.0, below=True)
    takes = [name for name in run.scorer if takes_background(name)]
    if takes and set(run.background) <= {"none"}:
        raise BadInput(
            f"--scorer={takes[0]}: takes a background off, expected --background=text, audio, quiet or oracle"
        )
    if takes and not run.weight:
        raise BadInput("--weight: names none, expected numbers from 0 such as 0.5, or auto")


def gap_shares(run: ZeroshotGrid) -> tuple[float, ...]:
    """The shares of the gap that are to be closed; raises `BadInput` for what is no number from 0 to 1."""
    found = []
    for text in run.close_gap:
        try:
            found.append(float(text))
        except ValueError:
            raise BadInput(f"--close_gap={text}: expected numbers from 0 to 1, such as 0,0.25,0.5,0.75,1") from None
        check_number("--close_gap", found[-1], 0.0, 1.0)
    return tuple(found)


def takes_background(scorer: str) -> bool:
    """Whether a scorer takes a background's profile off."""
    return "subtract" in scorers.members(scorer)


def _weight(text: str) -> float | None:
    """The number, None for auto."""
    if text == AUTO:
        return None
    try:
        value = float(text)
    except ValueError:
        raise BadInput(f"--weight={text}: expected numbers from 0 such as 0.2,0.5, or {AUTO}") from None
    check_number("--weight", value, 0.0)
    return value


def trains_of(run: ZeroshotGrid, sets: Sequence[LabelledSet]) -> tuple[str, ...]:
    """Where prototypes of clips come from: what is asked for, else the profile's.

    Raises:
      BadInput: clean, and no one set is the clean one; nothing is asked for and several could be.
    """
    clean, able = clean_of(sets), [one.name for one in sets if one.clean]
    if run.train is None:
        if run.profile == "corrected" and len(able) > 1 and set(run.prototypes) & set(OF_CLIPS):
            raise BadInput(
                f"--embeddings: {' and '.join(able)} all count as the clean set (no column background, no corruption), "
                "expected one of them for prototypes of clips; embed soundscapes with --truth=SCENE/index.csv, or give "
                "--train=same"
            )
        return ("clean",) if run.profile == "corrected" and clean is not None else ("same",)
    if "clean" in run.train and clean is None:
        count = sum(one.clean for one in sets)
        raise BadInput(
            f"--train=clean: {count} of the sets are clean, expected one that nothing was mixed into (no column "
            "background, no corruption) among --embeddings"
        )
    return tuple(dict.fromkeys(run.train))


def grid_of(run: ZeroshotGrid, sets: Sequence[LabelledSet], known: Sequence[Mapping[str, str]]) -> Grid:
    """The rows that make sense.

    Args:
      run: the flags.
      sets: the sets.
      known: for each set the backgrounds that are known of it, each with why it is left out, "" where it is not.
    """
    trains, clean = trains_of(run, sets), clean_of(sets)
    rows: list[Row] = []
    left: dict[str, None] = {}
    if not any(map(takes_background, run.scorer)):
        idle = [name for name in run.background if name != "none"]
        left |= {f"background {n}: no scorer that is asked for takes one off, as subtract does": None for n in idle}
    for place, one in enumerate(sets):
        here = ("clean",) if one is clean and "clean" in trains else trains
        for kind in dict.fromkeys(run.prototypes):
            for train in here if kind in OF_CLIPS else (NO_TRAIN,):
                for scorer in dict.fromkeys(run.scorer):
                    rows += _of_scorer(run, place, train, kind, scorer, known[place], one.name, left)
    if not rows:
        raise BadInput(f"no row is left of what was asked for, expected at least one: {'; '.join(left)}")
    return Grid(tuple(rows), tuple(left))


def _of_scorer(
    run: ZeroshotGrid, place: int, train: str, kind: str, scorer: str, known: Mapping[str, str], name: str,
    left: dict[str, None],
) -> list[Row]:  # fmt: skip
    """The rows of one scorer with one kind of prototypes; why others are left out is added to `left`."""
    if run.online and (reason := not_online(scorer)):
        left[f"scorer {scorer} online: {reason}"] = None
        return []
    if not run.online and (one := in_turn(scorer)):
        left[f"scorer {scorer}: {one} takes clips one after the other, which is --online"] = None
        return []
    if not takes_background(scorer):
        return [Row(place, train, kind, "none", scorer, None, False)]
    rows = []
    for origin in dict.fromkeys(run.background):
        if origin == "none":
            left[f"scorer {scorer} with background none: that is the scorer without its subtraction"] = None
        elif reason := known.get(origin, "nothing is known of what it was recorded over"):
            left[f"background {origin} of {name}: {reason}"] = None
        else:
            for weight in dict.fromkeys(map(_weight, run.weight)):
                if weight is None and run.online:
                    left["weight auto online: it is chosen from all clips at once"] = None
                    continue
                rows.append(Row(place, train, kind, origin, scorer, weight, weight is None))
    return rows


def not_online(scorer: str) -> str:
    """Why a scorer cannot go clip by clip; "" where it can."""
    members = scorers.members(scorer)
    for one in members:
        if one != "centre" and "set" in scorers.factory(one)().uses:
            return f"{one} looks at all clips at once"
    return ""


def in_turn(scorer: str) -> str:
    """The member of a scorer that goes clip by clip and in no other way; "" where there is none."""
    return next((one for one in scorers.members(scorer) if "past" in scorers.factory(one)().uses), "")


def scorer_options(row: Row, weight: float | None, online: bool) -> dict[str, float | bool]:
    """A row's options of `scorers.make`."""
    options: dict[str, float | bool] = {}
    members = scorers.members(row.scorer)
    prefix = {one: f"{one}." if len(members) > 1 else "" for one in members}
    if weight is not None:
        options[f"{prefix['subtract']}weight"] = weight
    if online and "centre" in members:
        options[f"{prefix['centre']}running"] = True
    return options
