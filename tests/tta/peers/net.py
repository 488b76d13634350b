"""The tiny net of `peers_tiny_bn.npz` as a Classifier, its data, and a method of ours run over them.

The file holds 36 runs of 17 methods by their authors' code: 6 batches of 32 noisy tones (16 frames of 16 samples), a
linear layer, BatchNorm over clips and frames, relu, the mean over frames, a linear head of 6 classes.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from dhauds_jax.nets.layers import BatchNorm, Dense
from dhauds_jax.nets.normalisers import EVAL
from dhauds_jax.tta import methods
from dhauds_jax.types import Batch, Classifier, Linear, Outputs, RunInfo, SourceData
from tests.paths import golden

STEPS, ROWS, TIME, FRAMES, CLASSES = 6, 32, 256, 16, 6
PLACES = {
    "inp.weight": ("encoder", "inp", "kernel"),
    "inp.bias": ("encoder", "inp", "bias"),
    "norm0.weight": ("encoder", "batch_norm", "scale"),
    "norm0.bias": ("encoder", "batch_norm", "bias"),
    "out.weight": ("head", "out", "kernel"),
    "out.bias": ("head", "out", "bias"),
}
"""The authors' names of the parameters -> their places in ours; weights are stored (out, in), kernels (in, out)."""
GOLD = golden("peers_tiny_bn")


def case(name: str) -> dict[str, np.ndarray]:
    """The arrays of a case by their names."""
    return {key.partition("/")[2]: value for key, value in GOLD.items() if key.partition("/")[0] == name}


class _Encoder(nn.Module):
    @nn.compact
    def __call__(self, wave, **batch):
        x = Dense(12, name="inp")(wave.reshape(wave.shape[0], FRAMES, -1))
        return nn.relu(BatchNorm(name="batch_norm")(x, **batch))


class _Head(nn.Module):
    @nn.compact
    def __call__(self, embedding):
        return Dense(CLASSES, name="out")(embedding)


class _Net(nn.Module):
    @nn.compact
    def __call__(self, wave, **batch):
        frames = _Encoder(name="encoder")(wave, **batch)
        embedding = frames.mean(1)
        return Outputs(_Head(name="head")(embedding), embedding, frames)


def classifier() -> Classifier:
    """The net."""
    net = _Net()

    def init(key, wave):
        return net.init({"params": key}, wave, mode=EVAL)

    def apply(variables, wave, *, mode, weights=None, rngs=None, axis_name=None):
        batch = {"mode": mode, "weights": weights, "axis_name": axis_name}
        out, new = net.apply(variables, wave, mutable=["batch_stats"], **batch)
        return out, new["batch_stats"]

    def head(variables):
        last = variables["params"]["head"]["out"]
        return Linear(last["kernel"], last["bias"])

    config = SimpleNamespace(length=TIME, classes=tuple("abcdef"))
    return Classifier(init, apply, lambda wave: wave, apply, head, config)


def of_ours(name: str, leaf: Any) -> Any:
    """One of the authors' arrays in our orientation, or one of ours in theirs."""
    return leaf.T if name in ("inp.weight", "out.weight") else leaf


def tree(leaves: dict[str, Any]) -> dict[str, Any]:
    """A parameter tree of ours from the authors' arrays."""
    made: dict[str, Any] = {}
    for name, leaf in leaves.items():
        *above, last = PLACES[name]
        made.setdefault(above[0], {}).setdefault(above[1], {})[last] = of_ours(name, leaf)
    return made


def leaf(params: Any, name: str) -> np.ndarray:
    """A parameter of ours by the authors' name, in their orientation."""
    return of_ours(name, np.asarray(functools.reduce(lambda node, key: node[key], PLACES[name], params)))


def variables(dtype: Any) -> dict[str, Any]:
    """The trained net."""
    taken = {name: jnp.asarray(GOLD[f"net/{name}"], dtype) for name in PLACES}
    mean, var = (jnp.asarray(GOLD[f"net/norm0.running_{which}"], dtype) for which in ("mean", "var"))
    return {"params": tree(taken), "batch_stats": {"encoder": {"batch_norm": {"mean": mean, "var": var}}}}


def batch(step: int, dtype: Any, row: slice = slice(None)) -> Batch:
    """A batch of the stream, or some of its rows; clips are numbered 32 step + row."""
    wave = jnp.asarray(GOLD["data/x"][step][row], dtype)
    index = jnp.arange(ROWS * step, ROWS * (step + 1), dtype=jnp.int32)[row]
    return Batch(wave, jnp.ones(wave.shape[0], dtype), index)


def info(dtype: Any) -> RunInfo:
    """The run: 6 batches, with the source's clips."""
    source = SourceData(jnp.asarray(GOLD["data/source_x"], dtype), jnp.asarray(GOLD["data/source_labels"], jnp.int32))
    return RunInfo(STEPS, STEPS * ROWS, CLASSES, source, ROWS)


class Ran(NamedTuple):
    """What a method said and left at each step."""

    options: Mapping[str, Any]
    logits: np.ndarray
    losses: dict[str, np.ndarray]
    states: list[Any]

    def params(self, name: str) -> np.ndarray:
        """A parameter, by the authors' name, after each step."""
        return np.stack([leaf(state.variables["params"], name) for state in self.states])

    def running(self, which: str) -> np.ndarray:
        """Running `mean` or `var` after each step."""
        return np.stack([state.variables["batch_stats"]["encoder"]["batch_norm"][which] for state in self.states])


def compiled(function: Any) -> Any:
    """The function jitted without XLA's optimisations, which take longer than these runs."""
    return jax.jit(function, compiler_options={"xla_backend_optimization_level": 0})


def key_of(step: int) -> Any:
    """The random key of a step."""
    return jax.random.key(step)


def run(name: str, dtype: Any, options: Mapping[str, Any], batches: Sequence[Batch] | None = None) -> Ran:
    """A method's own factory, with these options, over the stream (or over some batches of one size).

    A method that looks at the whole set does so before each pass.
    """
    resolved = methods.resolve_options(name, "reference", options)
    method = methods.make(name, classifier(), resolved)
    state = method.init(variables(dtype), info(dtype))
    step, logits, history, states = compiled(method.step), [], [], []
    stream = [batch(i, dtype) for i in range(STEPS)]
    for number, given in enumerate(batches or stream):
        if method.begin_epoch is not None and number % STEPS == 0:
            observe = compiled(method.observe)
            seen = [observe(state, one) for one in stream]
            whole = jax.tree.map(lambda *parts: jnp.concatenate(parts), *seen)
            state = compiled(method.begin_epoch)(state, whole, key_of(number))
        state, said = step(state, given, key_of(number))
        logits.append(said.logits)
        history.append(said.losses)
        states.append(jax.tree.map(np.asarray, state))
    losses = {key: np.stack([terms[key] for terms in history]) for key in history[0]}
    return Ran(resolved, np.stack(logits), losses, states)
