"""A small data set on disk in the Arabic Speech Commands layout, and a tiny trained-looking checkpoint for it."""

from __future__ import annotations

import csv
import functools
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import soundfile
from jax.typing import DTypeLike
from jaxtyping import Array

from dhauds_jax.data.sets.arabic_speech_commands import CLASSES
from dhauds_jax.nets import ClassifierConfig, checkpoint, zoo
from dhauds_jax.nets.family import Family, Preset
from dhauds_jax.nets.layers import BatchNorm, Dense, Dropout
from dhauds_jax.train.request import TrainOptions, TrainRun
from dhauds_jax.types import Mode

RATE = 16_000


def tone(label: int, take: int, samples: int = 4000) -> np.ndarray:
    """A noisy tone, one pitch a class."""
    rng = np.random.default_rng([label, take])
    t = np.arange(samples) / RATE
    return 0.3 * np.sin(2 * np.pi * (300 + 150 * label) * t) + 0.01 * rng.normal(size=samples)


def make_arabic(folder: Path, takes: dict[str, int] | None = None) -> Path:
    """Writes the csv files and one wav a class and take for every split."""
    for split, count in (takes or {"train": 2, "val": 1, "test": 1}).items():
        rows = []
        for label, word in enumerate(CLASSES):
            for take in range(count):
                file = f"dataset/{word}/{split}_{take}.wav"
                path = folder / file
                path.parent.mkdir(parents=True, exist_ok=True)
                soundfile.write(path, tone(label, take), RATE, subtype="PCM_16")
                rows.append((file, word))
        with (folder / f"{split}.csv").open("w", newline="") as out:
            csv.writer(out).writerows([("file", "class"), *rows])
    return folder


def make_noises(folder: Path) -> Path:
    """Writes the six SpeechCommands background noises, a second each."""
    kinds = ("doing_the_dishes", "dude_miaowing", "exercise_bike", "pink_noise", "running_tap", "white_noise")
    (folder / "_background_noise_").mkdir(parents=True)
    for i, kind in enumerate(kinds):
        wave = 0.1 * np.random.default_rng(i).normal(size=RATE)
        soundfile.write(folder / "_background_noise_" / f"{kind}.wav", wave, RATE, subtype="PCM_16")
    return folder


class Plain(nn.Module):
    """A linear map of each frame, BatchNorm, a ReLU and dropout: what commands need of an encoder, and no more."""

    width: int
    dropout: float
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(self, features: Array, *, mode: Mode, weights: Array | None, axis_name: str | None) -> Array:
        x = Dense(self.width, dtype=self.dtype, name="embed")(features).astype(features.dtype)
        x = BatchNorm(name="batch_norm")(x, mode=mode, weights=weights, axis_name=axis_name)
        return Dropout(self.dropout, name="dropout")(nn.relu(x), active=mode.dropout, axis_name=axis_name)


PLAIN = Family(lambda config, **compute: Plain(**config.geometry, **compute), compute=("dtype",))
"""The family of `Plain`."""


def smallest(classes: tuple[str, ...] | None) -> ClassifierConfig:
    """`amaut_tiny` with `Plain` for its encoder, which takes a small part of the time to trace and to compile."""
    config = zoo.preset("amaut_tiny", classes)
    return config.replace(family="tests.runs.tiny:PLAIN", geometry={"width": 16, "dropout": 0.15})


def residual(classes: tuple[str, ...] | None) -> ClassifierConfig:
    """`amaut_tiny` with one residual block and no transformer block, where it matters what a network is made of."""
    config = zoo.preset("amaut_tiny", classes)
    return config.replace(geometry={**config.geometry, "stages": [0], "depth": 0})


def levelled(classes: tuple[str, ...] | None) -> ClassifierConfig:
    """`amaut_tiny` as it is, whose transformer has levels to read."""
    return zoo.preset("amaut_tiny", classes)


def smallest_net(classes: tuple[str, ...] | None) -> ClassifierConfig:
    """The preset `NET`."""
    return smallest(classes).replace(net=NET)


NET = "tests.runs.tiny:smallest_net"
"""What --net says in a training of these tests."""


@functools.cache
def _variables(classes: tuple[str, ...], of: Preset) -> Any:
    config = of(classes)
    variables = zoo.build(config).init(jax.random.key(0), jnp.zeros((2, config.length)))
    return jax.tree.map(np.asarray, variables)


def make_checkpoint(folder: Path, classes: tuple[str, ...] = CLASSES, of: Preset = smallest) -> Path:
    """Writes an untrained network whose BatchNorm statistics are not the initial ones; drawn once a process."""
    variables = _variables(classes, of)
    stats = jax.tree.map(lambda s: s + 0.1, variables["batch_stats"])
    return checkpoint.save(folder, {**variables, "batch_stats": stats}, of(classes))


def a_training(place: Path, workdir: Path, options: TrainOptions, **changes: Any) -> TrainRun:
    """A training of `smallest_net` on `place/data` with the recordings in `place/noise`."""
    run = TrainRun(
        dataset="arabic_speech_commands",
        data_dir=str(place / "data"),
        noise_dir=str(place / "noise"),
        net=NET,
        workdir=str(workdir),
        seed=3,
        options=options,
    )
    return run.replace(**changes)
