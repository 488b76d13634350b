"""Prototypes over the embedding of every kind of head: the same logits with the head's own columns, scaled cosines."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dhauds_jax.nets import checkpoint, zoo
from dhauds_jax.nets.config import ClassifierConfig
from dhauds_jax.nets.heads import build_head
from dhauds_jax.nets.normalisers import EVAL
from dhauds_jax.nets.prototypes import with_prototypes
from dhauds_jax.tta import methods
from dhauds_jax.types import Batch, RunInfo

CLASSES = ("a", "b", "c")
HEADS = [
    {"kind": "attention_pool", "heads": 4, "dropout": 0.1, "mask": "none"},
    {"kind": "audio_classifier", "hidden": 10, "features": 6},
    {"kind": "bottleneck", "features": 6},
    {"kind": "fce", "pair": "ends"},
    {"kind": "hub_classifier", "stages": [0, 1]},
    {"kind": "linear", "softmax_output": False},
    {"kind": "projected_mean", "features": 6},
    {"kind": "projected_tokens", "hidden": 8, "features": 6},
    {"kind": "token_pool", "pool": "average", "prefix": 1, "epsilon": 1e-5},
]


def net(head):
    config = zoo.preset("amaut_tiny", CLASSES).replace(head=head)
    classifier = zoo.build(config)
    wave = jnp.asarray(0.1 * np.random.default_rng(0).standard_normal((5, config.length)), jnp.float32)
    return classifier, classifier.init(jax.random.key(0), wave), wave


QUICK = ("bottleneck", "projected_tokens")


@pytest.mark.parametrize(
    "head",
    [pytest.param(head, marks=() if head["kind"] in QUICK else pytest.mark.slow, id=head["kind"]) for head in HEADS],
)
def test_a_heads_own_columns_as_prototypes_give_its_logits(head):
    classifier, variables, wave = net(head)
    before, _ = classifier.apply(variables, wave, mode=EVAL)
    kernel, bias = classifier.head(variables)
    config, changed = with_prototypes(classifier.config, variables, kernel, bias, CLASSES, unit=False)
    after, _ = zoo.build(config).apply(changed, wave, mode=EVAL)
    np.testing.assert_array_equal(after.embedding, before.embedding)
    np.testing.assert_allclose(after.logits, before.logits, atol=2e-6 * np.abs(before.logits).max())
    shapes = jax.tree.map(jnp.shape, zoo.shapes(zoo.build(config)))
    assert shapes == jax.tree.map(jnp.shape, {"batch_stats": {}, **changed})


def test_unit_embeddings_give_scaled_cosines_and_others_take_their_place():
    classifier, variables, wave = net(HEADS[1])
    before, _ = classifier.apply(variables, wave, mode=EVAL)
    rng = np.random.default_rng(1)
    p = rng.standard_normal((4, 6))
    p /= np.linalg.norm(p, axis=1, keepdims=True)
    bias = np.array([0.0, -1.0, 2.0, 0.5])
    config, changed = with_prototypes(classifier.config, variables, p.T, bias, "wxyz", scale=20.0)
    made = zoo.build(config)
    after, _ = made.apply(changed, wave, mode=EVAL)
    e = np.asarray(before.embedding, np.float64)
    e /= np.linalg.norm(e, axis=1, keepdims=True)
    np.testing.assert_allclose(after.embedding, e, atol=1e-6)
    np.testing.assert_allclose(after.logits, 20 * e @ p.T + bias, atol=2e-5)
    linear = made.head(changed)
    np.testing.assert_allclose(after.embedding @ linear.kernel + linear.bias[None], after.logits, atol=1e-5)
    again, twice = with_prototypes(config, changed, p[:2].T, bias[:2], "wx", scale=1.0, unit=False)
    assert again.head["inner"] == classifier.config.head and again.classes == ("w", "x")
    raw, _ = zoo.build(again).apply(twice, wave, mode=EVAL)
    np.testing.assert_allclose(raw.logits, np.asarray(before.embedding) @ p[:2].T + bias[:2], atol=1e-5)


@pytest.mark.slow
def test_it_travels_in_a_checkpoint_and_methods_take_it(tmp_path):
    classifier, variables, wave = net(HEADS[1])
    config, changed = with_prototypes(classifier.config, variables, np.eye(6, 3), np.zeros(3), CLASSES, scale=5.0)
    assert ClassifierConfig.from_json(config.to_json()) == config and hash(config) != hash(classifier.config)
    checkpoint.save(tmp_path / "net", changed, config)
    loaded, again, _ = checkpoint.load(tmp_path / "net")
    assert again == config
    made = zoo.build(again)
    batch = Batch(wave, jnp.ones(5), jnp.arange(5, dtype=jnp.int32))
    logits = {}
    for name in ("source", "tent", "t3a", "lame", "shot"):
        method = methods.make(name, made, methods.resolve_options(name, "corrected", {}))
        state = method.init(loaded, RunInfo(1, 5, 3, None, 5))
        if method.begin_epoch is not None:
            state = method.begin_epoch(state, (method.observe or method.predict)(state, batch), jax.random.key(0))
        state, prediction = jax.jit(method.step)(state, batch, jax.random.key(1))
        logits[name] = np.asarray(prediction.logits)
        assert logits[name].shape == (5, 3) and np.isfinite(logits[name]).all()
    direct, _ = made.apply(loaded, wave, mode=EVAL)
    # Of two programs, one of them compiled as a whole: 1.3e-6 apart on a newer processor.
    np.testing.assert_allclose(logits["source"], direct.logits, rtol=1e-5, atol=1e-6)
    assert np.abs(logits["tent"] - logits["source"]).max() > 1e-3  # of the batch's statistics


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"classes": ("a", "b")}, r"a kernel of shape \(6, 3\), a bias of \(3,\) and 2 names, expected"),
        ({"bias": np.array([0, np.nan, 0])}, "prototypes: some are not finite"),
        ({"scale": 0.0}, "scale is 0.0, expected a positive number"),
    ],
)
def test_mistakes_are_named(changes, message):
    classifier, variables, _ = net(HEADS[1])
    given = {"kernel": np.eye(6, 3), "bias": np.zeros(3), "classes": CLASSES, **changes}
    with pytest.raises(ValueError, match=message):
        zoo.build(with_prototypes(classifier.config, variables, **given)[0])


def test_a_head_that_is_learnt_otherwise_gets_no_prototypes():
    """Its embedding is not what a head inside it gives, and random features have no layer that could be left out."""
    inner = {"kind": "random_projection", "inner": HEADS[1], "features": 8, "unit": False, "scale": 1.0}
    config = zoo.preset("amaut_tiny", CLASSES).replace(head=inner)
    with pytest.raises(ValueError, match=r"that of a learnt head \(random_projection\), expected that of a network"):
        with_prototypes(config, {"params": {"head": {}}}, np.eye(8, 3), np.zeros(3), CLASSES)


def test_records_of_the_head_are_checked():
    for record, message in (
        (
            {"inner": {"kind": "prototypes"}, "unit": True, "scale": 1.0},
            "expected the record of a head of another kind",
        ),
        ({"inner": 3, "unit": True, "scale": 1.0}, "inner is 3"),
        ({"inner": HEADS[1], "unit": 1, "scale": 1.0}, "unit is 1, expected true or false"),
    ):
        with pytest.raises(ValueError, match=message):
            build_head({"kind": "prototypes", **record}, 3)
