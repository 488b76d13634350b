"""What clips were recorded over, as `types.Background`: from words, from recordings, from the clips themselves."""

from __future__ import annotations

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from dhauds_jax.errors import BadInput, check_number
from dhauds_jax.types import Background
from dhauds_jax.zeroshot import unit_vectors

KINDS = ("text", "audio", "quiet", "chunks", "oracle")
"""Where a background may come from."""

Vectors = Float[Array | np.ndarray, "rows width"]
Windows = Float[np.ndarray, " windows"]
Own = Int[np.ndarray, " clips"]


def from_text(vectors: Vectors) -> Background:
    """The mean of a background's sentences (`templates.background_prompts`), unit vectors of the text tower."""
    unit_vectors.check("background text", vectors)
    return Background(jnp.asarray(vectors).mean(0), "text", None)


def from_audio(vectors: Vectors) -> Background:
    """The mean of recordings or windows of background alone; they are kept, since a threshold can be set by them."""
    unit_vectors.check("background audio", vectors)
    rows = jnp.asarray(vectors)
    return Background(rows.mean(0), "audio", rows)


def quiet_rows(scores: Windows, loudness_db: Windows, share: float = 0.1, least: int = 3) -> np.ndarray:
    """The windows in which least happens: lowest in best score and loudness together, without labels.

    A window's place is the sum of its two ranks; of equal ones the earlier comes first.

    Args:
      scores: (windows,) the largest of each window's scores.
      loudness_db: (windows,) loudness or level in dB; -inf for silence, which is left out (it has no direction).
      share: of the windows that are taken.
      least: windows that are taken at least.

    Raises:
      BadInput: fewer sounding windows than `least`.
    """
    check_number("share of quiet windows", share, 0.0, 1.0, above=True)
    sounding = np.flatnonzero(np.isfinite(loudness_db))
    if len(sounding) < least:
        raise BadInput(
            f"background quiet: {len(sounding)} windows that are not silent, expected at least {least}: give more or "
            "longer recordings, or name the background"
        )
    ranks = [np.argsort(np.argsort(values[sounding], kind="stable"), kind="stable") for values in (scores, loudness_db)]
    order = np.argsort(ranks[0] + ranks[1], kind="stable")
    return np.sort(sounding[order[: max(least, int(share * len(sounding)))]])


def quiet(vectors: Vectors, scores: Windows, loudness_db: Windows, share: float = 0.1, least: int = 3) -> Background:
    """The mean of the windows of the user's own recordings in which least happens (`quiet_rows`).

    It holds some foreground too where nothing is ever quiet: then `centre` is the better name for it.
    """
    rows = jnp.asarray(vectors)[quiet_rows(scores, loudness_db, share, least)]
    unit_vectors.check("background quiet", rows)
    return Background(rows.mean(0), "quiet", rows)


def own_left_out(vectors: Vectors, scenes: Sequence[str], own: Own) -> Background:
    """A row for each clip: the mean of the scene's recordings but for the very one that was mixed in.

    What a user can know who has recorded the scene at another time; the oracle is what nobody has.

    Args:
      vectors: (recordings, width) unit vectors.
      scenes: the scene of each recording.
      own: (clips,) which recording each clip lies over.

    Raises:
      BadInput: a scene of a single recording.
    """
    unit_vectors.check("background audio", vectors)
    rows = np.asarray(vectors, np.float64)
    names, which, counts = np.unique(np.asarray(scenes), return_inverse=True, return_counts=True)
    single = names[counts < 2][np.isin(names[counts < 2], np.asarray(scenes)[own])]
    if len(single):
        raise BadInput(
            f"background audio: scene {single[0]} has one recording, expected at least two, so that a clip's own can "
            "be left out: add some, or take the oracle"
        )
    sums = np.zeros((len(names), rows.shape[1]))
    np.add.at(sums, which, rows)
    scene = which[own]
    means = (sums[scene] - rows[own]) / (counts[scene] - 1)[:, None]
    return Background(jnp.asarray(means, jnp.float32), "audio", jnp.asarray(vectors))


def event_free(vectors: Vectors, recordings: Sequence[str], events: Bool[np.ndarray, " rows"]) -> Background:
    """A row for each chunk: the mean of the chunks of the same recording in which no event is annotated.

    Raises:
      BadInput: a recording without such a chunk, which is named (the seed leaves it out of every row of its tables).

    Source: scripts/experiment_tut.py of eacevedo1/AudioText-ContextDA.
    """
    unit_vectors.check("chunks", vectors)
    rows, silent = np.asarray(vectors, np.float64), ~np.asarray(events, bool)
    names, which = np.unique(np.asarray(recordings), return_inverse=True)
    counts = np.bincount(which[silent], minlength=len(names))
    if not counts.all():
        raise BadInput(
            f"recording {names[counts == 0][0]} has no chunk without an event ({(counts == 0).sum()} such recordings), "
            "expected at least one: leave it out, or give another background"
        )
    sums = np.zeros((len(names), rows.shape[1]))
    np.add.at(sums, which[silent], rows[silent])
    means = (sums / counts[:, None])[which]
    return Background(jnp.asarray(means, jnp.float32), "chunks", jnp.asarray(rows[silent], jnp.float32))


def oracle(vectors: Vectors, own: Own) -> Background:
    """A row for each clip: the embedding of the very recording that it was mixed with, which nobody has in use.

    Args:
      vectors: (recordings, width) unit vectors.
      own: (clips,) which recording each clip lies over.
    """
    unit_vectors.check("background oracle", vectors)
    rows = jnp.asarray(vectors)
    return Background(rows[jnp.asarray(own)], "oracle", rows)
