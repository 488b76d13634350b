"""DeYO: the destroyed clip, the probability it costs, and a step worked out in numpy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dhauds_jax.tta.methods.deyo import plpd, shuffled_segments
from tests.tta import affine
from tests.tta.affine import BIAS, CLASSES, SCALE, affine_slope, entropy, entropy_slope, normalised, parameters, softmax

KEY = jax.random.key(0)
LN = np.log(CLASSES)


def test_segments_are_shuffled_whole_and_the_tail_stays():
    wave = jnp.arange(2 * 22, dtype=jnp.float32).reshape(2, 22)
    index = jnp.asarray([3, 7])
    out = np.asarray(shuffled_segments(KEY, wave, index, 5))
    assert out.shape == (2, 22)
    for row, old in zip(out, np.asarray(wave), strict=True):
        assert np.array_equal(row[20:], old[20:])
        pieces, wanted = row[:20].reshape(5, 4), old[:20].reshape(5, 4)
        assert np.array_equal(pieces[np.argsort(pieces[:, 0])], wanted)
        assert not np.array_equal(pieces, wanted)
    alone = shuffled_segments(KEY, wave[1:], index[1:], 5)
    assert np.array_equal(alone[0], out[1])
    orders = {tuple(np.asarray(shuffled_segments(jax.random.key(k), wave, index, 5))[0]) for k in range(5)}
    assert len(orders) > 1


@pytest.mark.parametrize("segments", [1, 4])
def test_segments_out_of_range_are_refused(segments):
    method, state = affine.make("deyo", segments=segments)
    with pytest.raises(ValueError, match=f"deyo: segments is {segments}, expected 2 to the 3 samples of a clip"):
        method.step(state, affine.batch(affine.wave(1)), KEY)


def test_plpd_is_what_the_predicted_class_loses():
    p, q = np.array([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6]]), np.array([[0.2, 0.7, 0.1], [0.1, 0.2, 0.7]])
    np.testing.assert_allclose(plpd(jnp.log(p), jnp.log(q)), [0.5, -0.1], rtol=1e-5)


def test_deyo_takes_a_step_by_hand():
    x, lr, limit, margin, cut = affine.wave(1), 0.05, 0.7, 0.4, 0.05
    method, state = affine.make("deyo", lr=lr, entropy_limit=limit, margin=margin, plpd_limit=cut, segments=CLASSES)
    state, prediction = method.step(state, affine.batch(x), KEY)
    destroyed = np.asarray(shuffled_segments(KEY, jnp.asarray(x), jnp.arange(8), CLASSES))
    p = softmax(normalised(x) * SCALE + BIAS)
    sure = entropy(p) < limit * LN
    broken = softmax(normalised(destroyed, sure) * SCALE + BIAS)
    rows = np.arange(8)
    drop = p[rows, p.argmax(1)] - broken[rows, p.argmax(1)]
    keep = sure & (drop > cut)
    assert 0 < keep.sum() < sure.sum() < 8
    factor = (np.exp(margin * LN - entropy(p)) + np.exp(drop)) * keep / keep.sum()
    g = affine_slope(factor[:, None] * entropy_slope(p), normalised(x))
    assert float(prediction.losses["total"]) == pytest.approx((factor * entropy(p)).sum(), rel=1e-5)
    assert float(prediction.losses["kept"]) == pytest.approx(keep.mean())
    np.testing.assert_allclose(parameters(state), [SCALE - lr * g[0], BIAS - lr * g[1]], rtol=1e-5)


def test_deyo_stands_still_when_no_clip_is_sure():
    method, state = affine.make("deyo", lr=0.05, entropy_limit=0.0, segments=CLASSES)
    after, prediction = method.step(state, affine.batch(affine.wave(1)), KEY)
    assert (float(prediction.losses["kept"]), float(prediction.losses["total"])) == (0.0, 0.0)
    np.testing.assert_array_equal(parameters(after), parameters(state))
    assert np.all(np.isfinite(prediction.logits))
