"""Herding: greedy choices by brute force, EDE's own, and what padding may do."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dhauds_jax.incremental.herding import herding
from tests.paths import golden

HERD = jax.jit(herding, static_argnames=("max_classes", "count"))


@functools.cache
def clips():
    rng = np.random.default_rng(3)
    vectors = rng.standard_normal((40, 5)) + np.repeat(rng.standard_normal((4, 5)), 10, 0)
    return (vectors * rng.uniform(0.1, 10, (40, 1))).astype(np.float32), rng.integers(0, 4, 40).astype(np.int32)


def by_brute_force(vectors, count):
    """All that is left is tried at each choice, in float64."""
    unit = vectors.astype(np.float64)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    chosen = []
    for k in range(1, count + 1):
        tried = {
            row: np.linalg.norm(unit.mean(0) - unit[[*chosen, row]].sum(0) / k)
            for row in range(len(unit))
            if row not in chosen
        }
        chosen.append(min(tried, key=tried.get))
    return chosen


@pytest.mark.parametrize("count", [1, 3])
def test_every_choice_is_the_best_that_is_left(count):
    vectors, labels = clips()
    found = HERD(vectors, labels, jnp.ones(40), max_classes=5, count=count)
    for label in range(4):
        rows = np.flatnonzero(labels == label)
        np.testing.assert_array_equal(found.rows[label], rows[by_brute_force(vectors[rows], count)])
    assert np.all(found.weights[:4] == 1) and not np.any(found.weights[4]) and not np.any(found.rows[4])


def test_one_clip_is_the_nearest_to_the_mean():
    vectors, labels = clips()
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    own = unit[labels == 2]
    nearest = np.flatnonzero(labels == 2)[np.argmin(np.linalg.norm(own - own.mean(0), axis=1))]
    assert HERD(vectors, labels, jnp.ones(40), max_classes=4, count=1).rows[2, 0] == nearest


def test_small_classes_give_all_they_have_and_padding_is_never_chosen():
    vectors, labels = clips()
    weights = np.zeros(40, np.float32)
    kept = np.flatnonzero(labels == 1)[:2]
    weights[kept] = 1
    vectors = np.where(weights[:, None] > 0, vectors, np.nan)
    found = HERD(vectors, labels, weights, max_classes=4, count=3)
    assert set(np.asarray(found.rows[1, :2]).tolist()) == set(kept.tolist())
    np.testing.assert_array_equal(found.weights, [[0, 0, 0], [1, 1, 0], [0, 0, 0], [0, 0, 0]])
    assert HERD(vectors, labels, weights, max_classes=4, count=0).rows.shape == (4, 0)


@pytest.mark.parametrize("count", [1, 3])
def test_the_choice_is_edes(count):
    """From the five shots of each class, by the embedding of the adapters after the published session."""
    numbers = golden("ede_small")
    vectors = jnp.asarray(numbers["session_dual_embedding"][:50, 48:], jnp.float32)
    found = HERD(vectors, jnp.asarray(numbers["labels"][:50], jnp.int32), jnp.ones(50), max_classes=10, count=count)
    np.testing.assert_array_equal(found.rows[5:], numbers[f"herding{count}_rows"])


def test_of_two_clips_the_lower_number_is_kept_wherever_it_stands():
    """Both are as far from their mean, but for rounding."""
    vectors, _ = clips()
    for first in range(0, 40, 2):
        pair = vectors[first : first + 2]
        for ids in ([7, 3], [3, 7]):
            found = HERD(pair, jnp.zeros(2, jnp.int32), jnp.ones(2), max_classes=1, count=1, ids=jnp.int32(ids))
            assert ids[int(found.rows[0, 0])] == 3
