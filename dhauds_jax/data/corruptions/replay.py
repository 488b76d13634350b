"""Draws read back from a manifest's lines: what was drawn then is carried out again, whatever draws there are now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dhauds_jax.data.corruptions.base import NEUTRAL, Draw
from dhauds_jax.data.corruptions.draws import IMPL
from dhauds_jax.data.corruptions.white_noise import SOURCES
from dhauds_jax.errors import BadInput


def replayed(lines: Sequence[Mapping[str, Any]]) -> Draw:
    """The draws of a set from the lines that `draws.records` made of them, to the bit; give them to `corrupt`.

    Args:
      lines: a line of `manifest.jsonl` a clip, in the order of the clips.

    Raises:
      BadInput: lines without a key, or that differ in what was drawn.
    """
    without = next((line.get("id", "?") for line in lines if len(str(line.get("key", ""))) != 16), None)
    if without is not None or len({(*sorted(line), *sorted(line.get("choices", ()))) for line in lines}) != 1:
        which = "lines that differ" if without is None else f"no key of 16 digits at {without}"
        raise BadInput(f"manifest: {which}, expected the lines that experiments.corrupt wrote of one cell")
    fields = {name: np.array([line.get(name, value) for line in lines], _dtype(value)) for name, value in _FIELDS}
    if "source" in lines[0]:
        fields["kind"] = np.array([SOURCES.index(line["source"]) for line in lines], np.int32)
    words = [[int(line["key"][:8], 16), int(line["key"][8:], 16)] for line in lines]
    key = jax.random.wrap_key_data(jnp.array(words, jnp.uint32), impl=IMPL)
    names = lines[0].get("choices", ())
    return Draw(**fields, key=key, choices={name: _values([line["choices"][name] for line in lines]) for name in names})


_FIELDS = tuple(NEUTRAL.items())


def _dtype(value: float) -> type:
    return np.int32 if isinstance(value, int) else np.float32


def _values(found: Sequence[Any]) -> np.ndarray:
    """Numbers as choices hold them; JSON keeps whole numbers and others apart, and float32 to the bit."""
    values = np.array(found)
    return values.astype(np.int32 if values.dtype.kind == "i" else np.float32)
