"""What a zero-shot record says of the gap between its sounds and its sentences."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np

from dhauds_jax.runs.zeroshot_measures import right
from dhauds_jax.runs.zeroshot_rows import Row, gap_shares
from dhauds_jax.runs.zeroshot_scores import Scored
from dhauds_jax.zeroshot import gap
from dhauds_jax.zeroshot.request import ZeroshotGrid
from dhauds_jax.zeroshot.unit_vectors import cosines


def gap_of(run: ZeroshotGrid, row: Row, it: Scored) -> dict[str, Any] | None:
    """Distance and share of the gap; of plain text rows also the accuracies along the line that closes it.

    That line goes by the mean of all tested clips, as scorer `centre` does; the row's own number does not.
    """
    if it.info.text is None:
        return None
    audio, text = jnp.asarray(it.vectors), jnp.asarray(it.info.text)
    found = gap.gap(audio, text)
    said: dict[str, Any] = {"distance": found.distance, "share": found.share}
    if asked_of(run, row):
        line = []
        for share in gap_shares(run):
            scores = np.asarray(cosines(*gap.closed(audio, text, share)))
            line.append([share, float(np.mean(right(scores, it.labels)))])
        said["closed"] = line
    return said


def asked_of(run: ZeroshotGrid, row: Row) -> bool:
    """Whether the line that closes the gap is part of a row's record."""
    return bool(run.close_gap) and row.prototypes == "text" and row.scorer == "plain"
