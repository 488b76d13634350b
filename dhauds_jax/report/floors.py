"""Floors: a method at rate 0 in the same protocol, which learns nothing; and which cells a board asks a method for.

A protocol alone changes predictions: BatchNorm's statistics follow the clips, memories fill, views are averaged. What a
method *learns* is what it adds to its own floor, and harm is what it takes away from it.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from typing import Any

Record = dict[str, Any]

AT_RATE_0 = " at rate 0"
"""Behind a method's name: the method with `lr=0`."""

ONLY: dict[str, tuple[str, ...]] = {
    "memo": ("online",),
    "suta": ("online",),
    "sgem": ("online",),
    "dsuta": ("online", "continual"),
}
"""Methods that a board asks for under some protocols alone: they make an episode of every clip, so that several passes
and resets between batches change nothing but the time, which is many times that of the others; what `dsuta` keeps
between clips is for streams."""


def asked(method: str, protocol: str) -> bool:
    """Whether a board has a cell for a method (floors are asked for what their method is) under a protocol."""
    bare = protocol.partition(",")[0]
    return bare in ONLY.get(method.removesuffix(AT_RATE_0), (bare,))


def is_floor(record: Record) -> bool:
    """Whether a record is of a method at rate 0."""
    rate = record.get("options", {}).get("lr")
    return rate is not None and float(rate) == 0.0


def named(found: Sequence[Record]) -> list[Record]:
    """The records, those of a method at rate 0 with a name of their own ("tent at rate 0"), those of single clips under
    a sliding window with one for their protocol ("batch1, window 16")."""
    out = []
    for record in found:
        window = (record.get("protocol_options") or {}).get("window")
        changes = {"method": f"{record['method']}{AT_RATE_0}"} if is_floor(record) else {}
        changes |= {"protocol": f"{record['protocol']}, window {window}"} if window else {}
        out.append({**record, **changes})
    return out


def with_floors(methods: Iterable[str], there: Collection[str]) -> list[str]:
    """Methods in their order, each followed by its floor where there is one; floors without their method last."""
    every = list(methods)
    mine = [name for name in every if AT_RATE_0 not in name]
    ordered = [name for method in mine for name in (method, floor_of(method)) if name in there]
    return [*ordered, *(name for name in every if name not in ordered)]


def floor_of(method: str) -> str:
    """The name of a method's floor: its own, with the settings that stand behind it but for the rate."""
    bare, _, rest = method.partition(" [")
    others = [one for one in rest.removesuffix("]").split(", ") if one and not one.startswith("lr=")]
    return f"{bare}{AT_RATE_0}" + (f" [{', '.join(others)}]" if others else "")


def without_floors(found: Iterable[Record]) -> list[Record]:
    """The records of methods that learn, and of `source`: what stands in ranks, tests and means beside each other."""
    return [record for record in found if not is_floor(record)]


def clips_of(record: Record) -> str:
    """What two runs must have in common to be of the same clips; a checksum also differs between formats of records."""
    draws = {name: value for name, value in record["options"].items() if "draw" in name and "checksum" not in name}
    return json.dumps([record["n"], draws], sort_keys=True, default=str)


def cell_of(record: Record) -> tuple[Any, ...]:
    """What names a run, whatever its method: so a method's and its floor's. Seed and source weights are last."""
    keys = ("dataset", "net", "profile", "protocol", "corruption", "level", "seed", "source_checkpoint")
    place = [record.get(key) for key in keys]
    return (*place[:-2], clips_of(record), *place[-2:])
