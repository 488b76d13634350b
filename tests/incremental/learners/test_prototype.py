"""Prototypes, worked out by hand on six points of the plane."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dhauds_jax.incremental import learners
from dhauds_jax.types import LearnerInfo, Shots

POINTS = jnp.float32([[3, 0], [0, 2], [4, 3], [-1, 0], [-3, 4], [9, 9]])
LABELS = jnp.int32([0, 0, 0, 2, 2, 1])
WEIGHTS = jnp.float32([1, 1, 1, 1, 1, 0])  # the last point is padding
KEY = jax.random.key(0)


def learnt():
    learner = learners.make("prototype", None)
    state = learner.init({}, LearnerInfo(max_classes=4, max_sessions=3, max_rows=6, shape=(2,)), KEY)
    shots = Shots(POINTS, LABELS, WEIGHTS, jnp.ones(6), jnp.arange(6))
    return learner, shots, learner.learn(state, shots, KEY)[0]


def test_logits_are_scaled_cosines_with_the_means():
    learner, _, state = learnt()
    logits = np.asarray(learner.predict(state, jnp.float32([[1, 0], [0, 5]]))["prototype"])
    first = np.array([1.8, 1.6]) / np.hypot(1.8, 1.6)  # of (1, 0), (0, 1) and (0.8, 0.6)
    third = np.array([-1.6, 0.8]) / np.hypot(-1.6, 0.8)  # of (-1, 0) and (-0.6, 0.8)
    wanted = 16 * np.array([[first[0], third[0]], [first[1], third[1]]])
    np.testing.assert_allclose(logits[:, [0, 2]], wanted, rtol=1e-6)
    assert np.isneginf(logits[:, [1, 3]]).all()


def test_left_out_shots_meet_the_mean_of_the_others():
    learner, shots, state = learnt()
    logits = np.asarray(learner.held_out(state, shots)["prototype"])
    without_first = np.array([0.8, 1.6]) / np.hypot(0.8, 1.6)
    assert logits[0, 0] == pytest.approx(16 * without_first[0], rel=1e-6)
    assert logits[3, 2] == pytest.approx(16 * 0.6, rel=1e-6)  # (-1, 0) against (-0.6, 0.8) alone
    single = shots._replace(weights=jnp.float32([1, 1, 1, 1, 0, 0]))
    state = learner.learn(learner.init({}, LearnerInfo(4, 3, 6, (2,)), KEY), single, KEY)[0]
    logits = np.asarray(learner.held_out(state, single)["prototype"])
    assert np.isneginf(logits[3]).tolist() == [False, True, True, True]  # its only shot is left out
