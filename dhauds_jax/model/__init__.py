"""A classifier in three lines: load it, adapt it to recordings, label them.

`runs/classify.py` and `runs/evaluate.py` do what they do through this room, so there is one road.
"""

from __future__ import annotations

from dhauds_jax.model.predictions import Predictions
from dhauds_jax.model.record import Adapted, Model, load

__all__ = ["Adapted", "Model", "Predictions", "load"]
