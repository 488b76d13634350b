"""FeCAM against numpy, which makes and inverts a matrix a class."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dhauds_jax.errors import BadInput
from dhauds_jax.incremental import learners
from dhauds_jax.incremental.learners import fecam
from tests.incremental.learning import begun, embeddings, info_for, shots, taught, three_sessions

ROWS, LABELS = embeddings()
TESTED = embeddings(seed=5)[0]
SESSIONS = three_sessions(LABELS)


def prepared(x, tukey, unit):
    x = x.astype(np.float64)
    x = np.maximum(x, 0) ** tukey if tukey else x
    return x / np.linalg.norm(x, axis=1, keepdims=True) if unit else x


def logits_of(rows, labels, tested, gamma1=1.0, gamma2=1.0, tukey=0.0, unit=True):
    rows, tested = prepared(rows, tukey, unit), prepared(tested, tukey, unit)
    out, d = np.full((len(tested), 8), -np.inf), rows.shape[1]
    for k in np.unique(labels):
        mine = rows[labels == k]
        covariance = np.cov(mine.T) if len(mine) > 1 else np.eye(d)
        off = (covariance.sum() - np.trace(covariance)) / (d * (d - 1))
        shrunk = covariance + gamma1 * np.trace(covariance) / d * np.eye(d) + gamma2 * off * (1 - np.eye(d))
        deviations = np.sqrt(np.diag(shrunk))
        away = tested - mine.mean(0)
        out[:, k] = -np.einsum("rd,de,re->r", away, np.linalg.inv(shrunk / np.outer(deviations, deviations)), away)
    return out


FEW, MANY = info_for(24), info_for(24, sessions=10)
"""Rooms in which the clips are kept, and in which a matrix a class is smaller."""


@pytest.mark.parametrize("info", [FEW, MANY], ids=["rows kept", "sums kept"])
@pytest.mark.parametrize(
    "options",
    [
        pytest.param({}, marks=pytest.mark.slow),
        {"gamma1": 2.0, "gamma2": 0.5, "unit": False},
        pytest.param({"gamma1": 0.3, "gamma2": 0.0, "tukey": 0.5}, marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_distances_are_those_of_a_matrix_a_class(options, info):
    learner, state = begun("fecam", info, **options)
    chosen = [*SESSIONS[:2], SESSIONS[2][:5]]  # of the last class a single clip
    state, _ = taught(learner, state, ROWS, LABELS, chosen)
    learnt = np.concatenate(chosen)
    wanted = logits_of(ROWS[learnt], LABELS[learnt], TESTED, **options)
    np.testing.assert_allclose(learner.predict(state, TESTED)["mahalanobis"], wanted, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("info", [FEW, MANY], ids=["rows kept", "sums kept"])
def test_left_out_clips_are_measured_without_them(info):
    learner, state = begun("fecam", info)
    state, _ = taught(learner, state, ROWS, LABELS, SESSIONS[:2])
    chosen, learnt = SESSIONS[1], np.concatenate(SESSIONS[:2])
    logits = np.asarray(learner.held_out(state, shots(ROWS[chosen], LABELS[chosen], 10))["mahalanobis"])
    for row, i in enumerate(chosen):
        rest = learnt[learnt != i]
        wanted = logits_of(ROWS[rest], LABELS[rest], ROWS[i : i + 1])[0]
        np.testing.assert_allclose(logits[row], wanted, rtol=1e-7, atol=1e-7)


@pytest.mark.slow
def test_sums_forget_and_join_as_rows_do():
    learner, state = begun("fecam", MANY)
    empty = state
    state, _ = taught(learner, state, ROWS, LABELS, SESSIONS)
    other, _ = taught(learner, empty, ROWS, LABELS, SESSIONS[:2])
    rest = np.flatnonzero(LABELS != 1)
    wanted = logits_of(ROWS[rest], LABELS[rest], TESTED)
    forgotten = learner.forget(state, jnp.int32(1))
    np.testing.assert_allclose(learner.predict(forgotten, TESTED)["mahalanobis"], wanted, rtol=1e-7, atol=1e-7)
    last, _ = taught(learner, empty, ROWS, LABELS - 4, SESSIONS[2:])
    joined = learner.merge(other, last, jnp.asarray([4, 5, 2, 3, 0, 1, 6, 7], jnp.int32))
    wanted = logits_of(ROWS, LABELS, TESTED)
    np.testing.assert_allclose(learner.predict(joined, TESTED)["mahalanobis"], wanted, rtol=1e-7, atol=1e-7)
    assert learner.bytes_held(joined) == 6 * 8 * (24 * 25 // 2 + 25)


@pytest.mark.parametrize(("option", "value"), [("gamma1", "0"), ("gamma2", "2"), ("tukey", "-1")])
def test_options_that_make_no_covariance(option, value):
    with pytest.raises(BadInput, match=f"learner fecam: option {option}"):
        learners.make("fecam", None, {option: value})


def test_a_new_seed_compiles_nothing_anew():
    learner, _ = begun("fecam", FEW)
    before = fecam._begun._cache_size()
    for seed in (1, 2):
        learner.init({}, FEW, jax.random.key(seed))
    begun("fecam", FEW)  # made by its factory once more
    assert fecam._begun._cache_size() == before
