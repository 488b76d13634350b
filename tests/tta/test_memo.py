"""MEMO: the marginal entropy and the episode of a clip, worked out in numpy; what is reset and what is not."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dhauds_jax.tta import methods
from dhauds_jax.tta.augment import Augmentation, augmented_copies
from dhauds_jax.tta.methods.memo import marginal_entropy
from dhauds_jax.types import RunInfo
from tests.tta import linear, spread, tiny

GIVEN = {"augmentations": 3, "shift": 0.0, "gain_db": 6.0, "noise": 0.0, "lr": 0.5}
KEY = jax.random.key(7)


def made(**options):
    method = linear.compiled("memo", **{**GIVEN, **options})
    return method, method.init(linear.VARIABLES, linear.INFO)


def test_marginal_entropy_by_hand():
    # Two views that contradict each other are as bad as none; two that agree have their own entropy.
    z = np.log(np.float32([[[0.9, 0.1], [0.8, 0.2]], [[0.1, 0.9], [0.8, 0.2]]]))
    wanted = [np.log(2), -(0.8 * np.log(0.8) + 0.2 * np.log(0.2))]
    np.testing.assert_allclose(jax.jit(marginal_entropy)(z), wanted, rtol=1e-6)


def mean_entropy(copies, numbers, statistics):
    p = linear.softmax(np.stack([linear.logits(copy, numbers, *statistics) for copy in copies])).mean(0)
    return -(p * np.log(p)).sum(-1)


@pytest.mark.slow
@pytest.mark.parametrize("alpha, moments", [(0.0, "unbiased"), (0.25, "unbiased"), (0.25, "biased")])
def test_each_clip_has_an_episode_of_its_own(alpha, moments):
    """Two steps of SGD a clip on fresh copies, by finite differences; `blend` takes alpha of the clip's copies.

    The scales and shifts that move come behind the statistics, which so have no part in their gradients.
    """
    method, state = made(iterations=2, statistics="blend", alpha=alpha, moments=moments)
    after, prediction = method.step(state, linear.BATCH, KEY)
    start, ended, losses = linear.affine(linear.VARIABLES), [], []

    def blended(x):
        x = np.asarray(x, np.float64)
        var = x.var(0, ddof=int(moments == "unbiased" and len(x) > 1))
        return (1 - alpha) * linear.MEAN + alpha * x.mean(0), (1 - alpha) * linear.VAR + alpha * var

    for i in range(8):
        numbers, wave, index = start, linear.BATCH.wave[i : i + 1], linear.BATCH.index[i : i + 1]
        for key in jax.random.split(jax.random.fold_in(KEY, i), 2):
            copies = np.asarray(augmented_copies(key, wave, index, Augmentation(0.0, 6.0, 0.0), 3))
            loss = lambda n, c=copies: float(mean_entropy(c, n, blended(c.reshape(-1, 2)))[0])  # noqa: E731
            losses.append(loss(numbers))
            numbers = numbers - 0.5 * linear.gradient(loss, numbers)
        ended.append(numbers)
        wanted = linear.logits(wave, numbers, *blended(wave))[0]
        np.testing.assert_allclose(prediction.logits[i], wanted, rtol=1e-4, atol=1e-4)
    assert float(prediction.losses["total"]) == pytest.approx(np.mean(losses[1::2]), rel=1e-4)
    np.testing.assert_allclose(linear.affine(after.variables), np.mean(ended, 0), rtol=1e-4, atol=1e-5)
    assert np.abs(np.mean(ended, 0) - start).max() > 0.01


def test_nothing_is_carried_over_and_no_clip_sees_another():
    method, state = made()
    first, prediction = method.step(state, linear.BATCH, KEY)
    _, again = method.step(first, linear.BATCH, KEY)
    assert np.array_equal(prediction.logits, again.logits)
    rows = jnp.asarray([6, 2])
    _, alone = method.step(state, jax.tree.map(lambda x: x[rows], linear.BATCH), KEY)
    np.testing.assert_allclose(alone.logits, prediction.logits[rows], rtol=1e-5)
    assert np.array_equal(linear.affine({"params": first.memory.source}), linear.affine(linear.VARIABLES))


def test_evaluation_adapts_to_each_clip_too():
    method, state = made(statistics="running", lr=2.0)
    source = linear.logits(linear.WAVE, linear.affine(linear.VARIABLES))
    after, prediction = method.step(state, linear.BATCH, KEY)
    found = method.predict(after, linear.BATCH)
    surer = linear.entropy(np.asarray(found)).mean()
    assert surer < linear.entropy(source).mean() - 0.02
    # Other copies than the step's (its key draws them), so the same only about.
    assert surer == pytest.approx(linear.entropy(np.asarray(prediction.logits)).mean(), abs=0.05)
    assert not np.array_equal(found, prediction.logits)
    assert np.array_equal(found, method.predict(after, linear.BATCH))


@pytest.mark.slow
def test_a_batch_may_share_its_updates_and_go_on():
    method, state = made(over="batch", reset=False, statistics="running")
    after, prediction = method.step(state, linear.BATCH, KEY)
    start = linear.affine(linear.VARIABLES)
    key = jax.random.split(KEY, 1)[0]
    copies = np.asarray(augmented_copies(key, linear.BATCH.wave, linear.BATCH.index, Augmentation(0.0, 6.0, 0.0), 3))
    loss = lambda n: mean_entropy(copies, n, (linear.MEAN, linear.VAR)).mean()  # noqa: E731
    moved = start - 0.5 * linear.gradient(loss, start)
    np.testing.assert_allclose(linear.affine(after.variables), moved, rtol=1e-4)
    np.testing.assert_allclose(prediction.logits, linear.logits(linear.WAVE, moved), rtol=1e-4, atol=1e-5)
    assert np.array_equal(method.predict(after, linear.BATCH), prediction.logits)
    assert not np.allclose(method.step(after, linear.BATCH, KEY)[1].logits, prediction.logits)
    back, from_source = made(over="batch", statistics="running")
    once, first = back.step(from_source, linear.BATCH, KEY)
    np.testing.assert_allclose(first.logits, prediction.logits, rtol=1e-5)
    assert np.array_equal(back.step(once, linear.BATCH, KEY)[1].logits, first.logits)


def test_a_padded_row_of_nonsense_stays_out():
    method, state = made()
    batch = linear.BATCH._replace(
        wave=linear.BATCH.wave.at[7].set(jnp.nan), weights=jnp.asarray([1.0] * 7 + [0.0]), index=linear.BATCH.index
    )
    after, prediction = method.step(state, batch, KEY)
    assert np.isfinite(linear.affine(after.variables)).all() and np.isfinite(float(prediction.losses["total"]))
    alone, _ = method.step(state, jax.tree.map(lambda x: x[:7], linear.BATCH), KEY)
    np.testing.assert_allclose(linear.affine(after.variables), linear.affine(alone.variables), rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("over", ["clip", "batch"])
def test_a_spread_batch_gives_the_same(over):
    spread.check("memo", RunInfo(1, 7, tiny.CLASSES), over=over, augmentations=2)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"over": "set"}, "unknown over of method memo 'set': expected clip or batch"),
        ({"reset": False}, "memo: over=clip with reset=False, but clips adapt side by side: choose over=batch"),
        ({"augmentations": 0}, "memo: augmentations is 0, expected at least 1"),
        ({"iterations": 0}, "memo: iterations is 0, expected at least 1"),
        ({"statistics": "mine"}, "unknown statistics of method memo 'mine': expected running or blend"),
        ({"moments": "mine"}, "unknown moments of method memo 'mine': expected unbiased or biased"),
        (
            {"alpha": 1.5},
            r"^memo: alpha is 1\.5, expected a share from 0 \(the source's statistics\) to 1 \(",
        ),
        ({"optimiser": "mine"}, "unknown optimiser of method memo 'mine': expected sgd or adamw"),
    ],
)
def test_bad_options_get_one_sentence(given, message):
    with pytest.raises(ValueError, match=message):
        methods.make("memo", linear.classifier(), given)
