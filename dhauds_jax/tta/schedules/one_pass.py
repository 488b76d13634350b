"""One pass over the shuffled clips of one domain."""

from __future__ import annotations

from dhauds_jax.tta.schedules.protocol import STREAM_OPTIONS, Protocol, Range

ONLINE = Protocol("one pass, every batch predicted and adapted to as it comes", options=STREAM_OPTIONS)

EPISODIC = Protocol(
    "every batch from the source weights: `updates` updates, then predicted",
    options={"updates": 1},
    ranges={"updates": Range(1)},
)

BATCH1 = Protocol(
    "clips come one by one; each is predicted alone (`window`: under the statistics of the last so many), updates wait "
    "for a full buffer",
    options={"reset": "none", "window": 0},
    alone=True,
    ranges={"window": Range(0)},
)

TIMED = Protocol(
    "one pass in which a slow method adapts to every k-th batch only; `budget` is in forward passes a batch",
    options={**STREAM_OPTIONS, "budget": 3.0},
    ranges={"budget": Range(0, included=False)},
)
