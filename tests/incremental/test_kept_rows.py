"""Rows that a learner keeps: what is computed of them is computed on a room that just holds them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dhauds_jax.incremental import kept_rows
from dhauds_jax.incremental.kept_rows import KeptRows
from tests.incremental.learning import begun, embeddings, info_for, taught


def room(size, filled):
    """Row k holds k + 1 and is of class k modulo 3."""
    weights = (np.arange(size) < filled).astype(np.float32)
    inputs = (np.arange(size, dtype=np.float32)[:, None] + 1) * weights[:, None]
    labels = (np.arange(size) % 3 * weights).astype(np.int32)
    return KeptRows(*map(jnp.asarray, (inputs, labels, weights, np.arange(size, dtype=np.int32))))


def size_and_sum(rows):
    return jnp.int32(len(rows.weights)), rows.inputs.sum()


@pytest.mark.parametrize(
    ("filled", "size"), [(0, 32), (32, 32), (33, 64), (64, 64), (65, 128), (129, 192), (193, 256), (256, 256)]
)
def test_rows_are_computed_in_the_least_part_of_the_room(filled, size):
    found = kept_rows.of_those(room(256, filled), size_and_sum)
    assert [int(value) for value in found] == [size, filled * (filled + 1) // 2]


@pytest.mark.parametrize(("all_of_it", "parts"), [(8, [8]), (31, [31]), (60, [45, 60]), (250, [32, 63, 125, 188, 250])])
def test_small_rooms_are_not_divided(all_of_it, parts):
    found = []
    kept_rows.of_those(room(all_of_it, 1), lambda rows: found.append(len(rows.weights)) or rows.inputs.sum())
    assert found == parts


def test_many_rooms_at_once_take_the_part_that_holds_the_fullest():
    """One branch is computed: were each room to choose, all of them would be."""
    many = jax.tree.map(lambda *leaves: jnp.stack(leaves), room(256, 5), room(256, 60), room(256, 40))
    together = jax.vmap(lambda rows: kept_rows.of_those(rows, size_and_sum))
    sizes, sums = together(many)
    assert sizes.tolist() == [64, 64, 64] and sums.tolist() == [15, 1830, 820]
    assert " cond[" in str(jax.make_jaxpr(together)(many))


def test_what_is_left_of_forgotten_rows_stands_first():
    left = kept_rows.without(room(9, 8), jnp.int32(0))
    assert left.inputs[:, 0].tolist() == [2, 3, 5, 6, 8, 0, 0, 0, 0]
    assert left.weights.tolist() == [1] * 5 + [0] * 4 and left.labels.tolist() == [1, 2, 1, 2, 1, 0, 0, 0, 0]


@pytest.mark.parametrize("lambda_", ["loo", "0.3"])
@pytest.mark.parametrize("sessions", [1, 2, 6])
def test_ridge_in_any_part_of_its_room_is_the_fit_to_all_rows(lambda_, sessions):
    rows, labels = embeddings(classes=6, each=10, width=72)
    learner, state = begun("ridge", info_for(72, sessions=6, rows=10), lambda_=lambda_)
    state, _ = taught(learner, state, rows, labels, np.arange(60).reshape(6, 10)[:sessions])
    x, y = rows[: 10 * sessions].astype(np.float64), np.eye(8)[labels[: 10 * sessions]]
    inverse = np.linalg.inv(x @ x.T + float(state.params.penalty) * np.eye(len(x)))
    np.testing.assert_allclose(np.asarray(state.heads), x.T @ inverse @ y, rtol=0, atol=1e-12)
    if sessions == 6:  # a class is forgotten, and what is left needs a smaller part
        fewer, gone = learner.forget(learner.forget(state, 0), 1), x[20:]
        inverse = np.linalg.inv(gone @ gone.T + float(fewer.params.penalty) * np.eye(40))
        np.testing.assert_allclose(np.asarray(fewer.heads), gone.T @ inverse @ y[20:], rtol=0, atol=1e-12)
