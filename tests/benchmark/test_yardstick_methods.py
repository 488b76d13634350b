"""The yardstick's methods are ours: from the same weights, one update changes the same numbers by as much."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from converters.mapping import canonical_name
from dhauds_jax.benchmark import pytorch
from dhauds_jax.tta import methods
from dhauds_jax.tta.options import parse_options
from dhauds_jax.types import Batch, RunInfo, SourceData
from tests.benchmark.yardstick import CONFIGS, network_of, random_variables, state_of

STILL = {"cotta": {"shift": 0.0, "gain_db": 0.0, "noise": 0.0, "restore": 0.0}, "dhauds": {"limit": 0.0}}
STILL |= {"roid": {"limit": 0.0}, "rotta": {"shift": 0.0, "noise": 0.0}, "suta": {"shift": 0.0}}
STILL |= {"memo": {"shift": 0.0, "gain_db": 0.0, "noise": 0.0}}
"""Options without which both sides would draw views of their own."""

ASKED = {
    "eata": {"margin": 1.0, "redundancy": 1.0, "fisher": 10.0},
    "sar": {"margin": 1.0, "recover": 0.0},
    # Adam makes a whole step of a gradient's rounding error, where the gradient is 0: a shift before a BatchNorm.
    "roid": {"optimiser": "sgd", "lr": 0.1},
    # Of teacher and student with the same weights the plain cross-entropy has no gradient.
    "cotta": {"optimiser": "sgd", "lr": 0.1, "loss": "symmetric", "augmentations": 2, "teacher_momentum": 0.9},
    "rotta": {"capacity": 4, "lr": 0.01, "nu": 0.5},
    "suta": {"iterations": 2, "augmentations": 3, "lr": 1e-3},
    "memo": {"augmentations": 3},
    "dhauds": {"lr": 0.1},
}
CLIPS = {"suta": 1, "memo": 1, "roid": 8}


def both(name, updates=2):
    """Predictions of either side, a row an update, and what either has changed since the beginning, name by name."""
    torch = pytest.importorskip("torch")
    pytest.importorskip("torchaudio", exc_type=(ImportError, OSError))
    from benchmarks.yardstick.methods import METHODS

    config = CONFIGS["hubert"]()
    classifier, variables = random_variables(config)
    clips = CLIPS.get(name, 4)
    waves = np.random.default_rng(2).normal(size=(clips, config.length)).astype(np.float32)
    options = {**parse_options(name, "reference", [], [name]), **STILL.get(name, {}), **ASKED.get(name, {})}
    net = network_of(config, variables, waves.shape[1:])
    first = {key: value.clone() for key, value in net.state_dict().items()}
    theirs = METHODS[name](net, pytorch.options_of(name, options))
    theirs.observe(torch.from_numpy(waves))
    method = methods.make(name, classifier, options)
    source = SourceData(jnp.asarray(waves), jnp.arange(clips, dtype=jnp.int32) % 3)
    state = method.init(variables, RunInfo(1, clips, 3, source, clips))
    if name == "rotta":  # with the teacher's weights the student would have no gradient
        student = jax.tree.map(lambda leaf: leaf + 0.1, state.memory.student)
        state = state._replace(memory=state.memory._replace(student=student))
        with torch.no_grad():
            for parameter in theirs.moving:
                parameter.add_(0.1)
    batch = Batch(jnp.asarray(waves), jnp.ones(clips), jnp.arange(clips, dtype=jnp.int32))
    step, logits = jax.jit(method.step, compiler_options={"xla_backend_optimization_level": 0}), []
    for i in range(updates):
        state, prediction = step(state, batch, jax.random.key(i))
        logits.append((np.asarray(prediction.logits), theirs.step(torch.from_numpy(waves)).numpy()))
    moved = theirs.teacher if hasattr(theirs, "teacher") else theirs.net
    found = dict(moved.named_parameters())
    ours = state_of(config, jax.tree.map(np.asarray, state.variables), net)
    changes = {}
    for key, parameter in found.items():
        began = first[key].numpy()
        changes[key] = ours[canonical_name(key)] - began, parameter.detach().numpy() - began
    return logits, changes


@pytest.mark.slow
@pytest.mark.parametrize("name", pytorch.METHODS)
def test_updates_change_the_same_numbers_by_as_much(name):
    logits, changes = both(name)
    for ours, theirs in logits:
        np.testing.assert_allclose(jax.nn.log_softmax(ours), jax.nn.log_softmax(theirs), atol=2e-4)
    most = max(np.abs(theirs).max() for _, theirs in changes.values())
    assert most > 1e-5
    for key, (ours, theirs) in changes.items():
        # Of the largest change: float32 gradients of either side differ by their order of summation.
        np.testing.assert_allclose(ours, theirs, atol=2e-3 * most, err_msg=key)
    if name in ("tent", "eata", "rotta"):
        assert {key for key, (_, theirs) in changes.items() if theirs.any()} == {"head.bn2.weight", "head.bn2.bias"}
