"""A conversion family of a user's own, for the network of `tests.nets.foreign`."""

from __future__ import annotations

import numpy as np

from converters import by_map
from converters.families import Content, Family
from converters.mapping import dense, prefixed

FAMILY = Family(
    net="tests.nets.foreign:FAMILY",
    files=("encoder",),
    holds=(Content("frames with a largest value", lambda state: "" if "embed.weight" in state else None),),
    geometry=("width",),
    infer=lambda part: {"width": part.state["embed.weight"].shape[0]},
    leaves=lambda config, style, held: prefixed(
        dense("encoder/embed", "embed") + dense("head/classifier", "out"), "encoder/"
    ),
    ignore=lambda config, style: ("encoder/steps",),
    fresh=lambda config, held: {"encoder/steps": np.zeros((), np.int64)},
    plan=by_map.plan,
)
