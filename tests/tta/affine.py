"""A classifier small enough to adapt by hand: `logits = scale * normalised wave + bias`, and its gradients in numpy."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from dhauds_jax.tta import methods
from dhauds_jax.types import Batch, Classifier, Linear, Outputs, RunInfo, Running

CLASSES = 3
SCALE, BIAS = np.array([1.0, 2.0, 1.5]), np.array([0.1, -0.2, 0.3])
VARIABLES = {
    "params": {"encoder": {"batch_norm": {"scale": jnp.asarray(SCALE), "bias": jnp.asarray(BIAS)}}},
    "batch_stats": {"encoder": {"batch_norm": {"mean": jnp.full(CLASSES, 0.2), "var": jnp.full(CLASSES, 1.5)}}},
}
VARIABLES = jax.tree.map(lambda x: x.astype(jnp.float32), VARIABLES)
INFO = RunInfo(steps_per_epoch=2, clips=16, classes=CLASSES, batch_size=8)


def classifier() -> Classifier:
    """One BatchNorm layer over clips of `CLASSES` samples."""

    def apply(variables, wave, *, mode, weights=None, rngs=None, axis_name=None):
        p, s = variables["params"]["encoder"]["batch_norm"], variables["batch_stats"]["encoder"]["batch_norm"]
        y, kept = mode.norm(wave, Running(s["mean"], s["var"]), 1e-5, weights, axis_name)
        logits = y * p["scale"][None] + p["bias"][None]
        stats = {"encoder": {"batch_norm": {"mean": kept.mean, "var": kept.var}}}
        return Outputs(logits, logits, logits[:, None]), stats

    return Classifier(None, apply, lambda w: w, apply, lambda v: Linear(jnp.eye(CLASSES), jnp.zeros(CLASSES)), None)


def wave(seed: int, rows: int = 8) -> np.ndarray:
    """Random clips."""
    return np.random.default_rng(seed).normal(1.0, 2.0, (rows, CLASSES)).astype(np.float32)


def batch(x: np.ndarray, weights: np.ndarray | None = None) -> Batch:
    """Clips as a batch, all real without `weights`."""
    w = np.ones(len(x)) if weights is None else weights
    return Batch(jnp.asarray(x), jnp.asarray(w, jnp.float32), jnp.arange(len(x), dtype=jnp.int32))


def make(name, info=INFO, axis_name=None, **options):
    """A method by name on this classifier, its step jitted, and its first state."""
    method = methods.make(name, classifier(), methods.resolve_options(name, "reference", options), axis_name)
    return method._replace(step=jax.jit(method.step)), method.init(VARIABLES, info)


def parameters(state) -> tuple[np.ndarray, np.ndarray]:
    """The scale and bias of a state."""
    p = state.variables["params"]["encoder"]["batch_norm"]
    return np.asarray(p["scale"]), np.asarray(p["bias"])


def running(state) -> tuple[np.ndarray, np.ndarray]:
    """The running mean and variance of a state."""
    s = state.variables["batch_stats"]["encoder"]["batch_norm"]
    return np.asarray(s["mean"]), np.asarray(s["var"])


def normalised(x: np.ndarray, rows: np.ndarray | None = None) -> np.ndarray:
    """Clips normalised with the statistics of (some of) them."""
    own = x if rows is None else x[rows]
    return (x - own.mean(0)) / np.sqrt(own.var(0) + 1e-5)


def softmax(z: np.ndarray) -> np.ndarray:
    """Row-wise."""
    p = np.exp(z - z.max(1, keepdims=True))
    return p / p.sum(1, keepdims=True)


def entropy(p: np.ndarray) -> np.ndarray:
    """Of each row, in nats."""
    return -(p * np.log(p)).sum(1)


def entropy_slope(p: np.ndarray) -> np.ndarray:
    """dH/dz of each row: -p (log p + H)."""
    return -p * (np.log(p) + entropy(p)[:, None])


def affine_slope(dz: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Gradients by scale and bias from those by the logits, `x` normalised."""
    return (dz * x).sum(0), dz.sum(0)
