"""DSUTA clip by clip in numpy: fast and slow updates with Adam's moments, the domain's Gaussian, the reset."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dhauds_jax.tta import methods
from dhauds_jax.tta.methods.dsuta_slow import no_improvements
from dhauds_jax.types import RunInfo
from tests.tta import linear, spread, tiny

KEY = jax.random.key(2)
LR, EVERY, CONSTRUCT, FAST = 0.05, 2, 6, 2
# One view a clip: nothing is drawn, and the class confusion of a single row is constant.
GIVEN = {
    "lr": LR,
    "iterations": FAST,
    "every": EVERY,
    "construct": CONSTRUCT,
    "patience": 2,
    "deviation": 1.0,
    "augmentations": 1,
}


class Adam:
    """Numbers with their moments."""

    def __init__(self, numbers):
        self.numbers, self.m, self.v, self.t = numbers, 0.0, 0.0, 0

    def copy(self):
        other = Adam(self.numbers)
        other.m, other.v, other.t = self.m, self.v, self.t
        return other

    def down(self, slope):
        self.t += 1
        self.m, self.v = 0.9 * self.m + 0.1 * slope, 0.999 * self.v + 0.001 * slope**2
        unbiased = self.m / (1 - 0.9**self.t), self.v / (1 - 0.999**self.t)
        self.numbers = self.numbers - LR * unbiased[0] / (np.sqrt(unbiased[1]) + 1e-8)


def loss(clip, numbers):
    """But for the class confusion, which is as large for every single row."""
    return 0.3 * linear.entropy(linear.logits(clip[None], numbers) / 2.5)[0]


def slope(clips, numbers):
    """Of the clips' mean loss: dH/dz = -p (ln p + H) at z = logits / 2.5."""
    z = linear.logits(clips, numbers) / 2.5
    p = linear.softmax(z)
    dz = -0.3 * p * (np.log(p) + linear.entropy(z)[:, None]) / 2.5 / len(clips)
    unit = linear.logits(clips, np.array([1.0, 1.0, 0.0, 0.0]))
    return np.concatenate([(dz * unit).sum(0), dz.sum(0)])


class ByHand:
    """The two loops as the paper tells them."""

    def __init__(self):
        self.source = linear.affine(linear.VARIABLES)
        self.start()
        self.seen, self.resets, self.kept = 0, 0, []

    def start(self):
        self.slow, self.since, self.gains, self.domain, self.fails = Adam(self.source), 0, [], None, 0

    def gain(self, clip):
        return loss(clip, self.domain) - loss(clip, self.source)

    def alarm(self):
        if self.since <= CONSTRUCT:
            return False
        error = np.std(self.gains, ddof=1) / np.sqrt(EVERY)
        return (np.mean([self.gain(c) for c in self.kept]) - np.mean(self.gains)) / error > GIVEN["deviation"]

    def see(self, clip):
        fast = self.slow.copy()
        for _ in range(FAST):
            fast.down(slope(clip[None], fast.numbers))
        self.seen, self.since, self.kept = self.seen + 1, self.since + 1, [*self.kept, clip]
        if self.seen % EVERY == 0:
            self.fails = self.fails + 1 if self.alarm() else 0
            if self.fails == GIVEN["patience"]:
                self.start()
                self.resets += 1
            else:
                self.slow.down(slope(np.stack(self.kept), self.slow.numbers))
            self.kept = []
        if self.since == CONSTRUCT // 2:
            self.domain = self.slow.numbers
        elif CONSTRUCT // 2 < self.since < CONSTRUCT:
            self.gains.append(self.gain(clip))
        return linear.logits(clip[None], fast.numbers)[0]


def test_a_stream_by_hand_with_a_reset():
    """Eight clips, eight of another kind, whose loss the domain's weights improve less, and eight more."""
    clips = np.random.default_rng(2).normal(0.5, 1.0, (24, 2)).astype(np.float32)
    clips[8:16] *= 6.0
    by_hand, method = ByHand(), linear.compiled("dsuta", **GIVEN)
    state = method.init(linear.VARIABLES, linear.INFO)
    resets = []
    for first in range(0, 24, 8):
        batch = linear.BATCH._replace(wave=jnp.asarray(clips[first : first + 8]))
        state, prediction = method.step(state, batch, KEY)
        wanted = [by_hand.see(np.float64(clip)) for clip in clips[first : first + 8]]
        np.testing.assert_allclose(prediction.logits, wanted, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(linear.affine(state.variables), by_hand.slow.numbers, rtol=1e-4, atol=1e-5)
        assert float(prediction.losses["resets"]) == by_hand.resets
        resets.append(by_hand.resets)
    assert resets == [0, 0, 1] and int(state.memory.since) == by_hand.since == 6
    assert np.array_equal(linear.affine({"params": state.memory.source}), by_hand.source.astype(np.float32))


def test_the_moments_of_a_domain():
    """2, 4, 9: mean 5, standard deviation sqrt(13); the mean of four at 5 + 2 sqrt(13) lies four errors above."""
    found = no_improvements()
    for value in (2.0, 4.0, 9.0):
        found = found.added(jnp.float32(value))
    assert float(found.mean) == pytest.approx(5.0)
    assert float(found.deviation(jnp.float32(5 + 2 * 13**0.5), 4)) == pytest.approx(4.0)


@pytest.mark.slow
def test_predict_adapts_fast_and_keeps_nothing():
    method = linear.compiled("dsuta", **GIVEN)
    state = method.init(linear.VARIABLES, linear.INFO)
    clip = np.float64(linear.WAVE[3])
    fast = Adam(linear.affine(linear.VARIABLES))
    for _ in range(FAST):
        fast.down(slope(clip[None], fast.numbers))
    found = method.predict(state, linear.BATCH)[3]
    np.testing.assert_allclose(found, linear.logits(clip[None], fast.numbers)[0], rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_batches_change_nothing_but_the_order_of_clips():
    """Four and four are eight: views are drawn from a clip's place in the set, not in the batch."""
    method = linear.compiled("dsuta", **{**GIVEN, "augmentations": 3, "shift": 1.0, "gain_db": 6.0})
    state = method.init(linear.VARIABLES, linear.INFO)
    whole, prediction = method.step(state, linear.BATCH, KEY)
    logits = []
    for rows in (slice(0, 4), slice(4, 8)):
        state, part = method.step(state, jax.tree.map(lambda x, rows=rows: x[rows], linear.BATCH), KEY)
        logits.append(part.logits)
    np.testing.assert_allclose(np.concatenate(logits), prediction.logits, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(linear.affine(state.variables), linear.affine(whole.variables), rtol=1e-5)


@pytest.mark.slow
def test_a_padded_row_of_nonsense_stays_out():
    method = linear.compiled("dsuta", **GIVEN)
    state = method.init(linear.VARIABLES, linear.INFO)
    wave, weights = linear.BATCH.wave.at[5].set(jnp.nan), linear.BATCH.weights.at[5].set(0.0)
    after, prediction = method.step(state, linear.BATCH._replace(wave=wave, weights=weights), KEY)
    rows = jnp.asarray([0, 1, 2, 3, 4, 6, 7])
    alone, wanted = method.step(state, jax.tree.map(lambda x: x[rows], linear.BATCH), KEY)
    np.testing.assert_allclose(prediction.logits[rows], wanted.logits, rtol=1e-5)
    np.testing.assert_allclose(linear.affine(after.variables), linear.affine(alone.variables), rtol=1e-6)
    assert int(after.memory.seen) == 7


@pytest.mark.slow
def test_a_spread_batch_gives_the_same():
    spread.check("dsuta", RunInfo(1, 7, tiny.CLASSES), augmentations=2, iterations=1, every=3, lr=1e-3)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"every": 0}, "dsuta: every is 0, expected at least 1 clip"),
        ({"construct": 4}, "dsuta: construct is 4, expected at least 5 clips, of whose second half two remain"),
        ({"entropy_rate": 2.0}, "dsuta: entropy_rate is 2.0 and temperature 2.5, expected 0 to 1 and above 0"),
    ],
)
def test_bad_options_get_one_sentence(given, message):
    with pytest.raises(ValueError, match=message):
        methods.make("dsuta", linear.classifier(), given)
