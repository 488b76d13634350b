"""What names a result: its cell, and the sixteen digits that stand for it in records and folders."""

from __future__ import annotations

import hashlib
import json
from typing import Any, NamedTuple


class Cell(NamedTuple):
    """What names a result: two runs with equal cells (and equal source weights) give equal numbers.

    Attributes:
      dataset, corruption, level, net, method, protocol, profile, seed: as in the record; protocols over several
        corruptions join their names by "+".
      options: the method's resolved options.
      epochs: passes of the offline protocol.
      batch_size: clips in an update.
      criterion: label-free choice of the epoch, a name of `tta.selection.CRITERIA`.
      draw: the corruption draws' settings and checksums.
      protocol_options: the protocol's resolved options.
    """

    dataset: str
    corruption: str
    level: str
    net: str
    method: str
    protocol: str
    profile: str
    seed: int
    options: tuple[tuple[str, Any], ...]
    epochs: int
    batch_size: int
    criterion: str
    draw: tuple[tuple[str, Any], ...] = ()
    protocol_options: tuple[tuple[str, Any], ...] = ()


def cell_id(cell: Cell, source_hash: str) -> str:
    """Sixteen hexadecimal digits that name a cell: its fields and the source weights."""
    text = json.dumps([list(cell), source_hash], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
