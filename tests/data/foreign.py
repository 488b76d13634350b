"""What a user's own code may bring: a corruption with levels, one whose level is a number, one with recordings; a set.

They are asked for as "tests.data.foreign:NAME".
"""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import soundfile

from dhauds_jax.data.corruptions import Corruption, NoiseSource, StandIns, below, crop_choice, pick, share
from dhauds_jax.data.sets import ClipRef, DataSet, Generated, Order
from dhauds_jax.errors import BadInput

THRESHOLDS = {"soft": (0.4, 0.5), "hard": (0.1, 0.2)}


def choose_threshold(xp, bits, level, **_):
    return {"threshold": pick(xp, bits[..., 0], THRESHOLDS[level])}


def clip(wave, draw, noise, **_):
    peak = jnp.max(jnp.abs(wave))
    return jnp.clip(wave, -draw.choices["threshold"] * peak, draw.choices["threshold"] * peak)


CLIPPING = Corruption(choose_threshold, clip, levels=tuple(THRESHOLDS))
"""Samples beyond a drawn share of the peak are cut off."""


def check_seconds(level):
    if not level.removesuffix("ms").isdigit():
        raise BadInput(f"unknown level {level!r} of ECHO, expected milliseconds such as 20ms")


def choose_echo(xp, bits, level, **_):
    most = int(level.removesuffix("ms"))
    return {"milliseconds": 1 + below(xp, bits[..., 0], most), "loudness": share(xp, bits[..., 1:3])}


def echo(wave, draw, noise, *, sample_rate, step, **_):
    samples = step * sample_rate // 1000
    late = jnp.pad(wave, (samples, 0))
    first, second = draw.choices["loudness"]
    return jnp.pad(wave, (0, samples)) * first + late * second


ECHO = Corruption(
    choose_echo,
    echo,
    check_level=check_seconds,
    example="5ms",
    describe=lambda draw, level: {"seconds": draw.choices["milliseconds"].item() / 1000},
    static=lambda draw: int(draw.choices["milliseconds"]),
)
"""Clip and echo, each at a drawn loudness; the result is longer, by a drawn number of milliseconds."""


def choose_crop(xp, bits, level, *, noise_lengths, length, **_):
    return crop_choice(xp, bits, noise_lengths, length)


def under(wave, draw, noise, **_):
    return wave + 0.5 * noise


RAIN = Corruption(
    choose_crop,
    under,
    levels=("L1",),
    noise=NoiseSource(
        "rain/*.wav",
        lambda folder, level, rate: [(path.name, path) for path in sorted((folder / "rain").glob("*.wav"))],
        lambda level: StandIns(("white", "pink"), seed=77),
    ),
)
"""Recordings of rain at half their loudness."""

NO_CORRUPTION = "a text"


def make_tones(split, seed):
    count = {"train": 6, "test": 4}[split]
    tones = [np.sin(np.arange(800) * (0.1 + 0.2 * (i % 2))) for i in range(count)]
    return Generated(
        tuple(f"{split}/{i}" for i in range(count)), np.array(tones, np.float32), np.arange(count, dtype=np.int32) % 2
    )


def list_tones(data_dir, split, allow_partial):
    paths = sorted(data_dir.glob(f"{split}_*.wav"))
    return [ClipRef(path.name, path, i % 2) for i, path in enumerate(paths)], ()


def write_tones(folder):
    for split in ("train", "test"):
        for i, wave in enumerate(make_tones(split, 0).waves):
            soundfile.write(folder / f"{split}_{i}.wav", wave, 8_000)


_FACTS = dict(
    classes=("low", "high"),
    sample_rate=8_000,
    length=800,
    splits=("train", "test"),
    metric="accuracy",
    order=Order(),
    licence="mine",
    citation="me",
)
TONES = DataSet(name="tones", generate=make_tones, **_FACTS)
"""Two tones, made in memory."""
ON_DISK = (
    DataSet(name="tones_on_disk", listing=list_tones, **_FACTS),
    DataSet(name="tones_on_disk/turned", listing=list_tones, **{**_FACTS, "classes": ("high", "low")}),
)
"""The same on disk, with a variant."""
