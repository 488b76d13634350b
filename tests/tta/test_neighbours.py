"""Neighbour lists and the gathering of spread rows against plain loops."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dhauds_jax.parallel import own_rows, whole_batch
from dhauds_jax.tta import neighbours

X = np.random.default_rng(0).normal(size=(11, 3)).astype(np.float32)
VALUES = np.random.default_rng(1).uniform(size=(11, 4)).astype(np.float32)


def neighbour_sets(x, k, mutual=False):
    """The k nearest other rows of each row, by sorting distances one row at a time."""
    lists = []
    for i in range(len(x)):
        others = [j for j in range(len(x)) if j != i]
        lists.append(sorted(others, key=lambda j: float(((x[i] - x[j]) ** 2).sum()))[:k])
    return [[j for j in near if i in lists[j]] if mutual else near for i, near in enumerate(lists)]


def as_lists(graph):
    return [[int(j) for j, c in zip(*row) if c] for row in zip(*map(np.asarray, (graph.index, graph.counts)))]


@pytest.mark.parametrize("mutual", [False, True])
@pytest.mark.parametrize("k", [1, 3, 30])
def test_nearest_equals_sorting(k, mutual):
    graph = neighbours.nearest(jnp.asarray(X), k, mutual=mutual)
    wanted = neighbour_sets(X, k, mutual)
    means = np.asarray(jax.jit(neighbours.mean)(VALUES, graph))
    assert as_lists(graph) == wanted
    for i, near in enumerate(wanted):
        mean = VALUES[near].mean(0) if near else np.zeros(4)
        np.testing.assert_allclose(means[i], mean, rtol=1e-5)


def test_padded_rows_are_nobodys_neighbours():
    weights = jnp.asarray([1.0] * 8 + [0.0] * 3)
    graph = neighbours.nearest(jnp.asarray(X), 9, weights)
    assert as_lists(graph)[:8] == neighbour_sets(X[:8], 9)
    assert as_lists(graph)[8:] == [[], [], []]


def test_more_rows_than_a_block_give_the_same_lists(monkeypatch):
    monkeypatch.setattr(neighbours, "BLOCK", 4)
    nearest = jax.jit(lambda x: neighbours.nearest.__wrapped__(x, 3))
    assert as_lists(nearest(X)) == neighbour_sets(X, 3)


def test_a_single_row_has_no_neighbours():
    graph = neighbours.nearest(jnp.ones((1, 3)), 4)
    assert as_lists(graph) == [[]]
    assert np.array_equal(jax.jit(neighbours.mean)(np.ones((1, 2), np.float32), graph), np.zeros((1, 2)))


def test_rows_spread_over_devices_are_gathered_in_order_and_given_back():
    def there_and_back(x):
        whole = whole_batch({"x": x}, "batch")["x"]
        return whole, own_rows(whole * 10, len(x), "batch")

    whole, own = jax.jit(jax.vmap(there_and_back, axis_name="batch"))(X[:10].reshape(5, 2, 3))
    assert np.array_equal(whole, np.stack([X[:10]] * 5))
    np.testing.assert_allclose(np.asarray(own).reshape(10, 3), 10 * X[:10])
    assert whole_batch(3, None) == 3
