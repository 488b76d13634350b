"""The fusion of a long clip's channels: its equation, and rows that count."""

import jax
import jax.numpy as jnp
import numpy as np

from dhauds_jax.nets.clap_fusion import Fusion, rows_that_count
from dhauds_jax.nets.normalisers import EVAL
from tests.nets.clap_goldens import drawn
from tests.paths import largest_error


def branch(x, params, stats):
    for i in (1, 2):
        x = x @ params[f"dense{i}"]["kernel"] + params[f"dense{i}"]["bias"]
        norm, held = params[f"batch_norm{i}"], stats[f"batch_norm{i}"]
        x = (x - held["mean"]) / np.sqrt(held["var"] + 1e-5) * norm["scale"] + norm["bias"]
        x = np.maximum(x, 0) if i == 1 else x
    return x


def test_fusion_is_its_equation_and_one_row_is_that_of_a_batch():
    x, y = jnp.asarray(np.random.default_rng(0).normal(size=(2, 3, 4, 5, 8)), jnp.float32)
    fusion = Fusion(2)
    variables = drawn(jax.eval_shape(lambda key: fusion.init(key, x, y, mode=EVAL), jax.random.key(0)))
    run = jax.jit(lambda x, y: fusion.apply(variables, x, y, mode=EVAL))
    found, alone = run(x, y), run(x[1:2], y[1:2])
    params, stats = jax.tree.map(lambda a: np.asarray(a, np.float64), (variables["params"], variables["batch_stats"]))
    local, whole = ((params[f"{name}_attention"], stats[f"{name}_attention"]) for name in ("local", "global"))
    x, y = np.asarray(x), np.asarray(y)
    share = branch(x + y, *local) + branch((x + y).mean((1, 2), keepdims=True), *whole)
    share = 1 / (1 + np.exp(-share))
    assert largest_error(found, 2 * x * share + 2 * y * (1 - share)) < 1e-5
    assert largest_error(alone, found[1:2]) < 1e-6


def test_longer_rows_alone_count_unless_there_is_none():
    longer, weights = jnp.array([True, False, True]), jnp.array([1.0, 1.0, 0.0])
    np.testing.assert_array_equal(rows_that_count(longer, weights, None), [1, 0, 0])
    np.testing.assert_array_equal(rows_that_count(longer, None, None), [1, 0, 1])
    np.testing.assert_array_equal(rows_that_count(~longer & longer, weights, None), weights)
