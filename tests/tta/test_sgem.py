"""SGEM: both losses and the rate by hand, and the episode of a clip in numpy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dhauds_jax.tta import methods
from dhauds_jax.tta.augment import Augmentation, augmented_copies
from dhauds_jax.tta.methods.sgem import annealed, negative_rows, renyi_entropy_rows
from dhauds_jax.types import RunInfo
from tests.tta import linear, spread, tiny

KEY = jax.random.key(4)


def test_renyis_entropy_by_hand():
    """Of (1/2, 1/4, 1/4): order 2 gives -ln 3/8, order 1 Shannon's 1.5 ln 2, any order ln 3 of three equal ones."""
    z = jnp.log(jnp.asarray([[0.5, 0.25, 0.25], [1.0, 1.0, 1.0]]))
    np.testing.assert_allclose(renyi_entropy_rows(z, 2.0), [-np.log(3 / 8), np.log(3)], rtol=1e-5)
    np.testing.assert_allclose(renyi_entropy_rows(z, 1.0), [1.5 * np.log(2), np.log(3)], rtol=1e-5)
    np.testing.assert_allclose(renyi_entropy_rows(z, 1.5)[0], -2 * np.log(0.5**1.5 + 2 * 0.25**1.5), rtol=1e-5)


def test_improbable_classes_by_hand():
    """(0.85, 0.1, 0.05), threshold 0.4 of 1/3 = 0.133: the last two are out, at temperature 1 and so at 2."""
    p = np.array([0.85, 0.1, 0.05])
    z = jnp.log(jnp.asarray([p]))
    np.testing.assert_allclose(negative_rows(z, 1.0, 0.4), [-np.log(0.85)], rtol=1e-5)
    warm = np.sqrt(p) / np.sqrt(p).sum()
    np.testing.assert_allclose(negative_rows(z, 2.0, 0.4), [-np.log(warm[0])], rtol=1e-5)
    # At 0.2 of 1/3 only the last is out; at 0 none, and there is nothing to minimise.
    np.testing.assert_allclose(negative_rows(z, 1.0, 0.2), [-np.log(0.95)], rtol=1e-5)
    value, slope = jax.value_and_grad(lambda x: negative_rows(x, 1.0, 0.0).sum())(z)
    np.testing.assert_allclose(value, 0.0, atol=1e-6)
    np.testing.assert_allclose(slope, 0.0, atol=1e-6)
    sure = jax.grad(lambda x: negative_rows(x, 1.0, 0.4).sum())(jnp.asarray([[200.0, 0.0, 0.0]]))
    assert np.isfinite(sure).all()


def test_the_rate_falls_along_half_a_cosine():
    found = [float(annealed(4e-5, 0.5, 10)(jnp.int32(t))) for t in (0, 5, 9)]
    np.testing.assert_allclose(found, [4e-5, 3e-5, 2e-5 + 2e-5 * (1 + np.cos(np.pi * 0.9)) / 2], rtol=1e-5)


def test_the_rate_begins_anew_with_every_episode():
    """Of an optimiser that lives on (`reset=False`), which counts updates over all of them."""
    rate = annealed(4e-5, 0.5, 10)
    assert [float(rate(jnp.int32(t))) for t in (10, 15, 29)] == [float(rate(jnp.int32(t))) for t in (0, 5, 9)]


def loss(numbers, x):
    """Both losses over the rows, at temperature 2.5, order 1.5 and threshold 0.9 of 1/2."""
    z = linear.logits(x, numbers)
    p, sure = linear.softmax(z / 2.5), linear.softmax(z)
    entropy = -2 * np.log((p**1.5).sum(1))
    return (entropy - 0.5 * np.log(1 - (p * (sure < 0.45)).sum(1))).mean()


@pytest.mark.slow
def test_an_episode_by_hand():
    given = {"iterations": 3, "augmentations": 3, "shift": 0.0, "gain_db": 6.0, "lr": 0.05}
    method = linear.compiled("sgem", **given, negative_rate=0.5, negative_threshold=0.9)
    after, prediction = method.step(method.init(linear.VARIABLES, linear.INFO), linear.BATCH, KEY)
    ended = []
    for i in range(8):
        numbers, m, v = linear.affine(linear.VARIABLES), 0.0, 0.0
        wave, index = linear.BATCH.wave[i : i + 1], linear.BATCH.index[i : i + 1]
        for t, key in enumerate(jax.random.split(jax.random.fold_in(KEY, i), 3), 1):
            copies = augmented_copies(key, wave, index, Augmentation(0.0, 6.0, 0.0), 2)
            x = np.concatenate([wave[None], copies]).reshape(-1, 2)
            slope = linear.gradient(lambda n, x=x: loss(n, x), numbers)
            m, v = 0.9 * m + 0.1 * slope, 0.999 * v + 0.001 * slope**2
            rate = 0.05 * (0.75 + 0.25 * np.cos(np.pi * (t - 1) / 3))
            numbers = numbers - rate * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
        ended.append(numbers)
        np.testing.assert_allclose(prediction.logits[i], linear.logits(wave, numbers)[0], rtol=2e-3, atol=2e-3)
    np.testing.assert_allclose(linear.affine(after.variables), np.mean(ended, 0), rtol=1e-3, atol=1e-3)
    value = prediction.losses["entropy"] + 0.5 * prediction.losses["negative"]
    assert float(prediction.losses["total"]) == pytest.approx(float(value), rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("over", ["clip", "batch"])
def test_a_spread_batch_gives_the_same(over):
    spread.check("sgem", RunInfo(1, 7, tiny.CLASSES), over=over, augmentations=2, iterations=2, lr=1e-3)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"order": 0.0}, "sgem: order is 0.0 and temperature 2.5, expected both above 0"),
        ({"lr_end": 2.0}, "sgem: negative_threshold is 0.4 and lr_end 2.0, expected shares, 0 to 1"),
        ({"iterations": 0}, "sgem: iterations is 0, expected at least 1"),
    ],
)
def test_bad_options_get_one_sentence(given, message):
    with pytest.raises(ValueError, match=message):
        methods.make("sgem", linear.classifier(), given)
