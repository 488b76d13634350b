"""A learnt state is a classifier: the same logits on waves, in a checkpoint, under adaptation, and read once more."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dhauds_jax.errors import BadInput
from dhauds_jax.incremental.as_classifier import as_classifier
from dhauds_jax.nets import checkpoint, zoo
from dhauds_jax.nets.normalisers import EVAL
from dhauds_jax.nets.prototypes import unlearnt, with_prototypes
from dhauds_jax.tta import methods
from dhauds_jax.types import Batch, RunInfo
from tests.incremental.learning import begun, info_for, taught
from tests.tta import tiny

CLASSES = {"c": 4, "a": 0, "b": 1}
LABELS = np.int32([0, 0, 1, 1, 4, 4])
LEARNERS = {"prototype": {}, "ridge": {"lambda_": "0.1"}, "ranpac": {"M": 30, "lambda_": "0.1"}}


@functools.cache
def net():
    """(classifier, variables, waves) of a tiny AMAuT."""
    classifier = zoo.build(tiny.config_of("amaut_tiny", stages=[0]))
    length = classifier.config.length
    return classifier, tiny.variables_of(classifier, length), tiny.waves(length, 6)


def embedded(classifier, variables, waves):
    read = jax.jit(lambda variables, waves: classifier.tap(variables, classifier.features(waves), "embedding"))
    return np.asarray(read(variables, waves))


def learnt(name, classifier, variables, waves, **options):
    rows = embedded(classifier, variables, waves)
    learner, state = begun(name, info_for(rows.shape[1], classes=6, sessions=1, rows=6), **options)
    return learner, taught(learner, state, rows, LABELS, [np.arange(6)], 6)[0], rows


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name == "ridge" else pytest.mark.slow) for name in LEARNERS]
)
def test_the_classifiers_logits_are_the_learners(name):
    classifier, variables, waves = net()
    learner, state, rows = learnt(name, classifier, variables, waves, **LEARNERS[name])
    made, changed = as_classifier(classifier, variables, learner, state, learner.heads[0], CLASSES)
    assert made.config.classes == ("c", "a", "b")
    outputs, _ = jax.jit(lambda v, w: made.apply(v, w, mode=EVAL))(changed, waves)
    wanted = np.asarray(learner.predict(state, rows)[learner.heads[0]])[:, [4, 0, 1]]
    np.testing.assert_allclose(outputs.logits, wanted, atol=1e-5 * max(1, np.abs(wanted).max()))
    linear = made.head(changed)
    again = np.asarray(outputs.embedding @ linear.kernel + linear.bias[None])
    np.testing.assert_allclose(again, wanted, atol=1e-5 * max(1, np.abs(wanted).max()))


@pytest.mark.slow
def test_it_is_read_as_before_and_learnt_anew():
    classifier, variables, waves = net()
    learner, state, rows = learnt("ranpac", classifier, variables, waves, M=30)
    made, changed = as_classifier(classifier, variables, learner, state, "ridge", CLASSES)
    again, same = unlearnt(made.config, changed)
    np.testing.assert_allclose(embedded(again, same, waves), rows, atol=1e-6)
    learner, state, _ = learnt("ridge", again, same, waves)
    twice, last = as_classifier(again, same, learner, state, "ridge", CLASSES)
    assert twice.config.head["inner"] == classifier.config.head
    logits = twice.apply(last, jnp.asarray(waves), mode=EVAL)[0].logits
    wanted = np.asarray(learner.predict(state, rows)["ridge"])[:, [4, 0, 1]]
    np.testing.assert_allclose(logits, wanted, atol=1e-5 * np.abs(wanted).max())
    with pytest.raises(BadInput, match="random features"):
        as_classifier(made, changed, learner, state, "ridge", CLASSES)


@pytest.mark.parametrize("trained", [False, True])
def test_what_is_read_for_later_learners_is_the_networks_own_embedding_whatever_head_is_on_it(trained):
    """A head of prototypes brings embeddings to length 1 for itself alone."""
    classifier, variables, waves = net()
    rows, config = embedded(classifier, variables, waves), classifier.config
    if trained:
        learner, state, _ = learnt("prototype", classifier, variables, waves)
        made, variables = as_classifier(classifier, variables, learner, state, "prototype", CLASSES)
        config = made.config
        assert config.head["unit"] and np.abs(np.linalg.norm(rows, axis=1) - 1).min() > 0.1
    again, same = unlearnt(config, variables)
    np.testing.assert_allclose(embedded(again, same, waves), rows, atol=1e-6)
    assert again.config.classes == ("nobody",) and again.config.head["inner"] == classifier.config.head


@pytest.mark.slow
def test_unit_embeddings_stay_unit():
    """A zero-shot classifier brings embeddings to length 1, and they are learnt so."""
    classifier, variables, waves = net()
    width = classifier.head(variables).kernel.shape[0]
    config, variables = with_prototypes(
        classifier.config, variables, np.eye(width, 2), np.zeros(2), ("x", "y"), scale=5.0
    )
    classifier = zoo.build(config)
    learner, state, rows = learnt("ridge", classifier, variables, waves)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, rtol=1e-5)
    made, changed = as_classifier(classifier, variables, learner, state, "ridge", CLASSES)
    logits = made.apply(changed, jnp.asarray(waves), mode=EVAL)[0].logits
    wanted = np.asarray(learner.predict(state, rows)["ridge"])[:, [4, 0, 1]]
    np.testing.assert_allclose(logits, wanted, atol=1e-5 * np.abs(wanted).max())


@pytest.mark.slow
def test_it_travels_in_a_checkpoint_and_is_adapted(tmp_path):
    classifier, variables, waves = net()
    learner, state, _ = learnt("ranpac", classifier, variables, waves, M=30)
    made, changed = as_classifier(classifier, variables, learner, state, "ridge", CLASSES)
    checkpoint.save(tmp_path / "net", changed, made.config)
    loaded, config, _ = checkpoint.load(tmp_path / "net")
    assert config == made.config
    made = zoo.build(config)
    before = np.asarray(made.apply(loaded, jnp.asarray(waves), mode=EVAL)[0].logits)
    batch = Batch(jnp.asarray(waves), jnp.ones(6), jnp.arange(6, dtype=jnp.int32))
    for name in ("tent", "t3a"):
        method = methods.make(name, made, methods.resolve_options(name, "corrected", {}))
        state = method.init(loaded, RunInfo(1, 6, 3, None, 6))
        state, prediction = jax.jit(method.step)(state, batch, jax.random.key(1))
        assert prediction.logits.shape == (6, 3) and np.isfinite(prediction.logits).all()
        after = np.asarray(method.predict(state, batch))
        assert np.abs(after - before).max() > 1e-3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"head": "nme"}, "head 'nme' is none of the learner's, expected ridge"),
        ({"classes": {"a": 2}}, r"classes \['a'\] have not been learnt"),
        ({"classes": {"a": 9}}, r"classes \['a'\] have not been learnt"),
        ({"classes": {}}, "expected at least one"),
    ],
)
def test_mistakes_are_named(changes, message):
    classifier, variables, waves = net()
    learner, state, _ = learnt("ridge", classifier, variables, waves)
    given = {"head": "ridge", "classes": CLASSES, **changes}
    with pytest.raises(BadInput, match=message):
        as_classifier(classifier, variables, learner, state, **given)


def test_a_quadratic_learner_is_refused():
    classifier, variables, waves = net()
    learner, state, _ = learnt("ridge", classifier, variables, waves)
    with pytest.raises(BadInput, match="no linear function"):
        as_classifier(classifier, variables, learner._replace(as_head=None), state, "ridge", CLASSES)
