"""The chunks of a recording in which nothing is annotated, as the background of its other chunks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dhauds_jax.errors import BadInput
from dhauds_jax.runs.zeroshot_sets import LEFT_OUT, LabelledSet, check_folds
from dhauds_jax.types import Background
from dhauds_jax.wording import counted, plural
from dhauds_jax.zeroshot import background

KIND = "chunks"


def has_chunks(one: LabelledSet) -> bool:
    """Whether a set tells of each row its recording and what is annotated in it."""
    groups = one.about.groups
    return one.about.label_rows is not None and groups is not None and all(groups)


def with_event_free(sets: Sequence[LabelledSet]) -> tuple[list[LabelledSet], list[str]]:
    """The sets less the recordings that have no chunk without an event, as published, and notes on these.

    Raises:
      BadInput: no set has recordings and annotations, nothing is left of one that has, or one clip of a fold.

    Source: scripts/experiment_tut.py of eacevedo1/AudioText-ContextDA.
    """
    if not any(map(has_chunks, sets)):
        raise BadInput(
            f"--background={KIND}: no set says which chunks of a recording have no event, expected embeddings of "
            "experiments.embed --dataset=tut_sed, or an .npz with label_rows and groups"
        )
    kept, notes = [], []
    for one in sets:
        if not has_chunks(one):
            kept.append(one)
            continue
        groups, free = np.array(one.about.groups), ~one.about.label_rows.any(1)
        lacking = ~np.isin(groups, groups[free])
        if lacking.any():
            count = len(set(groups[lacking]))
            has, stays = counted(count, "recording has", "recordings have"), plural(count, "stays", "stay")
            notes.append(f"{one.name}: {has} no chunk without an event and {stays} out of all rows, as published")
            one = one._replace(fold=np.where(lacking, LEFT_OUT, one.fold))
        if not len(one.tested):
            raise BadInput(
                f"--background={KIND}: no recording of {one.about.place} has chunks with and without events, expected "
                "some; give another background"
            )
        check_folds(one)
        kept.append(one)
    return kept, notes


def of_chunks(one: LabelledSet) -> Background:
    """The mean of the chunks without an event of each tested chunk's recording."""
    events = one.about.label_rows.any(1)
    groups = np.array(one.about.groups)
    rows = np.flatnonzero(np.isin(groups, groups[one.tested]))
    found = background.event_free(one.vectors[rows], [str(name) for name in groups[rows]], events[rows])
    return found._replace(mean=found.mean[np.searchsorted(rows, one.tested)])
