"""Epochs over the whole set."""

from __future__ import annotations

from dhauds_jax.tta.schedules.protocol import Protocol

OFFLINE = Protocol("epochs over the set, evaluated after each", options={"reset": "none"}, epochs=True)
