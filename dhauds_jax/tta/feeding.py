"""How the clips of a set reach the devices: row by row from the host, or once as a whole and then by their numbers."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from dhauds_jax.parallel import ONE, Parallel, put_rows, rows_sharding
from dhauds_jax.types import Batch

HELD_SHARE = 0.1
"""Share of an accelerator's memory that a held set may take; a run has up to three."""


def padded(batch: Any, multiple: int) -> Any:
    """A batch of numpy arrays with so many rows that devices get equally many: copies of its first row at weight 0.

    Args:
      batch: a NamedTuple of (batch, ...) arrays with a field `weights`; a field `slot`, if it has one, then says which
        rows the batch size counts.
      multiple: of which the number of rows must be one.
    """
    rows = len(batch.weights)
    missing = -rows % multiple
    if not missing:
        return batch

    def fill(x: np.ndarray) -> np.ndarray:
        return np.concatenate([x, np.broadcast_to(x[:1], (missing, *x.shape[1:]))])

    counted = np.concatenate([np.ones(rows, np.float32), np.zeros(missing, np.float32)])
    filled = jax.tree.map(fill, batch)
    filled = filled._replace(weights=filled.weights * counted.astype(filled.weights.dtype))
    return filled._replace(slot=counted) if "slot" in batch._fields else filled


class Held:
    """A set (clips, time) that lies on every device, from which batches are taken there by row numbers.

    16-bit samples stay 16-bit when that loses nothing, and become `x / 32768` when a batch is taken.
    """

    def __init__(self, waves: np.ndarray, parallel: Parallel = ONE):
        """Uploads the set once."""
        exact = as_int16(waves)
        waves = np.asarray(waves) if exact is None else exact
        self.parallel = parallel
        self._clips = len(waves)
        if parallel.kind == "jit":
            self.waves = jnp.asarray(waves)
        else:
            whole = NamedSharding(parallel.mesh, PartitionSpec())
            self.waves = jax.make_array_from_callback(waves.shape, whole, lambda index: waves[index])

    def __len__(self) -> int:
        return self._clips

    def take(self, index: Any, stacked: bool) -> jax.Array:
        """The waves of rows that lie on the devices as `put_rows` laid their numbers."""
        return _taker(self.parallel, stacked)(self.waves, index)


Waves = np.ndarray | Held
"""A set as `evaluate` and the protocols take it."""


@functools.lru_cache(maxsize=8)
def _taker(parallel: Parallel, stacked: bool) -> Any:
    sharding = None if parallel.kind == "jit" else rows_sharding(parallel, stacked)

    def take(waves: jax.Array, index: jax.Array) -> jax.Array:
        rows = waves[index]
        # A power of two: exact, whatever it is fused with.
        return rows.astype(jnp.float32) * jnp.float32(2**-15) if rows.dtype == jnp.int16 else rows

    return jax.jit(take, out_shardings=sharding)


def as_int16(waves: np.ndarray) -> np.ndarray | None:
    """The set as 16-bit samples `32768 x`, or None where that would change a value."""
    if waves.dtype != np.float32:
        return None
    out = np.empty(waves.shape, np.int16)
    for start in range(0, len(waves), 256):
        part = waves[start : start + 256] * np.float32(2**15)
        whole = np.rint(part)
        if not (np.array_equal(whole, part) and np.all(np.abs(whole + 0.5) <= 2**15 - 0.5)):
            return None
        out[start : start + 256] = whole
    return out


def hold(waves: np.ndarray | None, parallel: Parallel, budget_mb: float | None = None) -> Waves | None:
    """The set on the devices, if it fits; else as it is, and its rows go there batch by batch.

    Args:
      waves: (clips, time), or None, which is handed on.
      parallel: where updates run.
      budget_mb: MiB that it may take (None: a share of an accelerator's memory; nothing on a CPU, whose memory the set
        is in already).
    """
    if waves is None:
        return None
    if budget_mb is None:
        device = jax.local_devices()[0]
        limit = 0 if device.platform == "cpu" else (device.memory_stats() or {}).get("bytes_limit", 0)
        budget_mb = HELD_SHARE * limit / 2**20
    return Held(waves, parallel) if waves.nbytes <= budget_mb * 2**20 else waves


def batch_of(waves: Waves, rows: np.ndarray, weights: np.ndarray, parallel: Parallel = ONE) -> Batch:
    """The batch of some rows of a set, on the devices; a ragged share is filled up with rows of weight 0."""
    batch = padded(Batch(np.asarray(rows, np.int32), weights, np.asarray(rows, np.int32)), parallel.devices)
    return _laid_out(waves, batch, parallel, stacked=False)


def batches_of(waves: Waves, batches: Sequence[tuple[np.ndarray, np.ndarray]], parallel: Parallel = ONE) -> Batch:
    """Several batches (rows, weights) as one whose leaves have another axis: of the batches."""
    each = [padded(Batch(np.asarray(r, np.int32), w, np.asarray(r, np.int32)), parallel.devices) for r, w in batches]
    return _laid_out(waves, jax.tree.map(lambda *leaves: np.stack(leaves), *each), parallel, stacked=True)


def _laid_out(waves: Waves, batch: Batch, parallel: Parallel, stacked: bool) -> Batch:
    """A batch whose `wave` holds row numbers, with the waves in their place."""
    if isinstance(waves, Held):
        batch = put_rows(parallel, batch, stacked)
        return batch._replace(wave=waves.take(batch.wave, stacked))
    return put_rows(parallel, batch._replace(wave=waves[batch.wave]), stacked)
