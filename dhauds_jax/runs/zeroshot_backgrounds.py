"""The background of a set in a zero-shot grid: from words, from recordings, from the set's own quiet clips."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from dhauds_jax.errors import BadInput
from dhauds_jax.runs.zeroshot_sets import LabelledSet, unit
from dhauds_jax.types import Background
from dhauds_jax.workdir.vectors import Vectors
from dhauds_jax.zeroshot import background
from dhauds_jax.zeroshot.request import ZeroshotGrid

NONE_NAMED = "-"
"""Of `--background_text`, for a set that was recorded over nothing."""


class Recordings(NamedTuple):
    """Embedded recordings of backgrounds.

    Attributes:
      ids: their names.
      scenes: the scene of each: its label, else its group, else the folder in its name; "" without any.
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
        named = [PurePosixPath(name).parent.name for name in one.ids]
        if one.labels is not None:
            named = [one.classes[k] if k >= 0 else "" for k in np.asarray(one.labels)]
        elif one.groups is not None:
            named = list(one.groups)
        scenes += named
    rows = unit(np.concatenate([np.asarray(one.vectors) for one in found]))
    return Recordings(tuple(ids), tuple(scenes), rows, "-".join(one.digest for one in found))


def own_of(one: LabelledSet, others: Recordings | None) -> Int[np.ndarray, " tested"] | None:
    """Which recording each tested clip lies over, by the index's column background; None where it does not say.

    A name fits a recording of that name, else the only one whose file is called so.
    """
    if others is None or one.about.backgrounds is None:
        return None
    places: dict[str, int] = {name: k for k, name in enumerate(others.ids)}
    files: dict[str, list[int]] = {}
    for k, name in enumerate(others.ids):
        files.setdefault(PurePosixPath(name).name, []).append(k)
    found = []
    for row in one.tested:
        name = one.about.backgrounds[row]
        same = files.get(PurePosixPath(name).name, [])
        found.append(places[name] if name in places else same[0] if len(same) == 1 else -1)
    own = np.array(found)
    return own if (own >= 0).all() else None


def words(run: ZeroshotGrid, sets: Sequence[LabelledSet], others: Recordings | None) -> list[tuple[str, ...] | None]:
    """For every set the words of each tested clip's background; None where nothing is known of it.

    Raises:
      BadInput: as many words as neither one nor the sets, or no words and nothing that names a background.
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
    found: list[tuple[str, ...] | None] = []
    for one in sets:
        own, named = own_of(one, others), one.about.backgrounds
        scene = (one.about.manifest.get("source") or {}).get("scene")
        if own is not None and all(others.scenes[k] for k in own):
            found.append(tuple(others.scenes[k] for k in own))
        elif scene:  # of soundscapes, whose recordings of it are called anything
            found.append((scene,) * len(one.tested))
        elif named is not None and all(named[row] for row in one.tested):
            found.append(tuple(PurePosixPath(named[row]).stem for row in one.tested))
        else:
            found.append(None)
    if not any(found):
        raise BadInput(
            "--background=text: nothing says what the sets were recorded over, expected --background_text=park, or a "
            "column background in their index"
        )
    return found


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


def of_oracle(one: LabelledSet, others: Recordings) -> Background | None:
    """Every clip's own recording; None for a set that does not name it."""
    own = own_of(one, others)
    return None if own is None else background.oracle(others.vectors, own)


def of_quiet(one: LabelledSet, scores: Float[np.ndarray, "tested classes"]) -> Background:
    """The mean of the tested clips that no class explains well: embeddings hold no loudness, so scores alone count."""
    best = np.asarray(scores, np.float64).max(-1)
    return background.quiet(one.vectors[one.tested], best, best)


def check(run: ZeroshotGrid, sets: Sequence[LabelledSet], others: Recordings | None) -> None:
    """Raises `BadInput` where a background is asked for and nothing is there to make it of."""
    for kind in ("audio", "oracle"):
        if kind in run.background and others is None:
            raise BadInput(
                f"--background={kind}: needs recordings of the background, expected --background_embeddings=FOLDER "
                "of experiments.embed"
            )
    if "oracle" in run.background and all(own_of(one, others) is None for one in sets):
        raise BadInput(
            "--background=oracle: no set says which recording each clip lies over, expected a column background in "
            "its index.csv with the names of --background_embeddings"
        )
