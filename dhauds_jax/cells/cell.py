"""What names a result: its cell, and the sixteen digits that stand for it in records and folders."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from dhauds_jax import digests
from dhauds_jax.workdir.records import FORMAT


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
      content: digests (`data.content`) of the data by their names: "clips", "noise", "source_data", and of the files
        of a user's own plug-ins, "dataset_source", "corruption_source", "method_source", "protocol_source",
        "criterion_source", "net_source"; and "config" where the network's settings are not its preset's
        (`zoo.own_settings`). What a cell does not need is not there.
      source_clips: labelled training clips that the method got; None for methods that need none.
      agreement: whether a second view is looked at after each epoch (offline only).
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
    content: tuple[tuple[str, str], ...] = ()
    source_clips: int | None = None
    agreement: bool = False


def cell_id(cell: Cell, source_hash: str) -> str:
    """Sixteen hexadecimal digits that name a cell: its fields, the source weights and the records' format."""
    named = {**cell._asdict(), "source_checkpoint": source_hash, "format": FORMAT}
    return digests.of_text(json.dumps(named, sort_keys=True, default=str))
