"""Learners that train the network: AdamW by finite differences, and what enters their losses."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dhauds_jax.errors import BadInput
from dhauds_jax.incremental import learners
from dhauds_jax.incremental.kept_rows import KeptRows
from dhauds_jax.types import LearnerInfo
from tests.incremental.learning import KEY, begun, info_for, leaves_equal, shots
from tests.tta import linear, tiny

LABELS = np.int32([0, 0, 0, 1, 1, 2, 2, 2])
SMALL = {"epochs": 2, "batch": 4, "lr": 1e-2}


def numpys_adamw(waves, labels, classes, lr, decay, steps):
    """All weights after full-batch steps on BatchNorm's scale and shift, the columns and their biases."""
    wave = waves.astype(np.float64)
    running = (wave - linear.MEAN) / np.sqrt(linear.VAR + 1e-5) * linear.SCALE + linear.BIAS
    unit = lambda x: x / np.linalg.norm(x, axis=-1, keepdims=True)  # noqa: E731
    columns = np.stack([unit(unit(running)[labels == k].mean(0)) for k in range(classes)], 1)
    numbers = np.concatenate([linear.SCALE, linear.BIAS, columns.ravel(), np.zeros(classes)])
    normed = (wave - wave.mean(0)) / np.sqrt(wave.var(0) + 1e-5)

    def loss(p):
        embedding = unit(normed * p[:2] + p[2:4])
        z = 16 * embedding @ p[4 : 4 + 2 * classes].reshape(2, classes) + p[4 + 2 * classes :]
        return -np.log(linear.softmax(z)[np.arange(len(labels)), labels]).mean()

    m = v = np.zeros_like(numbers)
    values = []
    for step in range(1, steps + 1):
        values.append(loss(numbers))
        g = linear.gradient(loss, numbers)
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        change = (m / (1 - 0.9**step)) / (np.sqrt(v / (1 - 0.999**step)) + 1e-8)
        numbers = numbers - lr * (change + decay * numbers)
    return numbers, values


def test_a_session_is_adamw_on_network_and_columns():
    """Three epochs of one step; the room has two classes more, which the loss does not know."""
    waves, labels = linear.WAVE, np.int32([0, 0, 0, 0, 1, 1, 1, 1])
    options = {"epochs": 3, "lr": 1e-2, "weight_decay": 0.1, "batch": 10}
    learner, state = begun(
        "finetune", info_for(2, classes=4, rows=10), linear.classifier(), linear.VARIABLES, **options
    )
    state, losses = learner.learn(state, shots(waves, labels, 10), KEY)
    wanted, values = numpys_adamw(waves, labels, 2, 1e-2, 0.1, 3)
    np.testing.assert_allclose(linear.affine(state.params), wanted[:4], atol=2e-6)
    np.testing.assert_allclose(np.asarray(state.heads.kernel)[:, :2].ravel(), wanted[4:8], atol=2e-6)
    np.testing.assert_allclose(np.asarray(state.heads.bias)[:2], wanted[8:], atol=2e-6)
    assert float(losses["loss"]) == pytest.approx(values[-1], rel=1e-5)
    assert not np.asarray(state.heads.kernel)[:, 2:].any()


def net():
    classifier = tiny.tiny_classifier("layer_norm")
    return classifier, tiny.variables_of(classifier, tiny.LENGTH), tiny.waves(tiny.LENGTH, 8)


def sessions(name, memory=0, **options):
    """(learner, state after classes 0 and 1, shots of class 2)."""
    classifier, variables, waves = net()
    info = LearnerInfo(max_classes=4, max_sessions=2, max_rows=5, shape=(tiny.LENGTH,), memory=memory)
    learner, state = begun(name, info, classifier, variables, **SMALL, **options)
    given = shots(waves[:5], LABELS[:5], 5)
    state, _ = learner.learn(state, given, jax.random.fold_in(KEY, 0))
    state = learner.remember(state, given, KEY) if learner.remember else state
    return learner, state, shots(waves[5:], LABELS[5:], 5, first=5)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["replay", "joint"])
def test_kept_clips_enter_the_loss(name):
    """A label flipped in the memory makes another loss; the session's own clips are the same."""
    learner, state, later = sessions(name, memory=1 if name == "replay" else 0)
    kept = state.memory if name == "replay" else state.memory.clips
    place = int(np.flatnonzero(kept.weights)[0])
    flipped = kept._replace(labels=kept.labels.at[place].set(1 - kept.labels[place]))
    memory = flipped if name == "replay" else state.memory._replace(clips=flipped)
    _, losses = learner.learn(state, later, KEY)
    _, others = learner.learn(state._replace(memory=memory), later, KEY)
    assert abs(float(losses["loss"]) - float(others["loss"])) > 0.01


@pytest.mark.slow
def test_replay_keeps_the_clip_nearest_to_each_mean():
    classifier, _, waves = net()
    learner, state, later = sessions("replay", memory=1)
    kept = state.memory
    embedding = np.asarray(classifier.apply(state.params, jnp.asarray(waves), mode=tiny.EVAL)[0].embedding, np.float64)
    unit = embedding / np.linalg.norm(embedding, axis=1, keepdims=True)
    nearest = int(np.argmin(np.linalg.norm(unit[:3] - unit[:3].mean(0), axis=1)))  # class 1 has two, as near as can be
    np.testing.assert_array_equal(kept.inputs[0], waves[nearest])
    assert int(kept.clip[0]) == nearest and int(kept.clip[1]) in (3, 4)
    np.testing.assert_array_equal(kept.weights, [1, 1, 0, 0])
    network = sum(leaf.nbytes for leaf in jax.tree.leaves(state.params))
    assert learner.bytes_held(state) == network + 2 * (12 + 1) * 4 + 2 * 2 * tiny.LENGTH
    after = learner.remember(learner.learn(state, later, KEY)[0], later, KEY).memory
    np.testing.assert_array_equal(after.weights, [1, 1, 1, 0])
    np.testing.assert_array_equal(after.inputs[:2], kept.inputs[:2])  # classes that are not in the pool stay


@pytest.mark.slow
def test_without_memory_replay_is_finetune():
    learner, state, later = sessions("replay")
    plain, other, _ = sessions("finetune")
    assert isinstance(state.memory, KeptRows) and not len(state.memory.weights)
    ends = [one.learn(begun, later, KEY)[0] for one, begun in ((learner, state), (plain, other))]
    assert leaves_equal(*(end._replace(memory=()) for end in ends))


@pytest.mark.slow
def test_joint_is_one_session_of_all_clips():
    """Whatever the sessions were before: it begins anew, and batches are drawn by clip."""
    classifier, variables, waves = net()
    learner, state, later = sessions("joint")
    state, losses = learner.learn(state, later, KEY)
    info = LearnerInfo(max_classes=4, max_sessions=1, max_rows=10, shape=(tiny.LENGTH,))
    plain, other = begun("finetune", info, classifier, variables, **SMALL)
    other, wanted = plain.learn(other, shots(waves, LABELS, 10), KEY)
    assert float(losses["loss"]) == pytest.approx(float(wanted["loss"]), rel=1e-5)
    np.testing.assert_allclose(state.heads.kernel, other.heads.kernel, atol=1e-5)
    logits = (np.asarray(one.predict(end, waves)["linear"])[:, :3] for one, end in ((learner, state), (plain, other)))
    np.testing.assert_allclose(*logits, atol=1e-4)


@pytest.mark.parametrize(
    ("options", "message"), [({}, "none is there"), ({"lr": "0"}, "lr"), ({"batch": "0"}, "batch")]
)
def test_what_cannot_be_trained(options, message):
    with pytest.raises(BadInput, match=f"learner finetune: .*{message}"):
        learners.make("finetune", net()[0] if options else None, options)
