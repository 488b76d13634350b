"""Two learners joined into one, as if it had learnt what both have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Int

from dhauds_jax.errors import BadInput
from dhauds_jax.incremental.rooms import FREE, Learned, Rows, class_of_clips, doubled, moved, placed, relearnt


def joined(first: Learned, other: Learned) -> tuple[Learned, str]:
    """As if one learner had learnt what both have: classes of one name become one.

    Clips that both have learnt count once. All sessions are learnt again for that, where the two drew by other seeds,
    and where a state has not kept what joining takes. The two are expected to be of one network, learner and options.

    Returns:
      The learner, and a sentence on what had to be done for it ("": nothing).

    Raises:
      BadInput: the learner cannot do that exactly; a clip that the two know under two classes.
    """
    if first.learner.merge is None:
        raise BadInput(
            f"learner {first.name}: two of it cannot be joined exactly, expected one that can (docs/incremental.md "
            "lists them), or the clips of both in one folder"
        )
    classes = placed(first.classes, other.known)
    least = {"max_classes": len(classes), "max_rows": 1, "max_sessions": first.taken + other.taken}
    sizes = {
        name: doubled(max(getattr(first.info, name), getattr(other.info, name)), need) for name, need in least.items()
    }
    (first, said), (other, _) = moved(first, sizes), moved(other, sizes)
    labels = _places_in(classes, other.classes, first.info.max_classes)
    again = _known_to(first, other)
    stays = ~again[other.rows.clip]
    rows = other.rows._replace(
        labels=labels[other.rows.labels],
        clip=other.rows.clip + np.int32(len(first.clips)),
        session=other.rows.session + np.int32(first.sessions),
    )
    rows = Rows(*(np.concatenate([a, b[stays]]) for a, b in zip(first.rows, rows, strict=True)))
    after = replace(first, classes=classes, rows=rows, clips=(*first.clips, *other.clips))
    if again.any():
        said = f"{again.sum()} of the second's clips are the first's as well and count once: all was learnt again"
        return replace(after, state=relearnt(after)), said
    if first.seed != other.seed:  # what is drawn by the one's key is nothing to the other's sums
        return replace(after, state=relearnt(after)), f"all was learnt again with the first's seed, {first.seed}"
    try:
        return replace(after, state=first.learner.merge(first.state, other.state, jnp.asarray(labels))), said
    except BadInput:  # sums of a regression, on which lambda cannot be judged
        return replace(after, state=relearnt(after)), said


def _known_to(first: Learned, other: Learned) -> Bool[np.ndarray, " clips"]:
    """Which clips of the second the first has too: the same samples, or a last layer's same row of the same class.

    Raises:
      BadInput: the two know a clip under two classes.
    """
    samples = {clip.digest: place for place, clip in enumerate(first.clips) if clip.digest}
    mine, theirs = class_of_clips(first), class_of_clips(other)
    layer = {_row_of(first, place, mine) for place, clip in enumerate(first.clips) if not clip.digest}
    again = np.zeros(len(other.clips), bool)
    for number, clip in enumerate(other.clips):
        if not clip.digest:
            again[number] = _row_of(other, number, theirs) in layer
            continue
        place = samples.get(clip.digest)
        again[number] = place is not None
        if place is not None and mine[place] != theirs[number]:
            raise BadInput(
                f"{clip.name} of the second and {first.clips[place].name} of the first are the same recording in two "
                f"classes, {theirs[number]} and {mine[place]}, expected it in one: learn anew without it"
            )
    return again


def _row_of(learned: Learned, clip: int, classes: Sequence[str]) -> tuple[str, bytes]:
    return classes[clip], learned.rows.inputs[learned.rows.clip == clip].tobytes()


def _places_in(classes: Sequence[str], others: Sequence[str], room: int) -> Int[np.ndarray, " max_classes"]:
    """The place among `classes` of each place of another room of that size; free ones get what is left, each once."""
    found = np.full(room, -1, np.int32)
    for place, name in enumerate(others):
        if name != FREE:
            found[place] = classes.index(name)
    found[found < 0] = np.setdiff1d(np.arange(room, dtype=np.int32), found)
    return found
