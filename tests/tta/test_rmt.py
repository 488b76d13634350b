"""RMT: a whole step, the teacher, the replay and the warm-up worked out in numpy with central differences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dhauds_jax.errors import BadInput
from dhauds_jax.tta.augment import Augmentation, augmented
from dhauds_jax.types import RunInfo, SourceData
from tests.tta import affine, by_hand, spread, tiny
from tests.tta.affine import CLASSES, normalised

KEY = jax.random.key(7)
START = by_hand.both(affine.VARIABLES["params"])
SOURCE = SourceData(jnp.asarray(affine.wave(9, 12)), jnp.asarray(np.arange(12) % CLASSES, jnp.int32))
INFO = affine.INFO._replace(source=SOURCE)
X, WEIGHTS = affine.wave(1), np.array([1, 1, 1, 1, 1, 1, 1, 0.0])
OPTIONS = {"lr": 0.05, "optimiser": "sgd", "teacher_momentum": 0.75, "warm_up": 0, "projection": 4, "noise": 0.0}
OPTIONS |= {"shift": 0.0, "gain_db": 6.0, "temperature": 0.5, "replay_clips": 5, "self_training": 0.8, "contrast": 0.6}


def logits(x, numbers):
    """Of the classifier with the statistics of these rows."""
    return normalised(np.asarray(x, np.float64)) * numbers[:CLASSES] + numbers[CLASSES:]


def terms_of(prototypes, replay):
    """The step's loss as a function of scales, shifts and projector, all in one array."""
    copy_key, replay_key = jax.random.split(KEY)
    index = jnp.arange(8, dtype=jnp.int32)
    copies = augmented(copy_key, jnp.asarray(X, jnp.float64), index, Augmentation(0.0, 6.0, 0.0))[:7]
    teacher = logits(X[:7], START)
    rows = np.asarray(jax.random.permutation(replay_key, 12)[:5])

    def terms(numbers):
        plain, changed = (logits(view, numbers[:6]) for view in (X[:7], copies))
        projector = by_hand.projector_of(numbers[6:], CLASSES, 4)
        found = {
            "self_training": (by_hand.symmetric(plain, teacher) + by_hand.symmetric(changed, teacher)).mean() / 2,
            "contrast": by_hand.alignment(projector, prototypes, plain, changed, 0.5),
        }
        found["total"] = 0.8 * found["self_training"] + 0.6 * found["contrast"]
        if replay:
            log_p = by_hand.log_softmax(logits(np.asarray(SOURCE.waves)[rows], numbers[:6]))
            found["replay"] = -log_p[np.arange(5), np.asarray(SOURCE.labels)[rows]].mean()
            found["total"] += replay * found["replay"]
        return found

    return terms


TOLERANCE = 1e-9
"""Of central differences; what needs none is held to rounding."""


@pytest.fixture
def in_double():
    with jax.enable_x64(True):
        yield


@pytest.mark.usefixtures("in_double")
@pytest.mark.parametrize("prototypes", ["source", pytest.param("head", marks=pytest.mark.slow)])
def test_rmt_takes_a_step_by_hand(prototypes):
    replay = 0.7 if prototypes == "source" else 0.0
    method, state = by_hand.make(
        "rmt", INFO if replay else affine.INFO, prototypes=prototypes, replay=replay, **OPTIONS
    )
    assert (method.passes, method.needs) == (((4, 3), ("source_data",)) if replay else ((3, 2), ()))
    projector = by_hand.numbers_of(state.memory.projector)
    after, prediction = method.step(state, by_hand.batch(X, WEIGHTS), KEY)
    terms = terms_of(np.asarray(state.memory.prototypes.vectors, np.float64), replay)
    start = np.concatenate([START, projector])
    assert sorted(prediction.losses) == sorted(terms(start))
    for name, value in terms(start).items():
        assert float(prediction.losses[name]) == pytest.approx(value, rel=1e-12), name
    moved = start - 0.05 * by_hand.slopes(lambda numbers: terms(numbers)["total"], start)
    student = np.concatenate(affine.parameters(after))
    np.testing.assert_allclose(student, moved[:6], atol=TOLERANCE)
    np.testing.assert_allclose(by_hand.numbers_of(after.memory.projector), moved[6:], atol=TOLERANCE)
    wanted = 0.75 * START + 0.25 * student
    np.testing.assert_allclose(by_hand.both(after.memory.teacher["params"]), wanted, rtol=1e-12)
    # Student and teacher begin as one: their sum, before the update, is twice the source's logits.
    np.testing.assert_allclose(prediction.logits[:7], 2 * logits(X[:7], START), rtol=1e-10)
    both = (affine.running(one)[0] for one in (after, after._replace(variables=after.memory.teacher)))
    for mean in both:
        np.testing.assert_allclose(mean, 0.9 * float(np.float32(0.2)) + 0.1 * X[:7].astype(float).mean(0), rtol=1e-12)
    mean, var = affine.running(after)
    found = method.predict(after, by_hand.batch(X, np.ones(8)))
    np.testing.assert_allclose(
        found, (X - mean) / np.sqrt(var + 1e-5) * (student + wanted)[:3] + (student + wanted)[3:], rtol=1e-4, atol=1e-4
    )


@pytest.mark.usefixtures("in_double")
def test_the_warm_up_rises_to_its_rate_on_the_source_alone():
    options = OPTIONS | {"warm_up": 10, "lr": 0.2}
    _, state = by_hand.make("rmt", INFO._replace(batch_size=5), momentum=0.5, **options)
    student, teacher, buffer = START.copy(), START.copy(), np.zeros(6)
    for i in range(2):
        waves = np.asarray(SOURCE.waves)[5 * i : 5 * i + 5]
        wanted = logits(waves, teacher)
        slope = by_hand.slopes(
            lambda n, waves=waves, wanted=wanted: by_hand.symmetric(logits(waves, n), wanted).mean(), student
        )
        buffer = 0.5 * buffer + slope
        student = student - 0.2 * (i + 1) / 2 * buffer
        teacher = 0.75 * teacher + 0.25 * student
    np.testing.assert_allclose(np.concatenate(affine.parameters(state)), student, atol=TOLERANCE)
    np.testing.assert_allclose(by_hand.both(state.memory.teacher["params"]), teacher, atol=TOLERANCE)
    assert np.abs(student - START).max() > 1e-3
    mean, var = affine.running(state)
    np.testing.assert_array_equal([mean, var], np.float32([[0.2] * 3, [1.5] * 3]))
    trace = jax.tree.leaves(state.opt_state[0])  # the optimiser goes on where the warm-up ended
    np.testing.assert_allclose(np.sort(np.concatenate(trace)), np.sort(buffer), atol=10 * TOLERANCE)


@pytest.mark.usefixtures("in_double")
def test_at_rate_0_the_warm_up_moves_nothing():
    """What a board calls its floor has learnt nothing, from source clips neither."""
    _, state = by_hand.make("rmt", INFO._replace(batch_size=5), **OPTIONS | {"warm_up": 10, "lr": 0.0})
    np.testing.assert_array_equal(np.concatenate(affine.parameters(state)), START)


@pytest.mark.slow
def test_a_spread_batch_gives_the_same():
    source = SourceData(jnp.asarray(tiny.waves()[8:]), jnp.arange(14, dtype=jnp.int32) % tiny.CLASSES)
    spread.check("rmt", RunInfo(1, 7, tiny.CLASSES, source, 8), group="norm", warm_up=8, replay_clips=4)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"prototypes": "mine"}, "unknown prototypes of method rmt 'mine': expected source or head"),
        ({"evaluate": "mine"}, "unknown evaluate of method rmt 'mine': expected running or batch"),
        ({"teacher_momentum": 1.5}, r"rmt: teacher_momentum is 1\.5, expected a share from 0 to 1"),
        ({"temperature": 0.0}, r"rmt: temperature is 0\.0, expected a number above 0"),
        ({"replay_clips": 0}, "rmt: replay_clips is 0 and projection 128, expected at least 1 of each"),
        ({"warm_up": -1}, "rmt: warm_up is -1, expected 0 or a number of source clips"),
    ],
)
def test_bad_options_get_one_sentence(given, message):
    with pytest.raises(BadInput, match=message):
        affine.make("rmt", INFO, **given)


def test_without_source_clips_it_says_what_to_leave_out():
    with pytest.raises(BadInput, match=r"^method rmt needs source clips: give some, or set prototypes=head, replay=0"):
        affine.make("rmt", affine.INFO, prototypes="head")
