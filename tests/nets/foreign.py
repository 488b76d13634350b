"""A network of a user's own: a front end, a head, a family and two presets, none of which the package knows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jax import Array
from jax.typing import DTypeLike

from dhauds_jax.nets import ClassifierConfig, Family, FrontEnd
from dhauds_jax.types import Linear

ENERGY = "tests.nets.foreign:LOG_ENERGY"


def _log_energy(constants: Mapping[str, Any], rate: int) -> Callable[[Array], Array]:
    window = constants["window"]
    return lambda wave: jnp.log(jnp.square(wave).reshape(wave.shape[0], -1, window) + 1e-6)


LOG_ENERGY = FrontEnd(("window",), _log_energy)


class MaxPool(nn.Module):
    """The largest value over the tokens, a linear layer."""

    classes: int
    scale: float
    centred: bool = False

    @nn.compact
    def __call__(self, tokens, *, mode, weights=None, axis_name=None):
        x = self.scale * (tokens.max(1) - (tokens.mean(1) if self.centred else 0.0))
        return nn.Dense(self.classes, name="classifier")(x), x

    @staticmethod
    def linear(params: Mapping[str, Any]) -> Linear:
        return Linear(params["classifier"]["kernel"], params["classifier"]["bias"])


class Frames(nn.Module):
    """One linear layer over each frame."""

    width: int
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(self, features, *, mode, weights=None, axis_name=None):
        return nn.relu(nn.Dense(self.width, dtype=self.dtype, name="embed")(features)).astype(features.dtype)


def _build(config: ClassifierConfig, dtype: DTypeLike | None = None) -> Frames:
    return Frames(config.geometry["width"], dtype)


FAMILY = Family(_build, ("dtype",))


def tiny(classes: tuple[str, ...] | None) -> ClassifierConfig:
    """400 samples, 10 frames, eight numbers a frame."""
    return ClassifierConfig(
        net="mine",
        family="tests.nets.foreign:FAMILY",
        geometry={"width": 8},
        head={"kind": "tests.nets.foreign:MaxPool", "scale": 0.5},
        front_end={"kind": ENERGY, "window": 40},
        sample_rate=16000,
        length=400,
        classes=classes or ("no", "yes"),
    )


def text(classes: tuple[str, ...] | None) -> str:
    """No preset: it gives no record."""
    return "a network"


NUMBER = 3
