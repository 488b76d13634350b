"""A classifier small enough to adapt by hand: BatchNorm of two numbers, scaled and shifted, are the two logits."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np

from dhauds_jax.tta import methods
from dhauds_jax.types import Batch, Classifier, Linear, Method, Outputs, RunInfo, Running

SCALE, BIAS = np.array([1.0, 2.0]), np.array([0.1, -0.2])
VARIABLES = {
    "params": {"encoder": {"batch_norm": {"scale": jnp.asarray(SCALE), "bias": jnp.asarray(BIAS)}}},
    "batch_stats": {"encoder": {"batch_norm": {"mean": jnp.asarray([0.2, -0.1]), "var": jnp.asarray([1.5, 0.8])}}},
}
MEAN, VAR = np.array([0.2, -0.1]), np.array([1.5, 0.8])
WAVE = np.random.default_rng(1).normal(0.5, 1.0, (8, 2)).astype(np.float32)
BATCH = Batch(jnp.asarray(WAVE), jnp.ones(8), jnp.arange(8, dtype=jnp.int32))
INFO = RunInfo(steps_per_epoch=2, clips=8, classes=2, batch_size=8)


def classifier() -> Classifier:
    """logits = scale * normalised wave + bias, on clips of two samples."""

    def apply(variables, wave, *, mode, weights=None, rngs=None, axis_name=None):
        p, s = variables["params"]["encoder"]["batch_norm"], variables["batch_stats"]["encoder"]["batch_norm"]
        y, kept = mode.norm(wave, Running(s["mean"], s["var"]), 1e-5, weights, axis_name)
        logits = y * p["scale"][None] + p["bias"][None]
        stats = {"encoder": {"batch_norm": {"mean": kept.mean, "var": kept.var}}}
        return Outputs(logits, logits, logits[:, None]), stats

    head = lambda variables: Linear(jnp.eye(2), jnp.zeros(2))  # noqa: E731
    return Classifier(None, apply, lambda w: w, apply, head, SimpleNamespace(length=2))


def compiled(name: str, **options) -> Method:
    """A method on this classifier, step and prediction jitted: operation by operation they would take longer."""
    method = methods.make(name, classifier(), methods.resolve_options(name, "reference", options))
    return method._replace(step=jax.jit(method.step), predict=jax.jit(method.predict))


def affine(variables) -> np.ndarray:
    """The four moving numbers: scales, then shifts."""
    p = variables["params"]["encoder"]["batch_norm"]
    return np.concatenate([p["scale"], p["bias"]]).astype(np.float64)


def logits(x: np.ndarray, numbers: np.ndarray, mean: np.ndarray = MEAN, var: np.ndarray = VAR) -> np.ndarray:
    """The classifier in numpy: `numbers` are scales and shifts."""
    return (np.asarray(x, np.float64) - mean) / np.sqrt(var + 1e-5) * numbers[:2] + numbers[2:]


def softmax(z: np.ndarray) -> np.ndarray:
    p = np.exp(z - z.max(-1, keepdims=True))
    return p / p.sum(-1, keepdims=True)


def entropy(z: np.ndarray) -> np.ndarray:
    p = softmax(z)
    return -(p * np.log(p)).sum(-1)


def gradient(loss, numbers: np.ndarray) -> np.ndarray:
    """Central differences in float64."""
    steps = 1e-6 * np.eye(len(numbers))
    return np.array([(loss(numbers + e) - loss(numbers - e)) / 2e-6 for e in steps])


def adams_first_step(numbers: np.ndarray, slope: np.ndarray, lr: float) -> np.ndarray:
    """`lr g / (|g| + 1e-8)` down."""
    return numbers - lr * slope / (np.abs(slope) + 1e-8)
