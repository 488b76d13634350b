"""What the batchwise methods share: spread batches, padding, evaluation statistics; and `norm`'s prior."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dhauds_jax.errors import BadInput
from dhauds_jax.tta import batchwise
from dhauds_jax.types import SourceData
from tests.tta import affine
from tests.tta.affine import BIAS, CLASSES, SCALE, normalised

OPTIONS = {
    "eata": {"margin": 0.6, "redundancy": 0.95, "fisher": 5.0, "lr": 0.05},
    "rdumb": {"margin": 0.6, "redundancy": 0.95, "every": 2, "lr": 0.05},
    "sar": {"margin": 0.6, "recover": 0.0, "lr": 0.05},
    "deyo": {"entropy_limit": 0.7, "plpd_limit": 0.05, "segments": 3, "lr": 0.05},
    "roid": {"limit": 0.9, "optimiser": "sgd", "lr": 0.05},
    "gala": {"lr": 0.05},
    "pseudo_label": {"threshold": 0.6, "optimiser": "sgd", "lr": 0.05},
    "norm": {"statistics": "blend", "prior": 5.0},
}
INFO = affine.INFO._replace(source=SourceData(jnp.asarray(affine.wave(9, 12)), jnp.zeros(12, jnp.int32)))
WEIGHTS = np.array([1.0] * 7 + [0.0])


def three_steps(name, split):
    """Three steps over a batch of 7 clips and a padded row, on one device or spread over two."""
    method, state = affine.make(name, INFO, axis_name="batch" if split else None, **OPTIONS[name])
    step = method.step
    if split:
        spread = jax.vmap(method.step, (None, 0, None), axis_name="batch")

        def step(state, batch, key):
            halves = jax.tree.map(lambda leaf: leaf.reshape(2, 4, *leaf.shape[1:]), batch)
            state, prediction = spread(state, halves, key)
            first, second = (jax.tree.map(lambda leaf, i=i: leaf[i], (state, prediction.losses)) for i in (0, 1))
            for a, b in zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-7)
            return first[0], prediction._replace(logits=prediction.logits.reshape(8, -1), losses=first[1])

    seen = []
    for i, seed in enumerate((1, 2, 4)):
        state, prediction = step(state, affine.batch(affine.wave(seed), WEIGHTS), jax.random.key(i))
        seen.append((prediction.logits[:7], prediction.losses))
    return state, seen


@pytest.mark.slow
@pytest.mark.parametrize("name", list(OPTIONS))
def test_a_spread_batch_gives_the_numbers_of_one_device(name):
    (alone, seen), (spread, seen2) = three_steps(name, False), three_steps(name, True)
    # Sums are taken in another order.
    for a, b in zip(jax.tree.leaves((alone, seen)), jax.tree.leaves((spread, seen2)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
    if name != "norm":
        assert not np.allclose(affine.parameters(alone), [SCALE, BIAS], atol=1e-3)


@pytest.mark.parametrize("name", [name for name in OPTIONS if name != "norm"])
def test_an_evaluation_has_the_statistics_it_is_asked_for(name):
    x = affine.wave(1)
    plain = {"correction": False} if name == "roid" else {}
    for evaluate, wanted in (("running", (x - 0.2) / np.sqrt(1.5 + 1e-5)), ("batch", normalised(x))):
        method, state = affine.make(name, INFO, evaluate=evaluate, **{**OPTIONS[name], **plain})
        np.testing.assert_allclose(method.predict(state, affine.batch(x)), wanted * SCALE + BIAS, rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match=f"unknown evaluate of method {name} 'mean': expected running or batch"):
        affine.make(name, INFO, evaluate="mean", **OPTIONS[name])


@pytest.mark.parametrize("name", ["eata", "rdumb", "sar", "deyo", "roid", "pseudo_label"])
def test_an_unknown_optimiser_is_refused(name):
    with pytest.raises(ValueError, match=f"unknown optimiser of method {name} 'lion': expected sgd or adam"):
        affine.make(name, INFO, optimiser="lion")


def test_norm_weighs_the_source_as_so_many_clips():
    x, prior = affine.wave(1), 21.0
    method, state = affine.make("norm", statistics="blend", prior=prior)
    after, prediction = method.step(state, affine.batch(x, WEIGHTS), jax.random.key(0))
    share = 7 / (7 + prior)  # a quarter; the padded row does not count
    mean = share * x[:7].mean(0) + (1 - share) * 0.2
    var = share * x[:7].var(0, ddof=1) + (1 - share) * 1.5
    wanted = (x[:7] - mean) / np.sqrt(var + 1e-5) * SCALE + BIAS
    np.testing.assert_allclose(prediction.logits[:7], wanted, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(method.predict(state, affine.batch(x, WEIGHTS))[:7], wanted, rtol=1e-5, atol=1e-5)
    assert jax.tree.all(jax.tree.map(np.array_equal, after.variables, state.variables))
    assert prediction.logits.shape == (8, CLASSES)


@pytest.mark.parametrize("statistics", ["running", "blend"])
def test_norm_refuses_an_alpha_that_is_no_share(statistics):
    said = r"^norm: alpha is 1\.5, expected a share from 0 \(the source's statistics\) to 1 \(the batch's\)$"
    with pytest.raises(BadInput, match=said):
        affine.make("norm", statistics=statistics, alpha=1.5)


@pytest.mark.parametrize("options", [{"statistics": "blend", "prior": -1.0}, {"prior": 16.0}])
def test_norm_refuses_a_prior_that_means_nothing(options):
    with pytest.raises(ValueError, match=r"norm: prior is .* expected 0, or a number above 0 with blend"):
        affine.make("norm", **options)


def test_what_was_chosen_is_said_the_most_frequent_first():
    assert (
        batchwise.chose_said({"chose_source": 0.25, "chose_tent": 0.75, "chose_shot": 0.0, "total": 1.0})
        == "tent 75 %, source 25 %"
    )
    assert batchwise.chose_said({"total": 1.0}) == ""
