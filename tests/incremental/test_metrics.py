"""Measures of incremental learning on a 4 x 4 matrix worked out by hand."""

import numpy as np
import pytest

from dhauds_jax.incremental import metrics

SESSIONS = ((0, 1), (2, 3), (4, 5), (6, 7))
BY_SESSION = ((0.9,), (0.95, 0.7), (0.85, 0.5, 0.6), (0.6, 0.55, 0.4, 0.9))
PER_CLASS = [
    {2 * j + k: value + sign for j, value in enumerate(row) for k, sign in enumerate((-0.05, 0.05))}
    for row in BY_SESSION
]
"""Two classes a session, 0.05 below and above its mean."""


def test_the_matrix_is_the_mean_of_the_classes_of_each_session():
    found = metrics.matrix(PER_CLASS, SESSIONS)
    wanted = [[*row, *[np.nan] * (4 - len(row))] for row in BY_SESSION]
    np.testing.assert_allclose(found, wanted, rtol=1e-12)


def test_forgetting_is_from_the_best_before_the_last_session():
    a = metrics.matrix(PER_CLASS, SESSIONS)
    # 0.95 - 0.6, 0.7 - 0.55 and 0.6 - 0.4, over the three sessions that can be forgotten
    assert metrics.forgetting(a) == pytest.approx(0.7 / 3, rel=1e-12)
    assert metrics.forgetting(a[:1, :1]) is None


def test_a_class_that_only_got_better_is_forgotten_less_than_nothing():
    a = np.array([[0.5, np.nan], [0.8, 0.9]])
    assert metrics.forgetting(a) == pytest.approx(-0.3)  # with the last session among those looked at it would be 0


def test_backward_transfer_is_from_the_session_itself():
    a = metrics.matrix(PER_CLASS, SESSIONS)
    assert metrics.backward_transfer(a) == pytest.approx((-0.3 - 0.15 - 0.2) / 3, rel=1e-12)
    assert metrics.backward_transfer(a[:1, :1]) is None


def test_parts_are_means_over_classes():
    found = metrics.parts(PER_CLASS[2], SESSIONS, 2)
    assert found == pytest.approx({"all": 0.65, "former": 0.675, "current": 0.6, "base": 0.85, "novel": 0.55})
    first = metrics.parts(PER_CLASS[0], SESSIONS, 0)
    assert (first["former"], first["novel"]) == (None, None)
    assert first["all"] == first["current"] == first["base"] == pytest.approx(0.9)


def test_average_and_drop_over_sessions():
    over = [metrics.parts(each, SESSIONS, s)["all"] for s, each in enumerate(PER_CLASS)]
    assert over == pytest.approx([0.9, 0.825, 0.65, 0.6125])
    assert metrics.average(over) == pytest.approx(0.746875)
    assert metrics.dropped(over) == pytest.approx(0.2875)


def test_every_class_counts_alike_however_many_clips_it_has():
    labels = np.array([0, 0, 0, 0, 1])
    found = metrics.of_classes(np.array([0, 0, 0, 1, 0]), labels)
    assert found == {0: 0.75, 1: 0.0}
    assert metrics.parts(found, ((0, 1),), 0)["all"] == 0.375


def test_the_curve_of_unknowns_goes_from_corner_to_corner():
    curve = metrics.curve_of(np.array([3.0, 2.0, 1.0]), np.array([2.0, 1.0]))
    assert curve == [[0, 0], [0, pytest.approx(1 / 3)], [0.5, pytest.approx(2 / 3)], [1, 1]]


def test_calibration_is_of_the_classes_seen_alone():
    logits = np.array([[np.log(3.0), -np.inf, 0.0], [0.0, -np.inf, np.log(3.0)]])
    found = metrics.calibration(logits, np.array([0, 0]), np.array([True, False, True]))
    assert found["nll"] == pytest.approx((np.log(4 / 3) + np.log(4)) / 2)
    assert found["ece"] == pytest.approx(0.25)  # sure to 0.75 of both, one right
