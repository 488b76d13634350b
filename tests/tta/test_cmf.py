"""CMF: the filter's numbers by hand over many steps, and its place in ROID's step."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dhauds_jax.errors import BadInput
from dhauds_jax.tta.methods.cmf import gain
from dhauds_jax.types import RunInfo
from tests.tta import affine, spread, tiny
from tests.tta.affine import BIAS, SCALE

KEY = jax.random.key(0)
START = np.concatenate([SCALE, BIAS])


def filtered(steps, q, alpha):
    """The authors' filter in Python numbers: share and variance of every step."""
    variance, found = 0.0, []
    for _ in range(steps):
        predicted, r = alpha**2 * variance + q, 1 - q
        share = min(max(r / (predicted + r), 0.89), 1.0)
        share = 1.0 if share >= 0.9999 else share
        variance = share * predicted
        found.append((share, variance))
    return found


@pytest.mark.parametrize(("q", "alpha"), [(0.005, 0.99), (0.2, 0.9), (1e-5, 0.99), (0.0, 0.5)])
def test_the_gain_is_that_of_a_kalman_filter(q, alpha):
    variance = jnp.float32(0)
    for share_wanted, variance_wanted in filtered(40, q, alpha):
        share, variance = gain(variance, jnp.float32(q), alpha)
        assert float(share) == pytest.approx(share_wanted, rel=1e-5)
        assert float(variance) == pytest.approx(variance_wanted, rel=1e-4, abs=1e-9)


def test_the_gain_of_three_cases_by_hand():
    # First step, q 0.005: 0.995 / (0.005 + 0.995), then v = 0.99^2 0.004975 + 0.005 = 0.00987600.
    first, variance = gain(jnp.float32(0), jnp.float32(0.005), 0.99)
    assert (float(first), float(variance)) == pytest.approx((0.995, 0.004975), rel=1e-5)
    second, _ = gain(variance, jnp.float32(0.005), 0.99)
    assert float(second) == pytest.approx(0.995 / 1.0048760, rel=1e-5)
    assert float(gain(jnp.float32(0), jnp.float32(0.5), 0.99)[0]) == pytest.approx(0.89)  # 0.5 / (0.5 + 0.5) is cut
    assert float(gain(jnp.float32(0), jnp.float32(5e-5), 0.99)[0]) == 1.0  # 0.99995: nothing is taken up


@pytest.mark.parametrize("q_for", [0, pytest.param(3, marks=pytest.mark.slow)])
def test_cmf_filters_what_roids_step_arrives_at(q_for):
    """The steps themselves are `roid`'s (tests/tta/test_roid.py); here they begin where the filter left off."""
    given = {"lr": 0.05, "optimiser": "sgd", "momentum": 0.0, "limit": 0.0}
    alpha, gamma, q = 0.8, 0.6, 0.05
    roid, plain = affine.make("roid", ensemble=1.0, **given)
    method, state = affine.make("cmf", alpha=alpha, gamma=gamma, q=q, q_for=q_for, **given)
    assert method.passes == roid.passes
    noise = q if q_for == 0 else q * 6 / 3  # six numbers move
    hidden = theta = START
    for i, (share, variance) in enumerate(filtered(3, noise, alpha)):
        batch = affine.batch(affine.wave(i + 1))
        plain, wanted = roid.step(plain, batch, KEY)
        learnt = np.concatenate(affine.parameters(plain)).astype(np.float64)
        state, prediction = method.step(state, batch, KEY)
        np.testing.assert_allclose(prediction.logits, wanted.logits, rtol=1e-4, atol=1e-5)
        hidden = share * (alpha * hidden + (1 - alpha) * START) + (1 - share) * learnt
        theta = gamma * learnt + (1 - gamma) * hidden
        np.testing.assert_allclose(np.concatenate(affine.parameters(state)), theta, rtol=1e-5)
        kept = state.memory.hidden["encoder"]["batch_norm"]
        np.testing.assert_allclose(np.concatenate([kept["scale"], kept["bias"]]), hidden, rtol=1e-5)
        assert float(state.memory.variance) == pytest.approx(variance, rel=1e-4)
        moved = {"scale": jnp.asarray(theta[:3], jnp.float32), "bias": jnp.asarray(theta[3:], jnp.float32)}
        plain = plain._replace(variables={**plain.variables, "params": {"encoder": {"batch_norm": moved}}})
    assert np.abs(theta - START).max() > 1e-3


@pytest.mark.slow
def test_a_spread_batch_gives_the_same():
    spread.check("cmf", RunInfo(1, 7, tiny.CLASSES), limit=0.0, q_for=0)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"alpha": 1.5}, r"cmf: alpha is 1\.5, expected a share from 0 to 1"),
        ({"gamma": -0.1}, r"cmf: gamma is -0\.1, expected a share from 0 to 1"),
        ({"q_for": -1}, "cmf: q_for is -1, expected a number of parameters, or 0"),
        ({"q_for": 2, "q": 0.5}, r"cmf: q=0\.5 comes to 1\.5 for the 6 parameters that move, expected 0 to below 1"),
    ],
)
def test_bad_options_get_one_sentence(given, message):
    with pytest.raises(BadInput, match=message):
        affine.make("cmf", **given)
