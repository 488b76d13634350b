"""From audio files to the device: read by threads, kept or streamed (tf.data), batched, moved ahead of use.

Nothing here imports TensorFlow before it is needed: a set in memory goes without.
"""

from dhauds_jax.data.pipeline.decoding import available, to_int16
from dhauds_jax.data.pipeline.features import feature_dataset
from dhauds_jax.data.pipeline.source import (
    MEMORY_BUDGET_MB,
    ClipBatch,
    ClipSplit,
    batches,
    epoch_order,
    from_arrays,
    memory_mb,
    narrowed,
    open_split,
    to_device,
    to_float,
)

__all__ = [
    "MEMORY_BUDGET_MB", "ClipBatch", "ClipSplit", "available", "batches", "epoch_order", "feature_dataset",
    "from_arrays", "memory_mb", "narrowed", "open_split", "to_device", "to_float", "to_int16",
]  # fmt: skip
