"""What is expected of accuracy without labels: signs by hand, the regression at its optimum, known probabilities."""

import numpy as np
import pytest

from dhauds_jax.tta import expected


def test_the_signs_of_a_clip_are_worked_out():
    z, y = np.array([[2.0, 0.0, 1.0]]), np.array([[0.0, 0.0, np.log(2.0)]])
    heard = expected.Heard(np.zeros((1, 4)), z, np.zeros((1, 4)), y)
    far = np.array([-0.5]), np.array([0.25])
    (found,) = expected.clip_signs(far, heard)
    p = np.exp([2.0, 0.0, 1.0]) / np.exp([2.0, 0.0, 1.0]).sum()  # 0.665, 0.090, 0.245
    assert found.shape == (expected.SIGNS,) and found[:2].tolist() == [-0.5, 0.25]
    assert found[2:4] == pytest.approx([np.log(1.001), np.log(2 / 3 * np.log(2.0) + 1e-3)])
    assert found[4:6] == pytest.approx([0.832395, 1.5 * np.log(2.0)], abs=1e-5)  # the second: 1/4, 1/4, 1/2
    assert found[6:] == pytest.approx([0.25 * (p[0] + p[1]) + 0.5 * p[2], 0.0])  # another label


def test_weights_are_those_of_the_largest_penalised_likelihood():
    random = np.random.default_rng(0)
    told = 5 + random.standard_normal((400, expected.SIGNS)) * np.logspace(-2, 2, expected.SIGNS)
    right = random.random(400) < 1 / (1 + np.exp(-(told[:, 0] - 5) / 0.01))
    weights = expected.fit(told, right)
    scaled = (told - told.mean(0)) / told.std(0)
    p = 1 / (1 + np.exp(-(told @ weights[:-1] + weights[-1])))
    # The likelihood's slope along each scaled sign is its weight there; along the constant it is none.
    np.testing.assert_allclose(scaled.T @ (right - p), weights[:-1] * told.std(0), atol=1e-6)
    assert expected.share(weights, told) == pytest.approx(right.mean(), abs=1e-6)
    # As drawn: a weight of 1 for a deviation; three of its errors, each 0.12, and what the penalty takes.
    assert weights[0] * told[:, 0].std() == pytest.approx(1.0, abs=0.36)


@pytest.mark.parametrize("right", [np.ones(200, bool), np.zeros(200, bool), np.arange(200) < 100])
def test_labels_that_are_all_right_all_wrong_or_told_apart_have_finite_weights(right):
    told = np.concatenate([right[:, None] + np.zeros((200, 7)), np.ones((200, 1))], 1)  # the last sign says nothing
    weights = expected.fit(told, right)
    assert np.isfinite(weights).all()
    assert expected.share(weights, told) == pytest.approx(right.mean(), abs=0.01)
