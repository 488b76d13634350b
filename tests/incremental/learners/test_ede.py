"""EDE's sessions on a few random tokens: what is copied, frozen, and of exemplars; session 0 on a net."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dhauds_jax.errors import BadInput
from dhauds_jax.incremental import learners
from dhauds_jax.incremental.as_classifier import as_classifier
from dhauds_jax.incremental.precision import compiled
from dhauds_jax.nets import zoo
from dhauds_jax.nets.dual_embedding import INITIAL, adapter_bytes, draw_adapter, sizes_of
from dhauds_jax.nets.normalisers import EVAL
from dhauds_jax.nets.prototypes import unlearnt
from tests.incremental.learning import KEY, info_for, shots

LABELS = np.repeat(np.arange(4), 3).astype(np.int32)
SESSIONS = np.arange(6), np.arange(6, 12)


@functools.cache
def tokens():
    """Three clips of each of four classes, (12, 3, 8)."""
    rng = np.random.default_rng(4)
    return (rng.normal(size=(4, 3, 8))[LABELS] + 0.5 * rng.normal(size=(12, 3, 8))).astype(np.float32)


@functools.cache
def made(memory=1, profile="corrected"):
    learner = compiled(learners.make("ede", None, {"profile": profile, "epochs": 2, "base_epochs": 0}))
    info = info_for((3, 8), classes=5, sessions=2, rows=6, memory=memory, clip_bytes=100)
    return learner, learner.init({}, info, KEY)


def session(learner, state, number, labels=LABELS):
    chosen = SESSIONS[number]
    given = shots(tokens()[chosen], labels[chosen], 6, first=6 * number)
    state, losses = learner.learn(state, given, jax.random.fold_in(KEY, number))
    return state, losses, given


def first_session(learner, state):
    state, _, given = session(learner, state, 0)
    return learner.remember(state, given, KEY)


@pytest.mark.slow
def test_a_session_copies_the_last_adapter_and_leaves_the_older_ones_and_what_they_said():
    learner, state = made()
    start = jax.tree.leaves(state.params["adapters"])
    before = first_session(learner, state)
    assert all(np.any(a[0] != b[0]) for a, b in zip(jax.tree.leaves(before.params["adapters"]), start))
    after, losses, _ = session(learner, before, 1)
    adapters = [jax.tree.leaves(one.params["adapters"]) for one in (before, after)]
    for old, new in zip(*adapters):
        np.testing.assert_array_equal(new[0], old[0])
        moved = np.abs(new[1] - new[0]).max()
        assert 0 < moved < 0.1  # four steps from the copy, not from a draw of its own
    assert float(losses["aux"]) > 0
    vectors = np.asarray(after.memory.vectors)[:2, 0]
    np.testing.assert_array_equal(vectors[:, :2], np.asarray(before.memory.vectors)[:2, 0, :2])
    assert np.abs(vectors[:, 2] - vectors[:, 1]).max() > 0  # the new adapter's output, kept as well
    means = tokens().mean(1).reshape(4, 3, 8).mean(1)  # without a network there is no last norm
    np.testing.assert_allclose(after.heads.prototypes[:4, 0], means, atol=1e-6)
    np.testing.assert_allclose(after.heads.prototypes[:2, 2], vectors[:, 2], atol=1e-6)


def test_exemplars_enter_the_loss():
    learner, state = made()
    before = first_session(learner, state)
    _, losses, _ = session(learner, before, 1)
    flipped = before.memory._replace(
        tokens=before.memory.tokens[jnp.array([1, 0, 2, 3, 4])],
        vectors=before.memory.vectors[jnp.array([1, 0, 2, 3, 4])],
    )
    _, other, _ = session(learner, before._replace(memory=flipped), 1)
    assert abs(float(losses["loss"]) - float(other["loss"])) > 1e-4


@pytest.mark.slow
def test_without_memory_old_classes_lack_the_newest_part():
    learner, state = made(memory=0)
    before = first_session(learner, state)
    after, _, _ = session(learner, before, 1)
    np.testing.assert_array_equal(after.heads.prototypes[:2, 2], 0)
    assert np.abs(after.heads.prototypes[2:4, 2]).min() > 0
    np.testing.assert_allclose(after.heads.prototypes[:2, :2], before.heads.prototypes[:2, :2], atol=1e-6)


@pytest.mark.slow
def test_profile_reference_overwrites_old_prototypes_and_seeds_anew():
    learner, state = made(profile="reference")
    assert learner.heads == ("linear", "prototype", "nme")
    before = first_session(learner, state)
    jax.tree.map(
        lambda a, b: np.testing.assert_array_equal(a[0], b[0]), *(s.params["adapters"] for s in (state, before))
    )
    after, losses, _ = session(learner, before, 1)
    np.testing.assert_allclose(after.heads.prototypes[:2], np.asarray(after.memory.vectors)[:2, 0], atol=1e-6)
    chosen = shots(tokens()[SESSIONS[1]], LABELS[SESSIONS[1]], 6, first=6)
    heads_key = jax.random.fold_in(KEY, 1)
    again, same = learner.learn(before, chosen, heads_key)
    assert float(same["loss"]) == float(losses["loss"])
    np.testing.assert_array_equal(again.heads.kernel, after.heads.kernel)


def test_what_is_held_is_counted():
    learner, state = made()
    state = first_session(learner, state)
    assert learner.bytes_held(state) == adapter_bytes(sizes(8), 8) + 4 * 2 * (4 * 8 + 2) + 2 * 100
    drawn = draw_adapter(KEY, sizes(8), 8)
    assert adapter_bytes(sizes(8), 8) == 4 * sum(leaf.size for leaf in jax.tree.leaves(drawn))


def sizes(width):
    return sizes_of(zoo.preset("ssast_test", ("a",)), width)._replace(heads=1)


def test_sizes_of_adapters_are_the_networks():
    assert sizes_of(zoo.preset("ssast_tiny_ls100", ("a",)), 192) == (3, 768, 1e-6)
    assert sizes_of(zoo.preset("hubert_small", ("a",)), 192) == (4, 768, 1e-5)
    assert sizes_of(zoo.preset("amaut_small", ("a",)), 192) == (4, 768, 1e-6)
    assert sizes_of(zoo.preset("vggish", ("a",)), 128).heads == 2


@pytest.mark.slow
def test_a_network_that_session_0_moved_is_read_and_stored_with_the_first_one():
    head = "prototype"
    classifier = zoo.build(zoo.preset("ssast_test", ("x", "y")))
    waves = np.asarray(np.random.default_rng(0).normal(size=(12, 4000)) * 0.1, np.float32)
    variables = classifier.init(jax.random.key(1), jnp.asarray(waves[:1]))
    learner = compiled(learners.make("ede", classifier, {"base_epochs": 2, "epochs": 1, "first_epochs": 0}))
    assert learner.needs == ("exemplars", "base_training")
    info = info_for((17, 16), classes=5, sessions=2, rows=6, memory=1, clip_bytes=8000)
    state = learner.init(variables, info, KEY)
    moved, state = learner.prepare(variables, state, shots(waves[:6], LABELS[:6], 6), KEY)
    encoders = [tree["params"]["encoder"] for tree in (moved, variables)]
    assert float(np.abs(encoders[0]["positions"] - encoders[1]["positions"]).max()) > 0
    jax.tree.map(np.testing.assert_array_equal, encoders[0]["layer_norm"], encoders[1]["layer_norm"])
    jax.tree.map(np.testing.assert_array_equal, moved["params"][INITIAL], variables["params"]["encoder"])
    rows = np.asarray(jax.jit(lambda v, w: classifier.tap(v, classifier.features(w), "tokens"))(moved, waves))
    assert rows.shape == (12, 18, 16)
    frames = jax.jit(lambda v, w: classifier.apply(v, w, mode=EVAL)[0].frames)(variables, waves)
    np.testing.assert_allclose(rows[:, 17], frames.mean(1), atol=1e-6)
    kernel = np.asarray(state.heads.kernel)
    for number, chosen in enumerate(SESSIONS):
        state, _ = learner.learn(state, shots(rows[chosen], LABELS[chosen], 6), jax.random.fold_in(KEY, number))
        if not number:
            np.testing.assert_array_equal(state.heads.kernel, kernel)  # that of `prepare` stays
    made, changed = as_classifier(classifier, moved, learner, state, head, {"c": 3, "a": 0})
    outputs, _ = jax.jit(lambda v, w: made.apply(v, w, mode=EVAL))(changed, waves)
    wanted = np.asarray(learner.predict(state, rows)[head])[:, [3, 0]]
    np.testing.assert_allclose(outputs.logits, wanted, atol=2e-5)
    linear = made.head(changed)
    np.testing.assert_allclose(outputs.embedding @ linear.kernel + linear.bias[None], wanted, atol=2e-5)
    again = unlearnt(made.config, changed)
    np.testing.assert_allclose(again[0].tap(again[1], made.features(jnp.asarray(waves)), "tokens"), rows, atol=1e-5)


def test_what_it_refuses():
    with pytest.raises(BadInput, match="base_epochs is 1 without a network to train, expected 0"):
        learners.make("ede", None, {"profile": "reference"})
    with pytest.raises(BadInput, match="option head is 'nme', expected linear or prototype"):
        learners.make("ede", None, {"head": "nme"})
    with pytest.raises(BadInput, match=r"what is read has shape \(24,\), expected \(tokens, width\)"):
        learners.make("ede", None).init({}, info_for(24), KEY)
