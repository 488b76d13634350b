"""TTAug: the mean over views worked out in numpy, what it costs, and what it leaves as it is."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dhauds_jax.tta import methods
from dhauds_jax.tta.augment import Augmentation, augmented
from dhauds_jax.tta.methods.ttaug import mean_over_views
from tests.tta import linear

KEY = jax.random.key(5)
GIVEN = {"augmentations": 3, "shift": 0.0, "gain_db": 6.0, "noise": 0.0}


def made(**options):
    method = linear.compiled("ttaug", **{**GIVEN, **options})
    return method, method.init(linear.VARIABLES, linear.INFO)


def by_hand(seed, statistics, average):
    """The clip and three louder or softer copies, each view a pass of its own."""
    numbers, said = linear.affine(linear.VARIABLES), []
    keys = jax.random.split(jax.random.key(seed), 3)
    copies = [
        np.asarray(augmented(k, linear.BATCH.wave, linear.BATCH.index, Augmentation(0.0, 6.0, 0.0))) for k in keys
    ]
    for view in [linear.WAVE, *copies]:
        own = (view.mean(0), view.var(0)) if statistics == "batch" else (linear.MEAN, linear.VAR)
        said.append(linear.logits(view, numbers, *own))
    if average == "logits":
        return sum(said) / 4
    return np.log(sum(linear.softmax(z) for z in said) / 4)


@pytest.mark.parametrize(("statistics", "average"), [("running", "logits"), ("batch", "softmax")])
def test_a_prediction_is_the_mean_over_the_views(statistics, average):
    method, state = made(statistics=statistics, average=average)
    after, prediction = method.step(state, linear.BATCH, KEY)
    wanted = by_hand(after.memory, statistics, average)
    np.testing.assert_allclose(prediction.logits, wanted, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(method.predict(after, linear.BATCH), prediction.logits, rtol=1e-6)
    assert np.array_equal(linear.affine(after.variables), linear.affine(linear.VARIABLES))
    assert method.passes == (4, 0) and method.adapts == "none"
    _, other = method.step(after, linear.BATCH, jax.random.key(6))
    assert np.abs(other.logits - prediction.logits).max() > 1e-3


def test_the_two_means_by_hand():
    """Views (0, 0) and (0, ln 9): logits (0, ln 3), that is 3/4 for the second; probabilities (1/2 + 9/10) / 2."""
    z = jnp.asarray([[[0.0, 0.0]], [[0.0, np.log(9.0)]]], jnp.float32)
    np.testing.assert_allclose(jax.nn.softmax(mean_over_views(z, "logits")), [[0.25, 0.75]], rtol=1e-6)
    np.testing.assert_allclose(jnp.exp(mean_over_views(z, "softmax")), [[0.3, 0.7]], rtol=1e-6)


def test_without_copies_it_is_the_source():
    method, state = made(augmentations=0)
    plain = linear.logits(linear.WAVE, linear.affine(linear.VARIABLES))
    np.testing.assert_allclose(method.step(state, linear.BATCH, KEY)[1].logits, plain, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_a_spread_batch_gives_the_same():
    """With the statistics of batches, which couple the two halves."""
    options = methods.resolve_options("ttaug", "reference", {**GIVEN, "statistics": "batch"})
    one, state = made(statistics="batch")
    two = methods.make("ttaug", linear.classifier(), options, axis_name="batch")
    batch = linear.BATCH._replace(weights=jnp.asarray([1.0] * 7 + [0.0]))
    halves = jax.tree.map(lambda x: x.reshape(2, 4, *x.shape[1:]), batch)
    _, spread = jax.jit(jax.vmap(two.step, in_axes=(None, 0, None), axis_name="batch"))(state, halves, KEY)
    _, whole = one.step(state, batch, KEY)
    np.testing.assert_allclose(whole.logits[:7], spread.logits.reshape(8, -1)[:7], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"augmentations": -1}, "ttaug: augmentations is -1, expected copies beside the clip, at least 0"),
        ({"average": "median"}, "unknown average of method ttaug 'median': expected logits or softmax"),
        ({"statistics": "mine"}, "unknown statistics of method ttaug 'mine': expected running or batch"),
        ({"shift": 2.0}, "ttaug: shift is 2.0, expected a share of the clip from 0 to 1"),
    ],
)
def test_bad_options_get_one_sentence(given, message):
    with pytest.raises(ValueError, match=message):
        methods.make("ttaug", linear.classifier(), given)
