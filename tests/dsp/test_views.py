"""Padding, cutting and rolling: exact samples, and nothing that depends on the batch."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dhauds_jax.dsp.clip_layout import lay_out
from dhauds_jax.dsp.views import clip_to, pad_to, random_fit, random_pad, random_roll, repeat_pad, roll, rolled_views

KEY = jax.random.key(7)


def ramp(rows, length):
    return jnp.asarray(np.arange(1, rows * length + 1, dtype=np.float32).reshape(rows, length))


def shifts_of(view, wave):
    """By how many samples each row of `view` is rolled to the right against `wave` (rows of distinct values)."""
    return np.array([int(np.flatnonzero(v == w[0])[0]) for v, w in zip(np.asarray(view), np.asarray(wave))])


def test_pad_to():
    wave = ramp(2, 3)
    np.testing.assert_array_equal(pad_to(wave, 6), [[0, 1, 2, 3, 0, 0], [0, 4, 5, 6, 0, 0]])  # head 3 // 2
    np.testing.assert_array_equal(pad_to(wave, 5, jnp.array([0, 2])), [[1, 2, 3, 0, 0], [0, 0, 4, 5, 6]])
    np.testing.assert_array_equal(pad_to(wave[0], 5, jnp.array(1)), [0, 1, 2, 3, 0])
    assert pad_to(wave, 3) is wave
    assert pad_to(wave, 2) is wave
    jitted = jax.jit(pad_to, static_argnums=1)(wave, 5, jnp.array([0, 2]))
    np.testing.assert_array_equal(jitted, pad_to(wave, 5, jnp.array([0, 2])))


def test_clip_to():
    wave = ramp(2, 5)
    np.testing.assert_array_equal(clip_to(wave, 3), [[1, 2, 3], [6, 7, 8]])
    np.testing.assert_array_equal(clip_to(wave, 3, 2), [[3, 4, 5], [8, 9, 10]])
    np.testing.assert_array_equal(clip_to(wave, 3, jnp.array([1, 2])), [[2, 3, 4], [8, 9, 10]])
    np.testing.assert_array_equal(clip_to(wave, 3, 9), clip_to(wave, 3, jnp.array([9, 9])))
    assert clip_to(wave, 5) is wave
    assert clip_to(wave, 7) is wave
    np.testing.assert_array_equal(clip_to(pad_to(wave, 9), 5, 2), wave)


@pytest.mark.parametrize("shift", [0, 1, -1, 3, 16, 17, -35, 1000])
def test_roll_is_numpys(shift):
    wave = ramp(2, 17)
    ours = jax.jit(roll)(wave, jnp.array([shift, -shift]))
    np.testing.assert_array_equal(ours[0], np.roll(wave[0], shift))
    np.testing.assert_array_equal(ours[1], np.roll(wave[1], -shift))


def test_a_roll_by_the_whole_length_is_the_identity_and_rolls_add_up():
    wave = ramp(3, 101)
    rolled = jax.jit(roll)
    np.testing.assert_array_equal(rolled(wave, np.full(3, 101)), wave)
    a, b = np.array([5, -7, 60]), np.array([99, 3, -80])
    np.testing.assert_array_equal(rolled(rolled(wave, a), b), rolled(wave, a + b))
    weights = np.asarray(ramp(3, 101))[:, ::-1]
    pulled = jax.jit(jax.grad(lambda x: jnp.sum(roll(x, jnp.asarray(a)) * weights)))(wave)
    np.testing.assert_array_equal(pulled, rolled(weights, -a))


def test_views_are_rolled_by_what_was_drawn():
    length, limit = 1000, 0.17
    index = np.arange(200)
    wave = ramp(200, length)
    right, left = jax.jit(rolled_views, static_argnums=3)(KEY, wave, index, limit)
    draw = jax.jit(lambda i: jax.random.uniform(jax.random.fold_in(KEY, i), (2,)))
    u = np.stack([draw(i) for i in range(200)]).astype(np.float64)
    # int() of the float32 product may cross a whole number that float64 does not: compare within one sample.
    assert np.abs(shifts_of(right, wave) - np.trunc(u[:, 0] * limit * length)).max() <= 1
    back = (length - shifts_of(left, wave)) % length
    assert np.abs(back - np.trunc(u[:, 1] * limit * length)).max() <= 1
    assert shifts_of(right, wave).max() < limit * length
    assert back.max() < limit * length
    assert abs(shifts_of(right, wave).mean() - 84.5) < 12  # mean of int(U[0, 170)), standard error 3.5
    assert abs(np.corrcoef(shifts_of(right, wave), back)[0, 1]) < 0.25


def test_random_roll_goes_both_ways():
    wave = ramp(300, 1000)
    shift = shifts_of(jax.jit(random_roll, static_argnums=3)(KEY, wave, np.arange(300), 0.17), wave)
    shift = np.where(shift > 500, shift - 1000, shift)
    assert -170 <= shift.min() < -140
    assert 140 < shift.max() <= 170
    assert abs(shift.mean()) < 20


@pytest.mark.as_shipped
def test_batch_and_order_change_no_view():
    wave = jnp.asarray(np.random.default_rng(0).normal(size=(9, 501)), jnp.float32)
    index = jnp.array([40, 3, 7, 1, 1000, 12, 0, 5, 8])
    order = jnp.array([6, 2, 8, 0])
    lengths = jnp.array([501, 20, 1, 400, 500, 77, 3, 250, 499])
    for view in (
        lambda w, i, n: rolled_views(KEY, w, i)[0],
        lambda w, i, n: rolled_views(KEY, w, i)[1],
        lambda w, i, n: random_roll(KEY, w, i, 0.3),
        lambda w, i, n: random_pad(KEY, w, n, i, 600),
    ):
        together = view(wave, index, lengths)
        np.testing.assert_array_equal(view(wave[order], index[order], lengths[order]), together[order])
        np.testing.assert_array_equal(view(wave[4:5], index[4:5], lengths[4:5])[0], together[4])
        np.testing.assert_array_equal(jax.jit(view)(wave, index, lengths), together)
    other = rolled_views(jax.random.key(8), wave, index)[0]
    assert float(jnp.abs(other - rolled_views(KEY, wave, index)[0]).max()) > 0.1


def test_random_pad_places_every_clip_whole():
    lengths = np.tile([1, 5, 8], 60)
    wave = np.where(np.arange(8) < lengths[:, None], np.arange(1, 9), 0).astype(np.float32)
    padded = np.asarray(jax.jit(random_pad, static_argnums=4)(KEY, wave, lengths, np.arange(180), 10))
    heads = padded.argmax(1) - np.asarray(lengths) + 1
    for row, head, count in zip(padded, heads, np.asarray(lengths)):
        np.testing.assert_array_equal(row[head : head + count], np.arange(1, count + 1))
        assert row.sum() == count * (count + 1) / 2
    for count in (1, 5, 8):  # both ends are reached
        mine = heads[np.asarray(lengths) == count]
        assert mine.min() == 0
        assert mine.max() == 10 - count
    with pytest.raises(ValueError, match="rows have 8 samples, expected at most length = 7"):
        random_pad(KEY, jnp.asarray(wave), jnp.asarray(lengths), jnp.asarray(np.arange(180)), 7)


def test_random_fit_pads_as_random_pad_and_cuts_from_a_random_start():
    lengths, index, keys = np.array([4, 6, 9, 12]), np.arange(4), jax.random.split(KEY, 60)
    wave = np.where(np.arange(12) < lengths[:, None], ramp(4, 12), np.float32(0))

    def fit(last_start):
        one = partial(random_fit, length=6, last_start=last_start)
        return np.asarray(jax.jit(jax.vmap(one, (0, None, None, None)))(keys, wave, lengths, index))

    fitted = fit(False)
    pad = jax.jit(jax.vmap(partial(random_pad, length=6), (0, None, None, None)))
    padded = pad(keys, wave[:2, :6], lengths[:2], index[:2])
    np.testing.assert_array_equal(fitted[:, :2], padded)
    starts = fitted[:, 2:, 0] - np.asarray(wave)[2:, 0]
    np.testing.assert_array_equal(fitted[:, 2:], (np.asarray(wave)[2:, 0] + starts)[..., None] + np.arange(6))
    # Quirk 34: starts 0 to excess - 1; with last_start the excess itself as well.
    assert [set(column) for column in starts.T] == [{0, 1, 2}, {0, 1, 2, 3, 4, 5}]
    assert set(fit(True)[:, 2, 0] - float(wave[2, 0])) == {0, 1, 2, 3}
    with pytest.raises(ValueError, match="rows have 12 samples, expected at least length = 13"):
        random_fit(KEY, *map(jnp.asarray, (wave, lengths, index)), 13)


def test_clips_are_repeated_as_a_layout_repeats_them():
    """Shorter ones, one that fills the length, and longer ones, of which it has the head."""
    rows, lengths = np.arange(1.0, 41.0, dtype=np.float32).reshape(4, 10), np.array([3, 4, 8, 10])
    found = repeat_pad(jnp.asarray(rows), jnp.asarray(lengths), 8)
    expected = [lay_out(row[:length], 8, layout="repeat_pad") for row, length in zip(rows, lengths, strict=True)]
    np.testing.assert_array_equal(found, expected)
    assert found[3].tolist() == [31, 32, 33, 34, 35, 36, 37, 38]
