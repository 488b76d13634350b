"""What a record says of a run's cost: passes by hand, under a window too; seconds with the method's start."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dhauds_jax import digests
from dhauds_jax.cells import loops, running
from dhauds_jax.cells.cell import Cell
from dhauds_jax.cells.source import source_model
from dhauds_jax.cells.targets import Target
from dhauds_jax.nets import zoo
from dhauds_jax.tta import methods, wrappers
from dhauds_jax.types import AdaptState
from tests.runs import tiny
from tests.tta import linear


def passes(name, options, window, batch_norm=True, protocol="batch1"):
    given = (("window", window),) if window else ()
    cell = Cell("synthetic", "WHN", "L2", "net", name, protocol, "reference", 0, (), 1, 8, "information")
    cell = cell._replace(protocol_options=given)
    method = methods.make(name, linear.classifier(), options)
    found = running._passes(wrappers.with_reset(method, "every:3"), cell, 1, batch_norm)
    return found["forward"], found["backward"]


@pytest.mark.parametrize(
    ("name", "options", "plain", "of_a_clip"),
    [
        ("tent", {}, (1, 1), (1 + 1, 0)),
        ("ttaug", {"augmentations": 8}, (9, 0), (1 + 9, 0)),
        ("rmt", {}, (4, 3), (2 + 2, 0)),
        ("suta", {"iterations": 3, "augmentations": 2}, (7, 6), (1 + 7, 6)),
        ("suta", {"iterations": 3, "augmentations": 2, "over": "batch", "reset": False}, (7, 6), (1 + 1, 0)),
        ("dsuta", {"iterations": 3, "augmentations": 1}, (7, 4), (1 + 4, 3)),
        ("auto", {"candidates": "tent+rmt"}, (1 + 1 + 4, 1 + 3), (2 + 2, 0)),
        ("auto", {"candidates": "tent+norm"}, (1 + 1 + 1, 1), (1 + 1, 0)),
    ],
)
def test_passes_of_a_window_are_those_of_its_clips_predictions(name, options, plain, of_a_clip):
    assert passes(name, options, 0) == plain
    assert passes(name, options, 5) == (plain[0] + 5 * of_a_clip[0], plain[1] + 5 * of_a_clip[1])


def test_without_batch_norm_a_window_has_no_pass_for_its_statistics():
    assert passes("ttaug", {"augmentations": 8}, 5, batch_norm=False) == (9 + 5 * 9, 0)


@pytest.mark.parametrize("protocol", ["online", pytest.param("offline", marks=pytest.mark.slow)])
def test_the_seconds_of_a_run_hold_those_of_the_methods_start(protocol, tmp_path, monkeypatch):
    """By a clock that goes on in `init` alone."""
    now = [100.0]
    for module in (running, loops):
        monkeypatch.setattr(module, "time", SimpleNamespace(perf_counter=lambda: now[0]))
    real = running.wrapped_method

    def slow_to_start(cell, classifier):
        method = real(cell, classifier)

        def init(variables, info):
            now[0] += 7.0
            return method.init(variables, info)

        return method._replace(init=init)

    monkeypatch.setattr(running, "wrapped_method", slow_to_start)
    classifier = zoo.build(zoo.preset("resnet_tiny", ("a", "b", "c")))
    source = source_model(classifier, classifier.init(jax.random.key(0), jnp.zeros((1, classifier.config.length))))
    waves = np.stack([tiny.tone(label, 0) for label in range(6)]).astype(np.float32)
    cell = Cell("tones", "WHN", "L1", "resnet_tiny", "source", protocol, "reference", 0, (), 1, 6, "information")
    target = Target(waves, np.arange(6) % 3, "accuracy")
    record = running.run_cell(cell, source, target, tmp_path, command="", progress=False)
    assert record["seconds"] == 7.0
    assert record["code"] == digests.of_code("cells", "data", "dsp", "nets", "tta")
    assert [point["epoch"] for point in record["curve"]] == [0, 1]
    assert ("selected_as_it_goes" in record) == (protocol == "online")  # a stream ran as one


def test_what_a_state_holds_beside_its_network():
    """A weight that moved, a momentum of it, one number of a memory; what stayed as it was is the network's own."""
    source = {"params": {"a": np.zeros((3, 4), np.float32), "b": np.ones(5, np.float32)}, "batch_stats": {}}
    moved = {"params": {"a": np.full((3, 4), 0.1, np.float32), "b": np.ones(5, np.float32)}, "batch_stats": {}}
    momentum, memory = {"a": np.zeros((3, 4), np.float32)}, (np.float64(2.0),)
    assert running.state_bytes(source, AdaptState(source, (), (), np.int32(0))) == 0
    assert running.state_bytes(source, AdaptState(moved, momentum, memory, np.int32(4))) == 48 + 48 + 8
