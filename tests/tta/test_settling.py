"""Statistics of the whole set before the first update: by hand, as what many passes come to, and of whom."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dhauds_jax.tta import methods, protocols, settling
from dhauds_jax.tta.feeding import batch_of
from dhauds_jax.types import RunInfo
from tests.tta import tiny

WAVES = tiny.waves()
ORDER = np.random.default_rng(3).permutation(tiny.CLIPS)


def started(name, net="batch_norm", **options):
    """A network, its variables, a compiled method and its first state."""
    classifier = tiny.NETS[net]()
    variables = tiny.variables_of(classifier, tiny.LENGTH)
    method = methods.make(name, classifier, methods.resolve_options(name, "corrected", options))
    state = method.init(variables, RunInfo(3, tiny.CLIPS, tiny.CLASSES, None, 8))
    return classifier, variables, protocols.compiled(method), state


def test_they_are_the_means_over_batches_of_means_and_unbiased_variances():
    """Worked out in float64 by numpy: batches of 8, 8 and 6 clips, whose padded rows count nothing."""
    classifier, variables, _, _ = started("norm")
    found = settling.settled(classifier, variables, WAVES, 8, ORDER)
    dense = jax.tree.map(np.float64, variables["params"]["encoder"]["Dense_0"])
    wanted = np.zeros((2, 12))
    for rows in (ORDER[:8], ORDER[8:16], ORDER[16:]):
        x = (WAVES[rows].astype(np.float64).reshape(len(rows), -1, 32) @ dense["kernel"] + dense["bias"]).reshape(
            -1, 12
        )
        wanted += len(rows) / 22 * np.stack([x.mean(0), x.var(0, ddof=1)])
    statistics = found["batch_stats"]["encoder"]["batch_norm"]
    np.testing.assert_allclose(statistics["mean"], wanted[0], rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(statistics["var"], wanted[1], rtol=1e-5)
    assert found["params"] is variables["params"]


def test_many_updates_tend_to_them():
    """In batches of the whole set a running statistic goes a tenth of what is left: 1e-9 of it after 200 updates."""
    classifier, variables, run, state = started("norm")
    wanted = settling.settled(classifier, variables, WAVES, tiny.CLIPS, ORDER)["batch_stats"]
    first = jax.tree.map(np.asarray, variables["batch_stats"])
    batch = batch_of(WAVES, ORDER, np.ones(tiny.CLIPS, np.float32))
    state = protocols.compiled(run.method).step(state, batch, jax.random.key(0))[0]
    once = jax.tree.map(np.asarray, state.variables["batch_stats"])
    for before, after, end in zip(*map(jax.tree.leaves, (first, once, wanted)), strict=True):
        np.testing.assert_allclose(after - before, 0.1 * (end - before), rtol=1e-4, atol=1e-7)
    step = jax.jit(run.method.step)
    for _ in range(200):
        state = step(state, batch, jax.random.key(0))[0]
    for end, found in zip(*map(jax.tree.leaves, (wanted, state.variables["batch_stats"])), strict=True):
        np.testing.assert_allclose(found, end, rtol=2e-5, atol=1e-6)


def test_those_of_a_head_for_another_task_stay():
    classifier, variables, _, _ = started("norm", net="aux")
    found = settling.settled(classifier, variables, WAVES, 8, ORDER)["batch_stats"]
    for name, moved in (("encoder", True), ("aux", False)):
        pairs = zip(*(jax.tree.leaves(tree[name]) for tree in (variables["batch_stats"], found)), strict=True)
        assert {not np.array_equal(before, after) for before, after in pairs} == {moved}


def test_counters_and_large_statistics_stay_what_they_are():
    """A mean of counters is none; and a variance of 2e-6 is not lost beside one of 100 that the source model had."""
    net, variables, _, _ = started("norm")
    stats = {**variables["batch_stats"], "count": jnp.int32(7)}
    far = jax.tree.map(lambda leaf: leaf + 1e6 if leaf.dtype == jnp.float32 else leaf, stats)

    def apply(variables, wave, **how):
        inner = {**variables, "batch_stats": {"encoder": variables["batch_stats"]["encoder"]}}
        out, new = net.apply(inner, wave, **how)
        return out, {**new, "count": variables["batch_stats"]["count"] + 1}

    found = settling.settled(net._replace(apply=apply), {**variables, "batch_stats": far}, WAVES, 8, ORDER)
    wanted = settling.settled(net, variables, WAVES, 8, ORDER)["batch_stats"]
    assert found["batch_stats"]["count"].dtype == jnp.int32 and int(found["batch_stats"]["count"]) == 7
    for one, other in zip(*map(jax.tree.leaves, (wanted, {"encoder": found["batch_stats"]["encoder"]})), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("name", "options", "net", "follows"),
    [
        ("norm", {}, "batch_norm", True),
        ("norm", {"statistics": "batch"}, "batch_norm", False),
        ("tent", {}, "batch_norm", True),
        ("tent", {"group": "norm"}, "layer_norm", False),
        ("shot", {}, "batch_norm", True),
        ("notela", {}, "batch_norm", False),
        ("t3a", {}, "batch_norm", False),
        ("source", {}, "batch_norm", False),
    ],
)
def test_a_method_follows_the_set_where_its_step_moves_the_statistics(name, options, net, follows):
    """By the traced step; beside it, by what one step does."""
    _, variables, run, state = started(name, net, **options)
    batch = batch_of(WAVES, ORDER[:8], np.ones(8, np.float32))
    assert settling.follows(run, state, batch) == follows
    before = jax.tree.map(np.asarray, variables["batch_stats"])
    state = run.step(jax.tree.map(jnp.copy, state), batch, jax.random.key(0))[0]  # traced already, and once
    after = jax.tree.map(np.asarray, state.variables["batch_stats"])
    assert any(not np.array_equal(*pair) for pair in zip(*map(jax.tree.leaves, (before, after)))) == follows
