"""What is taken from `dhauds` for an ablation: its second view, and following the statistics twice."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dhauds_jax.errors import BadInput
from dhauds_jax.tta import methods
from dhauds_jax.tta.methods.dhauds import dhauds
from tests.tta.linear import BATCH, INFO, VARIABLES, WAVE, affine, classifier

HALF = jnp.asarray(0.5 * WAVE + 1.0)


def stepped(views, **options):
    method = dhauds(classifier(), views=views, lr=1.0, **options)
    return jax.jit(method.step)(method.init(VARIABLES, INFO), BATCH, jax.random.key(0))


def statistics(state):
    kept = state.variables["batch_stats"]["encoder"]["batch_norm"]
    return np.stack([kept["mean"], kept["var"]])


def test_one_view_is_two_equal_ones_without_their_distance():
    """The same losses, gradient and prediction; the statistics follow once where two equal views are followed twice."""
    one, told = stepped(lambda key, batch: (batch.wave, HALF), view_count=1)
    two, wanted = stepped(lambda key, batch: (batch.wave, batch.wave), mse=0.0, follow="mean")
    np.testing.assert_allclose(affine(one.variables), affine(two.variables), rtol=1e-6)
    assert np.abs(affine(one.variables) - affine(VARIABLES)).max() > 0.05
    np.testing.assert_allclose(statistics(one), statistics(two), rtol=1e-6)
    np.testing.assert_allclose(told.logits, wanted.logits, rtol=1e-6)
    assert float(told.losses["total"]) == pytest.approx(float(wanted.losses["total"]), rel=1e-6)
    assert float(told.losses["consistency"]) == 0.0


def test_followed_once_the_statistics_are_half_a_step_of_each_view():
    """By hand: a tenth of the way to the mean of both views' means and (unbiased) variances."""
    once, _ = stepped(lambda key, batch: (batch.wave, HALF), follow="mean")
    each, _ = stepped(lambda key, batch: (batch.wave, HALF))
    waves = [WAVE.astype(np.float64), np.asarray(HALF, np.float64)]
    batch_mean = np.mean([w.mean(0) for w in waves], axis=0)
    batch_var = np.mean([w.var(0, ddof=1) for w in waves], axis=0)
    began = np.stack([[0.2, -0.1], [1.5, 0.8]])
    np.testing.assert_allclose(statistics(once), 0.9 * began + 0.1 * np.stack([batch_mean, batch_var]), rtol=1e-6)
    np.testing.assert_allclose(affine(once.variables), affine(each.variables), rtol=1e-6)
    assert np.abs(statistics(each) - statistics(once)).max() > 0.02


def test_parts_are_named_in_records_where_they_are_taken_and_nonsense_is_refused():
    kept = methods.resolve_options("dhauds", "reference", {})
    assert "view_count" not in kept and "follow" not in kept
    taken = methods.resolve_options("dhauds", "reference", {"view_count": 1, "follow": "mean"})
    assert taken["view_count"] == 1 and taken["follow"] == "mean"
    assert dhauds(classifier(), view_count=1).passes == (1, 1) and dhauds(classifier()).passes == (2, 2)
    with pytest.raises(BadInput, match="dhauds: view_count=3, expected 1 or 2"):
        dhauds(classifier(), view_count=3)
    with pytest.raises(BadInput, match="unknown follow of method dhauds 'never': expected each or mean"):
        dhauds(classifier(), follow="never")
    with pytest.raises(BadInput, match="dhauds: forward=together is for two views that are followed each"):
        dhauds(classifier(), view_count=1, forward="together")
