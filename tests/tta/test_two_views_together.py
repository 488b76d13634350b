"""Two views in one batch against one after the other: the same update but for rounding, without dropout."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dhauds_jax.nets import zoo
from dhauds_jax.nets.normalisers import batch, grouped_batch
from dhauds_jax.tta import methods
from dhauds_jax.tta.methods.dhauds import dhauds
from dhauds_jax.types import Batch, RunInfo, Running


def test_groups_are_normalised_as_batches_one_behind_the_other():
    rng = np.random.default_rng(0)
    x, y = (jnp.asarray(rng.normal(m, s, (6, 5, 3)), jnp.float32) for m, s in ((0, 1), (2, 3)))
    weights = jnp.array([1.0, 1, 1, 1, 1, 0])
    running = Running(jnp.zeros(3), jnp.ones(3))
    a, kept = batch(x, running, 1e-5, weights)
    b, kept = batch(y, kept, 1e-5, weights)
    found, both = grouped_batch(2)(jnp.concatenate([x, y]), running, 1e-5, jnp.tile(weights, 2))
    np.testing.assert_allclose(found, jnp.concatenate([a, b]), atol=1e-6)
    np.testing.assert_allclose(jnp.stack(both), jnp.stack(kept), atol=1e-6)


@pytest.mark.slow
def test_an_update_of_both_views_together_equals_one_after_the_other():
    config = zoo.preset("amaut_tiny", [f"class{i}" for i in range(4)])
    config = config.replace(geometry={**config.geometry, "token_dropout": 0.0})
    net = zoo.build(config)
    wave = jnp.asarray(0.1 * np.random.default_rng(0).normal(size=(6, config.length)), jnp.float32)
    variables = net.init(jax.random.key(0), wave[:1])
    given = Batch(wave, jnp.array([1.0, 1, 1, 1, 1, 0]), jnp.arange(6, dtype=jnp.int32))
    ends = []
    for forward in ("one_by_one", "together"):
        method = dhauds(net, lr=1.0, forward=forward)  # the parameters' difference is then the gradient
        state = method.init(variables, RunInfo(1, 6, 4))
        ends.append(jax.jit(method.step)(state, given, jax.random.key(1)))
    (one, wanted), (two, found) = ends
    for name, value in wanted.losses.items():
        assert float(found.losses[name]) == pytest.approx(float(value), rel=1e-5, abs=1e-6), name
    np.testing.assert_allclose(found.logits, wanted.logits, atol=1e-5)
    for a, b in zip(*(jax.tree.leaves(s.variables["batch_stats"]) for s in (two, one)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)

    def length(a, b):
        gaps = jax.tree.map(lambda x, y: jnp.sum(jnp.square(x - y)), a.variables["params"], b)
        return float(sum(jax.tree.leaves(gaps))) ** 0.5

    gap = length(two, one.variables["params"]) / length(one, variables["params"])
    print(gap)
    assert gap < 1e-4


def test_the_option_is_recorded_only_where_it_changes_something():
    assert "forward" not in methods.resolve_options("dhauds", "reference", {})
    assert methods.resolve_options("dhauds", "reference", {"forward": "together"})["forward"] == "together"
    net = zoo.build(zoo.preset("amaut_tiny", ["a", "b"]))
    with pytest.raises(ValueError, match="unknown forward of method dhauds 'both': expected one_by_one or together"):
        dhauds(net, forward="both")
    with pytest.raises(ValueError, match="forward=together has no axis to spread its batch over"):
        dhauds(net, forward="together", axis_name="batch")
