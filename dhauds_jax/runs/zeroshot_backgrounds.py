"""The background of a set in a zero-shot grid: from words, from recordings, from the set's own quiet clips."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from dhauds_jax.errors import BadInput
from dhauds_jax.runs.zeroshot_sets import LabelledSet, unit
from dhauds_jax.types import Background
from dhauds_jax.workdir.vectors import Vectors
from dhauds_jax.zeroshot import background, templates
from dhauds_jax.zeroshot.request import ZeroshotGrid

NONE_NAMED = "-"
"""Of `--background_text`, for a set that was recorded over nothing."""

_WORDS = re.compile(r"[^\W\d_]+(?:[ _'-][^\W\d_]+)*")
"""Names of places; a file's has digits, a suffix or folders."""


class Recordings(NamedTuple):
    """Embedded recordings of backgrounds.

    Attributes:
      ids: their names.
      scenes: the scene of each: its label, else its group, else the top folder in its name, as soundscapes are named
        after the folder right below theirs; "" without any.
      vectors: unit vectors.
      digest: names all of this.
    """

    ids: tuple[str, ...]
    scenes: tuple[str, ...]
    vectors: Float[np.ndarray, "recordings width"]
    digest: str


def recordings(found: Sequence[Vectors]) -> Recordings | None:
    """The recordings of all places; None for no place."""
    if not found:
        return None
    ids, scenes = [], []
    for one in found:
        ids += one.ids
        named = [_top(name) for name in one.ids]
        if one.labels is not None:
            named = [one.classes[k] if k >= 0 else "" for k in np.asarray(one.labels)]
        elif one.groups is not None:
            named = list(one.groups)
        scenes += named
    rows = unit(np.concatenate([np.asarray(one.vectors) for one in found]))
    kept = _once(list(zip(ids, scenes, strict=True)), rows)
    ids, scenes = [ids[k] for k in kept], [scenes[k] for k in kept]
    return Recordings(tuple(ids), tuple(scenes), rows[kept], "-".join(one.digest for one in found))


def _top(name: str) -> str:
    """The first folder of a name, "" where it has none."""
    folder, _, rest = name.strip("/").partition("/")
    return folder if rest else ""


def _once(named: Sequence[tuple[str, str]], rows: Float[np.ndarray, "recordings width"]) -> list[int]:
    """The recordings but for those that are there already by name, scene and vector, as those of two levels are.

    A twin in the scene would stay in its mean when the clip's own is left out.
    """
    first: dict[tuple[str, str], list[int]] = {}
    for k, name in enumerate(named):
        same = first.setdefault(name, [])
        if not any(np.allclose(rows[k], rows[other], rtol=0, atol=1e-5) for other in same):
            same.append(k)
    return sorted(k for same in first.values() for k in same)


def own_of(one: LabelledSet, others: Recordings | None) -> Int[np.ndarray, " tested"] | None:
    """Which recording each tested clip lies over, by the index's column background; None where it has none.

    A name fits a recording of that name, else the only one whose file is called so.

    Raises:
      BadInput: a clip whose background is not named, not among the recordings, or several of them.
    """
    if others is None or one.about.backgrounds is None:
        return None
    places: dict[str, list[int]] = {}
    files: dict[str, list[int]] = {}
    for k, name in enumerate(others.ids):
        places.setdefault(name, []).append(k)
        files.setdefault(PurePosixPath(name).name, []).append(k)
    found, lacking = [], {}
    for row in one.tested:
        name = one.about.backgrounds[row]
        fits = places.get(name) or files.get(PurePosixPath(name).name, [])
        if len(fits) != 1:
            lacking.setdefault(name, f"{one.about.ids[row]!r} lies over {name!r}, which {_count(len(fits))}")
        found.append(fits[0] if fits else -1)
    if lacking:
        more = f" ({len(lacking) - 1} more such names)" if len(lacking) > 1 else ""
        raise BadInput(
            f"--background_embeddings: {next(iter(lacking.values()))} of the recordings{more}, expected exactly one of "
            f"that name for every clip of {one.about.place}; add what is absent, take out what is twice, or leave the "
            "clips or the column background out"
        )
    return np.array(found)


def _count(number: int) -> str:
    return f"is the name of {number}" if number else "is the name of none"


def words(run: ZeroshotGrid, sets: Sequence[LabelledSet], others: Recordings | None) -> list[tuple[str, ...] | None]:
    """For every set the words of each tested clip's background; None where nothing is known of it.

    They are the scenes of the recordings that it lies over; without recordings the column background itself, where it
    has words and not names of files.

    Raises:
      BadInput: as many words as neither one nor the sets; no words and nothing that names a background, or only files.
    """
    given = [text.strip() for text in run.background_text]
    if given:
        if len(given) not in (1, len(sets)):
            raise BadInput(
                f"--background_text={','.join(given)}: {len(given)} for {len(sets)} sets, expected one for all, or one "
                f"for each ({NONE_NAMED} for none)"
            )
        each = given * len(sets) if len(given) == 1 else given
        return [None if text == NONE_NAMED else (text,) * len(one.tested) for text, one in zip(each, sets, strict=True)]
    found = [None if one.about.backgrounds is None else _named(one, others) for one in sets]
    if not any(found):
        raise BadInput(
            "--background=text: nothing says what the sets were recorded over, expected --background_text=park, or a "
            "column background in their index"
        )
    return found


def _named(one: LabelledSet, others: Recordings | None) -> tuple[str, ...]:
    own, named = own_of(one, others), [one.about.backgrounds[row] for row in one.tested]
    said = named if own is None else [others.scenes[k] for k in own]
    scene = (one.about.manifest.get("source") or {}).get("scene")
    if scene and (own is None or not all(said)):  # of soundscapes, whose recordings of it are called anything
        return (scene,) * len(named)
    for name, scene in zip(named, said, strict=True):
        if not (scene if own is not None else _WORDS.fullmatch(scene)):
            raise BadInput(
                f"--background=text: nothing says what place {name!r} is, which clips of {one.about.place} lie over; "
                f"expected --background_text=park (one for each set, {NONE_NAMED} for none), or "
                "--background_embeddings with the scenes of its recordings as labels or groups"
            )
    return tuple(said)


def of_text(scenes: Sequence[str], vectors: Mapping[str, np.ndarray]) -> Background:
    """One profile for all clips where their background has one name, else a row for each clip."""
    means = {scene: background.from_text(vectors[scene]).mean for scene in dict.fromkeys(scenes)}
    if len(means) == 1:
        return Background(means[scenes[0]], "text", None)
    return Background(np.stack([np.asarray(means[scene]) for scene in scenes]), "text", None)


def of_audio(one: LabelledSet, others: Recordings, profile: str) -> Background:
    """The mean of the scene's other recordings for every clip whose own is known, else of all recordings.

    As published (profile reference) it is the clip's own recording, which is an oracle.
    """
    own = own_of(one, others)
    if own is None:
        return background.from_audio(others.vectors)
    if profile == "reference":
        return background.oracle(others.vectors, own)._replace(kind="audio")
    return background.own_left_out(others.vectors, others.scenes, own)


def without_another(one: LabelledSet, others: Recordings) -> str:
    """A scene of a single recording that clips lie over, of which none is left without it; "" where there is none."""
    own, count = own_of(one, others), Counter(others.scenes)
    scenes = [] if own is None else [others.scenes[k] for k in own]
    return next((scene for scene in scenes if count[scene] < 2), "")


def said_of(name: str, words: Sequence[str]) -> str:
    """The words by which a set's background text goes."""
    said = [f"'{templates.spoken(word)}'" for word in dict.fromkeys(words)]
    more = f" and {len(said) - 8} more" if len(said) > 8 else ""
    return f"background text of {name}: the words {', '.join(said[:8])}{more}"


def of_oracle(one: LabelledSet, others: Recordings) -> Background | None:
    """Every clip's own recording; None for a set that does not name it."""
    own = own_of(one, others)
    return None if own is None else background.oracle(others.vectors, own)


def of_quiet(one: LabelledSet, scores: Float[np.ndarray, "tested classes"]) -> Background:
    """The mean of the tested clips that no class explains well: embeddings hold no loudness, so scores alone count."""
    best = np.asarray(scores, np.float64).max(-1)
    return background.quiet(one.vectors[one.tested], best, best)


def check(run: ZeroshotGrid, sets: Sequence[LabelledSet], others: Recordings | None) -> None:
    """Raises `BadInput` where a background is asked for and nothing, or not all, is there to make it of."""
    for kind in ("audio", "oracle"):
        if kind in run.background and others is None:
            raise BadInput(
                f"--background={kind}: needs recordings of the background, expected --background_embeddings=FOLDER "
                "of experiments.embed"
            )
    own = [own_of(one, others) for one in sets if {"audio", "oracle"} & set(run.background)]
    if "oracle" in run.background and all(one is None for one in own):
        raise BadInput(
            "--background=oracle: no set says which recording each clip lies over, expected a column background in "
            "its index.csv with the names of --background_embeddings"
        )
