"""Scores, temperature and threshold of left-out shots, against sums done by hand and by brute force."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dhauds_jax import calibration, metrics
from dhauds_jax.errors import BadInput
from dhauds_jax.incremental import learners, rejection
from dhauds_jax.types import LearnerInfo, Shots

SEEN = np.float32([1, 0, 1, 1])
LOGITS = np.array([[2.0, -np.inf, 1.0, 0.0], [0.0, -np.inf, 3.0, 3.0], [1.0, -np.inf, 0.5, 4.0]])
LABELS = np.array([0, 2, 3])


def test_scores_of_the_seen_classes_by_hand():
    np.testing.assert_allclose(rejection.sureness("max_logit", LOGITS, SEEN), [2, 3, 4])
    energies = [2 * np.log(sum(np.exp(np.array(row) / 2))) for row in ([2, 1, 0], [0, 3, 3], [1, 0.5, 4])]
    np.testing.assert_allclose(rejection.sureness("energy", LOGITS, SEEN, 2.0), energies, rtol=1e-12)
    first = np.exp(2) / (np.exp(2) + np.exp(1) + 1)
    assert rejection.sureness("max_probability", LOGITS, SEEN)[0] == pytest.approx(first, rel=1e-12)
    with pytest.raises(BadInput, match="score 'angle': expected one of max_logit, energy, max_probability"):
        rejection.sureness("angle", LOGITS, SEEN)


def test_the_temperature_is_the_likeliest_for_labels_that_are_doubted():
    made = rejection.calibrated(LOGITS, LABELS, SEEN, "max_logit")
    kept, own = rejection.of_seen(LOGITS, LABELS, SEEN)
    np.testing.assert_array_equal(own, [0, 1, 2])

    def loss(temperature):  # a label counts 4/5, each of the two other classes 1/10
        logs = np.log(metrics.softmax(kept / temperature))
        return -np.mean(np.where(np.arange(3) == own[:, None], 0.8, 0.1) * logs)

    assert loss(made.temperature) < min(loss(made.temperature * factor) for factor in (0.99, 1.01))
    np.testing.assert_allclose(made.known, [2, 3, 4])
    assert made.score == "max_score" and rejection.flag_of(made) == "max_logit"
    assert calibration.threshold(made, reject=0.34) == 3.0  # one of three is lost


def test_shots_that_are_all_right_leave_some_doubt():
    logits, labels = 50 * np.eye(4)[[0, 1, 2, 3, 0]], np.array([0, 1, 2, 3, 0])
    made = rejection.calibrated(logits, labels, np.ones(4), "max_probability")
    assert calibration.probabilities(made, logits).max() == pytest.approx(6 / 7, rel=1e-9)


@pytest.mark.parametrize(
    ("logits", "labels"), [(LOGITS[:0], LABELS[:0]), (LOGITS, np.array([0, 1, 3])), (np.full((3, 4), np.inf), LABELS)]
)
def test_what_cannot_be_calibrated_is_refused(logits, labels):
    with pytest.raises(BadInput, match="left-out clips, expected at least one, of classes that have been learnt"):
        rejection.calibrated(logits, labels, SEEN, "energy")


def test_distances_of_prototypes_are_their_largest_logits():
    draw = np.random.default_rng(0)
    inputs, labels = jnp.float32(draw.normal(size=(6, 5))), jnp.int32([0, 0, 2, 2, 3, 3])
    shots = Shots(inputs, labels, jnp.ones(6), jnp.ones(6), jnp.arange(6))
    learner = learners.make("prototype", None, {"scale": 1.0})
    key = jax.random.key(0)
    state = learner.learn(learner.init({}, LearnerInfo(4, 1, 6, (5,)), key), shots, key)[0]
    unit = rejection.vectors(inputs, "embedding")
    to = rejection.centres(unit, np.asarray(labels), np.ones(6), 4)
    new = jnp.float32(draw.normal(size=(3, 5)))
    logits = rejection.sureness("max_logit", learner.predict(state, new)["prototype"], state.seen)
    found = rejection.distance(rejection.vectors(new, "embedding"), to)
    np.testing.assert_allclose(found, logits - 1, atol=1e-6)
    left = rejection.sureness("max_logit", learner.held_out(state, shots)["prototype"], state.seen)
    np.testing.assert_allclose(rejection.held_out_distance(unit, np.asarray(labels), to), left - 1, atol=1e-6)


def test_what_is_read_becomes_one_vector_of_length_one():
    read = np.random.default_rng(1).normal(size=(2, 3, 4))
    levels = read / np.linalg.norm(read, axis=-1, keepdims=True)
    np.testing.assert_allclose(rejection.vectors(read, "layers"), levels.reshape(2, 12) / np.sqrt(3), atol=1e-6)
    mean = read.mean(1)
    np.testing.assert_allclose(
        rejection.vectors(read, "tokens"), mean / np.linalg.norm(mean, axis=-1, keepdims=True), atol=1e-6
    )
    with pytest.raises(BadInput, match="score distance: the learner reads waves"):
        rejection.vectors(read, "wave")


def test_known_against_unknown_by_counting():
    known, unknown = np.arange(1, 21) / 20, np.array([0.02, 0.1, 0.5, 0.98])
    found = rejection.measured(known, unknown, least=0.5)
    pairs = np.mean([(k > u) + 0.5 * (k == u) for k in known for u in unknown])
    assert found.auroc == pytest.approx(pairs, abs=1e-12)
    assert found.fpr == 0.75  # 19 of 20 known clips are at 0.1 or above
    assert (found.known, found.unknown) == (11 / 20, 0.5)
    assert np.isnan(rejection.measured(known, unknown).known)
