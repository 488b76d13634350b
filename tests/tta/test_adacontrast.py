"""AdaContrast: the memory, refined labels, losses and three steps worked out in numpy, clip by clip."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dhauds_jax.errors import BadInput
from dhauds_jax.tta.augment import Augmentation, augmented
from dhauds_jax.tta.methods.adacontrast import Ring, instance_rows, placed, refined_labels, sameness
from dhauds_jax.types import RunInfo
from tests.tta import affine, by_hand, spread, tiny
from tests.tta.affine import CLASSES, normalised, softmax

START = by_hand.both(affine.VARIABLES["params"])
WEIGHTS = np.array([1, 1, 0, 1, 1, 1, 1, 1.0])
REAL = WEIGHTS > 0
PLACES, NEIGHBOURS, TEMPERATURE = 10, 3, 0.5
OPTIONS = {"lr": 0.05, "momentum": 0.6, "weight_decay": 0.02, "teacher_momentum": 0.8, "temperature": TEMPERATURE}
OPTIONS |= {"queue": PLACES, "neighbours": NEIGHBOURS, "refine_after": 7, "gain_db": 6.0, "noise": 0.0, "shift": 0.5}
OPTIONS |= {"weak_shift": 0.5, "classify": 0.9, "contrast": 0.7, "diversity": 0.4}
RNG = np.random.default_rng(5)


def unit(rows):
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def logits(x, numbers):
    return normalised(np.asarray(x, np.float64)[REAL]) * numbers[:CLASSES] + numbers[CLASSES:]


def a_ring(places, added):
    keys, features = (jnp.asarray(unit(RNG.normal(size=(places, CLASSES))), jnp.float32) for _ in range(2))
    probabilities = jnp.asarray(softmax(RNG.normal(size=(places, CLASSES))), jnp.float32)
    return Ring(keys, jnp.arange(places, dtype=jnp.int32) % CLASSES, features, probabilities, jnp.int32(added))


def test_the_ring_overwrites_the_oldest_and_leaves_padding_out():
    ring = a_ring(4, 0)
    for wanted in ([0, 1, 3, 0], [1, 3, 3, 0], [3, 3, 0, 1]):
        rows = (jnp.zeros((4, 3)), jnp.arange(4, dtype=jnp.int32), jnp.zeros((4, 3)), jnp.zeros((4, 3)))
        ring = placed(ring, rows, jnp.asarray([1, 1, 0, 1.0]))
        assert list(np.asarray(ring.labels)) == wanted
    assert int(ring.added) == 9
    # Of more rows than places the last ones stay: the ring is at place 1, and took 0 to 4, of which 1 to 4 stay.
    rows = (jnp.zeros((5, 3)), jnp.arange(5, dtype=jnp.int32), jnp.zeros((5, 3)), jnp.zeros((5, 3)))
    assert list(np.asarray(placed(ring, rows, jnp.ones(5)).labels)) == [3, 4, 1, 2]


def test_labels_are_the_neighbours_and_at_first_ones_own():
    ring, rows = a_ring(9, 6), RNG.normal(size=(5, CLASSES))
    own = RNG.normal(size=(5, CLASSES))
    given = jnp.asarray(rows, jnp.float32), jnp.asarray(own, jnp.float32)
    features, probabilities = (np.asarray(part, np.float64)[:6] for part in (ring.features, ring.probabilities))
    nearest = np.argsort(1 - unit(rows) @ unit(features).T, 1)[:, :3]  # a library's distances, sorted
    wanted = probabilities[nearest].mean(1).argmax(1)
    assert list(refined_labels(*given, ring, 3, 6)) == list(wanted)
    assert list(refined_labels(*given, ring, 3, 7)) == list(own.argmax(1))
    # Nine neighbours are wanted and six there: all of them, for every row.
    assert set(np.asarray(refined_labels(*given, ring, 9, 1))) == {int(probabilities.mean(0).argmax())}


def test_the_contrast_of_clips_is_the_cross_entropy_of_a_library():
    """adacontrast.py: cross-entropy of class 0 over own key and memory, -inf where the labels are equal."""
    ring = a_ring(9, 6)
    query, key = (unit(RNG.normal(size=(4, CLASSES))) for _ in range(2))
    labels = np.array([0, 1, 2, 1])
    products = (
        np.concatenate([(query * key).sum(1)[:, None], query @ np.asarray(ring.keys, np.float64)[:6].T], 1) / 0.07
    )
    same = labels[:, None] == np.arange(6) % CLASSES
    products[:, 1:][same] = -np.inf
    found = instance_rows(*(jnp.asarray(v, jnp.float32) for v in (query, key)), jnp.asarray(labels), ring, 0.07)
    np.testing.assert_allclose(found, -by_hand.log_softmax(products)[:, 0], rtol=2e-5, atol=2e-6)
    empty = instance_rows(*(jnp.asarray(v, jnp.float32) for v in (query, key)), jnp.asarray(labels), a_ring(9, 0), 0.07)
    np.testing.assert_allclose(empty, np.zeros(4), atol=1e-6)


def test_sameness_is_least_where_all_classes_are_said():
    sure = jnp.asarray([[20.0, 0, 0], [0, 20.0, 0], [0, 0, 20.0], [20.0, 0, 0]])
    assert float(sameness(sure, jnp.asarray([1, 1, 1, 0.0]), None)) == pytest.approx(-np.log(3), rel=1e-6)
    assert float(sameness(sure[:1], jnp.ones(1), None)) == pytest.approx(0.0, abs=1e-6)


class ByHand:
    """Three steps of the method with lists for its memory."""

    def __init__(self):
        self.student, self.slow, self.buffer = START.copy(), START.copy(), np.zeros(6)
        self.refined = 0
        self.memory = []  # (key, label, features, probabilities), the oldest first

    def step(self, x, key):
        index = jnp.arange(8, dtype=jnp.int32)
        hows = Augmentation(0.5, 0.0, 0.0), Augmentation(0.5, 6.0, 0.0), Augmentation(0.5, 6.0, 0.0)
        w, q, k = (
            augmented(part, jnp.asarray(x, jnp.float64), index, how)
            for part, how in zip(jax.random.split(key, 3), hows)
        )
        self.slow = 0.8 * self.slow + 0.2 * self.student
        plain = logits(w, self.student)
        labels = plain.argmax(1)
        if len(self.memory) >= 7:
            features, probabilities = (np.stack([clip[part] for clip in self.memory]) for part in (2, 3))
            nearest = np.argsort(-unit(plain) @ unit(features).T, 1)[:, :NEIGHBOURS]
            labels = probabilities[nearest].mean(1).argmax(1)
            self.refined += (labels != plain.argmax(1)).sum()
        keys = unit(logits(k, self.slow))

        def terms(numbers):
            z = logits(q, numbers)
            query, mean = unit(z), softmax(z).mean(0)
            contrast = []
            for row, own, label in zip(query, keys, labels, strict=True):
                products = [row @ own, *(row @ clip[0] for clip in self.memory if clip[1] != label)]
                contrast.append(-by_hand.log_softmax(np.array(products) / TEMPERATURE)[0])
            found = {
                "classify": -by_hand.log_softmax(z)[np.arange(7), labels].mean(),
                "contrast": np.mean(contrast),
                "sameness": (mean * np.log(mean + 1e-8)).sum(),
            }
            return found | {"total": 0.9 * found["classify"] + 0.7 * found["contrast"] + 0.4 * found["sameness"]}

        found = terms(self.student)
        slope = by_hand.slopes(lambda numbers: terms(numbers)["total"], self.student) + 0.02 * self.student
        self.buffer = 0.6 * self.buffer + slope
        self.student = self.student - 0.05 * (slope + 0.6 * self.buffer)
        slowly = logits(w, self.slow)
        self.memory += zip(keys, labels, slowly, softmax(slowly), strict=True)
        self.memory = self.memory[-PLACES:]
        return found, (np.asarray(w)[REAL].mean(0), np.asarray(q)[REAL].mean(0))


@pytest.fixture
def in_double():
    with jax.enable_x64(True):
        yield


@pytest.mark.usefixtures("in_double")
def test_adacontrast_takes_three_steps_by_hand():
    """Before labels are refined, refined, and with a ring that has gone round."""
    method, state = by_hand.make("adacontrast", **OPTIONS)
    assert (method.passes, method.needs) == ((5, 1), ())
    hand, mean = ByHand(), np.full(CLASSES, float(np.float32(0.2)))
    for seed in (1, 2, 3):
        x, key = affine.wave(seed), jax.random.key(seed)
        wanted, followed = hand.step(x, key)
        state, prediction = method.step(state, by_hand.batch(x, WEIGHTS), key)
        assert sorted(prediction.losses) == sorted(wanted)
        for name, value in wanted.items():
            assert float(prediction.losses[name]) == pytest.approx(value, rel=1e-7), name
        np.testing.assert_allclose(np.concatenate(affine.parameters(state)), hand.student, atol=1e-8)
        np.testing.assert_allclose(by_hand.both(state.memory.slow), hand.slow, atol=1e-8)
        for part in followed:  # the weak view's mean, then the strong one's
            mean = 0.9 * mean + 0.1 * part
        np.testing.assert_allclose(affine.running(state)[0], mean, rtol=1e-9)
        np.testing.assert_allclose(prediction.logits[REAL], logits(x, hand.student), rtol=1e-6, atol=1e-8)
        now_mean, var = affine.running(state)
        evaluated = (x - now_mean) / np.sqrt(var + 1e-5) * hand.student[:3] + hand.student[3:]
        found = method.predict(state, by_hand.batch(x, WEIGHTS))
        np.testing.assert_allclose(found, evaluated, rtol=1e-6, atol=1e-7)
    ring = state.memory.ring
    assert int(ring.added) == 21
    place = [i % PLACES for i in range(11, 21)]
    assert [int(ring.labels[i]) for i in place] == [int(clip[1]) for clip in hand.memory]
    np.testing.assert_allclose(np.asarray(ring.keys)[place], [clip[0] for clip in hand.memory], atol=1e-7)
    assert hand.refined > 0


@pytest.mark.slow
def test_a_spread_batch_gives_the_same():
    spread.check("adacontrast", RunInfo(1, 7, tiny.CLASSES), refine_after=1, lr=0.01)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"evaluate": "mine"}, "unknown evaluate of method adacontrast 'mine': expected running or batch"),
        ({"teacher_momentum": 1.5}, r"adacontrast: teacher_momentum is 1\.5, expected a share from 0 to 1"),
        ({"temperature": 0.0}, r"adacontrast: temperature is 0\.0, expected a number above 0"),
        ({"queue": 0}, "adacontrast: queue is 0 and neighbours 10, expected at least 1 of each"),
        ({"weak_shift": 2.0}, r"adacontrast: shift is 2\.0, expected a share of the clip from 0 to 1"),
    ],
)
def test_bad_options_get_one_sentence(given, message):
    with pytest.raises(BadInput, match=message):
        affine.make("adacontrast", **given)
