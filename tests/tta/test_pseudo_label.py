"""Hard pseudo-labels against a step worked out in numpy."""

import jax
import numpy as np
import pytest

from tests.tta import affine
from tests.tta.affine import BIAS, CLASSES, SCALE, affine_slope, normalised, parameters, softmax

KEY = jax.random.key(0)


@pytest.mark.parametrize(("threshold", "rows"), [(0.0, 8), (0.7, None)])
def test_a_step_by_hand(threshold, rows):
    x, lr = affine.wave(1), 0.05
    method, state = affine.make("pseudo_label", lr=lr, optimiser="sgd", threshold=threshold)
    state, prediction = method.step(state, affine.batch(x), KEY)
    p = softmax(normalised(x) * SCALE + BIAS)
    keep = p.max(1) >= threshold
    assert keep.sum() == rows or 0 < keep.sum() < 8
    dz = (p - np.eye(CLASSES)[p.argmax(1)]) * keep[:, None] / keep.sum()
    g = affine_slope(dz, normalised(x))
    np.testing.assert_allclose(parameters(state), [SCALE - lr * g[0], BIAS - lr * g[1]], rtol=1e-5)
    assert float(prediction.losses["total"]) == pytest.approx(-np.log(p.max(1)[keep]).mean(), rel=1e-5)
    assert float(prediction.losses["kept"]) == pytest.approx(keep.mean())


def test_nothing_sure_moves_nothing():
    method, state = affine.make("pseudo_label", threshold=1.0)
    after, prediction = method.step(state, affine.batch(affine.wave(1)), KEY)
    assert float(prediction.losses["kept"]) == 0.0
    np.testing.assert_array_equal(parameters(after), parameters(state))


def test_adam_is_the_default():
    x = affine.wave(1)
    method, state = affine.make("pseudo_label", lr=0.01)
    state, _ = method.step(state, affine.batch(x), KEY)
    p = softmax(normalised(x) * SCALE + BIAS)
    g = np.array(affine_slope((p - np.eye(CLASSES)[p.argmax(1)]) / 8, normalised(x)))
    np.testing.assert_allclose(parameters(state), np.array([SCALE, BIAS]) - 0.01 * g / (np.abs(g) + 1e-8), rtol=1e-5)


def test_a_threshold_is_a_probability():
    with pytest.raises(ValueError, match=r"pseudo_label: threshold is 70\.0, expected a probability from 0 to 1"):
        affine.make("pseudo_label", threshold=70.0)
