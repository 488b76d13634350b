"""SAR against its two steps worked out in numpy, and its recovery."""

import jax
import numpy as np
import pytest

from dhauds_jax.tta.batchwise import recovery_for
from tests.tta import affine
from tests.tta.affine import BIAS, CLASSES, SCALE, affine_slope, entropy, entropy_slope, normalised, parameters, softmax

KEY = jax.random.key(0)
LR, RHO, MARGIN = 0.05, 0.4, 0.8
E0 = MARGIN * np.log(CLASSES)
SEED = 1


def mean_entropy(scale, bias, x, rows=None):
    """Mean entropy of the rows (of `rows`) below E0, its gradient, and those rows."""
    p = softmax(normalised(x) * scale + bias)
    keep = entropy(p) < E0
    keep = keep if rows is None else keep & rows
    dz = entropy_slope(p) * keep[:, None] / keep.sum()
    return entropy(p)[keep].mean(), affine_slope(dz, normalised(x)), keep


def climbed(scale, bias, x):
    """The sharp loss and its gradient."""
    _, g, rows = mean_entropy(scale, bias, x)
    length = np.sqrt((g[0] ** 2).sum() + (g[1] ** 2).sum())
    value, sharp, kept = mean_entropy(scale + RHO * g[0] / length, bias + RHO * g[1] / length, x, rows)
    return value, sharp, rows, kept


def test_sar_steps_from_where_it_stands_down_the_slope_of_the_climbed_point():
    x1, x2 = affine.wave(SEED), affine.wave(2)
    method, state = affine.make("sar", lr=LR, rho=RHO, margin=MARGIN, recover=0.0)
    state, first = method.step(state, affine.batch(x1), KEY)
    value1, g1, rows, kept = climbed(SCALE, BIAS, x1)
    assert 0 < kept.sum() < rows.sum() < 8
    assert float(first.losses["total"]) == pytest.approx(value1, rel=1e-5)
    assert float(first.losses["kept"]) == pytest.approx(kept.mean())
    theta = [SCALE - LR * g1[0], BIAS - LR * g1[1]]
    np.testing.assert_allclose(parameters(state), theta, rtol=1e-5)
    np.testing.assert_allclose(first.logits, normalised(x1) * SCALE + BIAS, rtol=1e-4, atol=1e-5)

    state, second = method.step(state, affine.batch(x2), KEY)
    value2, g2, _, _ = climbed(*theta, x2)
    assert float(second.losses["total"]) == pytest.approx(value2, rel=1e-4)
    wanted = [t - LR * (0.9 * a + b) for t, a, b in zip(theta, g1, g2, strict=True)]
    np.testing.assert_allclose(parameters(state), wanted, rtol=1e-4)
    assert float(state.memory.average) == pytest.approx(0.9 * value1 + 0.1 * value2, rel=1e-4)
    # The running statistics follow the first pass of each step alone.
    mean = 0.9 * (0.9 * 0.2 + 0.1 * x1.mean(0)) + 0.1 * x2.mean(0)
    np.testing.assert_allclose(affine.running(state)[0], mean, rtol=1e-5)


def test_sar_recovers_the_source_when_the_average_falls_below_the_threshold():
    x = affine.wave(SEED)
    value = climbed(SCALE, BIAS, x)[0]
    for recover, back in ((value * 1.01, True), (value * 0.99, False)):
        method, start = affine.make("sar", lr=LR, rho=RHO, margin=MARGIN, recover=recover, few_classes="as_given")
        state, prediction = method.step(start, affine.batch(x), KEY)
        assert bool(prediction.losses["recovered"]) is back
        assert bool(state.memory.seen) is not back
        assert int(state.step) == 1
        same = [
            jax.tree.map(np.array_equal, *pair)
            for pair in ((state.variables, start.variables), (state.opt_state, start.opt_state))
        ]
        assert jax.tree.all(same) is back


def test_the_authors_reset_leaves_the_momentum_and_the_average():
    """The average goes on from below the threshold, so the next step recovers too, from what momentum made of it."""
    x = affine.wave(SEED)
    value, (slope, tilt), _, _ = climbed(SCALE, BIAS, x)
    given = {"lr": LR, "rho": RHO, "margin": MARGIN, "recover": value * 1.01, "few_classes": "as_given"}
    method, state = affine.make("sar", recovery="parameters", **given)
    for average in (value, 0.9 * value + 0.1 * value):
        state, prediction = method.step(state, affine.batch(x), KEY)
        assert bool(prediction.losses["recovered"])
        np.testing.assert_array_equal(parameters(state), np.float32([SCALE, BIAS]))
        assert float(state.memory.average) == pytest.approx(average, rel=1e-5) and bool(state.memory.seen)
    kept = state.opt_state[0].trace["encoder"]["batch_norm"]
    np.testing.assert_allclose([kept["scale"], kept["bias"]], [1.9 * slope, 1.9 * tilt], rtol=1e-4)


@pytest.mark.parametrize("classes, wanted", [(2, 0.0602), (6, 0.1556), (10, 0.2), (1000, 0.2)])
def test_few_classes_have_a_lower_recovery(classes, wanted):
    """As given it lies just under the margin of two classes, 0.277."""
    assert recovery_for(0.2, classes, "scaled") == pytest.approx(wanted, abs=1e-4)
    assert recovery_for(0.2, classes, "as_given") == 0.2


def test_unknown_words_get_a_sentence():
    for option, valid in (("few_classes", "scaled or as_given"), ("recovery", "whole or parameters")):
        with pytest.raises(ValueError, match=f"unknown {option} of method sar 'mine': expected {valid}"):
            affine.make("sar", **{option: "mine"})


def test_sar_stands_still_without_reliable_clips():
    method, state = affine.make("sar", lr=LR, margin=MARGIN, recover=0.0)
    state, _ = method.step(state, affine.batch(affine.wave(SEED)), KEY)
    after, prediction = method.step(state, affine.batch(np.repeat(affine.wave(3)[:1], 8, 0)), KEY)
    assert (float(prediction.losses["kept"]), float(prediction.losses["idle"])) == (0.0, 1.0)
    np.testing.assert_array_equal(parameters(after), parameters(state))
    assert float(after.memory.average) == float(state.memory.average)
