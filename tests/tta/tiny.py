"""Tiny classifiers and streams for the contract table: they compile in a second."""

from __future__ import annotations

import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from dhauds_jax.nets import zoo
from dhauds_jax.nets.config import ClassifierConfig
from dhauds_jax.nets.layers import BatchNorm, Dense, Dropout
from dhauds_jax.nets.normalisers import EVAL, keeping
from dhauds_jax.types import Classifier, Linear, Outputs

CLASSES, LENGTH, CLIPS = 4, 256, 22


class _TinyEncoder(nn.Module):
    kind: str

    @nn.compact
    def __call__(self, wave, *, mode, weights, axis_name):
        x = Dense(12)(wave.reshape(wave.shape[0], -1, 32))
        if self.kind == "batch_norm":
            x = BatchNorm(name="batch_norm")(x, mode=mode, weights=weights, axis_name=axis_name)
        else:
            x = nn.LayerNorm(name="layer_norm")(x)
        return Dropout(0.1)(nn.relu(x), active=mode.dropout, axis_name=axis_name)


class _TinyHead(nn.Module):
    @nn.compact
    def __call__(self, tokens):
        embedding = tokens.mean(1)
        return Dense(CLASSES, name="classify")(embedding), embedding


class _TinyShared(nn.Module):
    @nn.compact
    def __call__(self, wave, **batch):
        return _TinyEncoder("batch_norm", name="extractor")(wave, **batch)


class _TinyAux(nn.Module):
    @nn.compact
    def __call__(self, tokens, *, mode, weights, axis_name):
        mode = mode._replace(norm=mode.aux or keeping(mode.norm))
        x = BatchNorm(name="batch_norm")(tokens.mean(1), mode=mode, weights=weights, axis_name=axis_name)
        return Dense(3, name="classify")(x)


class _TinyNet(nn.Module):
    kind: str

    def setup(self):
        self.head = _TinyHead()
        if self.kind == "aux":
            self.encoder, self.aux = _TinyShared(), _TinyAux()
        else:
            self.encoder = _TinyEncoder(self.kind)

    def __call__(self, wave, *, mode, weights=None, axis_name=None):
        batch = {"mode": mode, "weights": weights, "axis_name": axis_name}
        tokens = self.encoder(wave, **batch)
        return Outputs(*self.head(tokens), tokens, self.aux(tokens, **batch) if self.kind == "aux" else None)


def tiny_classifier(kind: str) -> Classifier:
    """A linear encoder, dropout 0.1, and a linear head, on clips of 256 samples.

    `kind` is "batch_norm", "layer_norm", or "aux": with BatchNorm and an auxiliary head of three classes.
    """
    net = _TinyNet(kind)

    def init(key, wave):
        return {"batch_stats": {}, **net.init({"params": key}, wave, mode=EVAL)}

    def apply(variables, wave, *, mode, weights=None, rngs=None, axis_name=None):
        out, new = net.apply(
            variables, wave, mode=mode, weights=weights, axis_name=axis_name, rngs=rngs, mutable=["batch_stats"]
        )
        return out, new.get("batch_stats", variables["batch_stats"])

    def head(variables):
        last = variables["params"]["head"]["classify"]
        return Linear(last["kernel"], last["bias"])

    config = zoo.preset("amaut_tiny", [f"class{i}" for i in range(CLASSES)]).replace(length=LENGTH)
    return Classifier(init, apply, lambda wave: wave, apply, head, config)


def config_of(name: str, length: int | None = None, **geometry: Any) -> ClassifierConfig:
    """The record of one of the zoo's own test sizes, but for what is given."""
    config = zoo.preset(name, [f"class{i}" for i in range(CLASSES)])
    return config.replace(length=length or config.length, geometry={**config.geometry, **geometry})


def traced_once(classifier: Classifier) -> Classifier:
    """The classifier whose forward pass is one jitted function: traced once a mode and shape, whatever runs it."""
    apply, from_features = (
        jax.jit(f, static_argnames=("mode", "axis_name")) for f in (classifier.apply, classifier.apply_features)
    )
    return classifier._replace(apply=apply, apply_features=from_features)


def from_zoo(name: str, **smaller: Any) -> Classifier:
    """One of the zoo's own test sizes, but for what `config_of` is given."""
    return traced_once(zoo.build(config_of(name, **smaller)))


ZOO = {
    "amaut_tiny": {"stages": [0]},
    "hubert_tiny": {"length": 400, "convs": [[16, 10, 5], [16, 4, 4]], "depth": 1},
    "ssast_test": {"depth": 1},
    "conmix_tiny": {"units": [1], "depth": 1},
    "vggish_small": {"length": 15_600, "widths": [1], "convs": [1], "dense": [4]},
}
"""The zoo's own test sizes, one a family, and what is smaller still in `NETS`: a stage, a block, three convolutions."""

NETS = {
    "batch_norm": lambda: tiny_classifier("batch_norm"),
    "layer_norm": lambda: tiny_classifier("layer_norm"),
    "aux": lambda: tiny_classifier("aux"),
    **{name: functools.partial(from_zoo, name, **sizes) for name, sizes in ZOO.items()},
}


def waves(length: int = LENGTH, clips: int = CLIPS) -> np.ndarray:
    """Noisy tones, one pitch a class."""
    rng = np.random.default_rng(0)
    t = np.arange(length)
    tones = np.stack([np.sin(2 * np.pi * (3 + 5 * (i % CLASSES)) * t / 256) for i in range(clips)])
    return (0.3 * tones + 0.05 * rng.normal(size=(clips, length))).astype(np.float32)


def length_of(net: str) -> int:
    """Samples of a clip for one of `NETS`."""
    return config_of(net, **ZOO[net]).length if net in ZOO else LENGTH


def variables_of(classifier: Classifier, length: int):
    """Random variables with statistics that are not the initial ones."""
    variables = classifier.init(jax.random.key(0), jnp.zeros((2, length)))
    stats = jax.tree.map(lambda s: s + 0.05, variables["batch_stats"])
    return {**variables, "batch_stats": stats}
