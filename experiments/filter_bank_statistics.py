"""Mean and deviation of filter banks, measured over a training split, for the config of a network."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from tqdm import tqdm

from dhauds_jax.data.pipeline import Source, batches, to_device, to_float
from dhauds_jax.nets import zoo
from dhauds_jax.nets.config import ClassifierConfig

CHOICES = ("preset", "train_set")
"""Values of `--input_statistics`."""


def with_measured_statistics(
    config: ClassifierConfig, clips: Source, choice: str, batch_size: int = 100
) -> ClassifierConfig:
    """The config with the mean and the deviation of all filter-bank values of the clips ("train_set"), or as it is.

    Padding after a clip's end counts as it does for the network: as silence of the clip, or as zeros behind it.

    Args:
      config: of a network on Kaldi filter banks.
      clips: rows as long as the config's clips, or longer (their heads count).
      choice: of `CHOICES`.
      batch_size: clips at a time.

    Raises:
      ValueError: an unknown choice, or another front end.
    """
    if choice not in CHOICES:
        raise ValueError(f"--input_statistics={choice}: expected {' or '.join(CHOICES)}")
    if choice == "preset":
        return config
    if config.front_end["kind"] != "kaldi_fbank":
        raise ValueError(
            f"--input_statistics=train_set: the front end of {config.net} is {config.front_end['kind']}, expected a "
            "net on Kaldi filter banks such as ssast_tiny"
        )
    bare = config.replace(front_end={**config.front_end, "mean": 0.0, "std": 1.0, "std_factor": 1.0})
    features = zoo.front_end(bare)

    @jax.jit
    def sums(batch):
        values = features(to_float(batch.wave)[:, : config.length])
        weights = jnp.asarray(batch.weights)[:, None, None]
        return (weights * values).sum(), (weights * values**2).sum(), weights.sum() * values[0].size

    found = np.zeros(3)
    steps = -(-len(clips.ids) // batch_size)
    for batch in tqdm(to_device(batches(clips, np.arange(len(clips.ids)), batch_size)), "statistics", steps):
        found += np.array([float(x) for x in sums(batch)])
    mean = found[0] / found[2]
    std = float(np.sqrt(found[1] / found[2] - mean**2))
    return config.replace(front_end={**config.front_end, "mean": round(float(mean), 6), "std": round(std, 6)})
