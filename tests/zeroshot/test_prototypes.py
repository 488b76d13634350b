"""Prototypes by hand, ties, folds at once and one by one, and what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dhauds_jax.errors import BadInput
from dhauds_jax.zeroshot import prototypes, unit_vectors
from tests.zeroshot.tiny import CLASSES, CLIPS, tiny, unit


def arrays():
    data = tiny()
    return jnp.asarray(data.vectors), jnp.asarray(data.labels), data.prototypes["text"]


def test_supervised_is_the_mean_of_each_class():
    vectors, labels, _ = arrays()
    means = np.stack([np.asarray(vectors, np.float64)[np.asarray(labels) == c].mean(0) for c in range(CLASSES)])
    found = prototypes.supervised(vectors, labels, jnp.ones(CLIPS), classes=CLASSES, normalised=False)
    np.testing.assert_allclose(found, means, atol=1e-7)
    found = prototypes.supervised(vectors, labels, jnp.ones(CLIPS), classes=CLASSES)
    np.testing.assert_allclose(found, unit(means), atol=1e-7)


def test_a_class_without_clips_is_named_and_never_nan():
    vectors, labels, _ = arrays()
    weights = (labels != 2).astype(jnp.float32)
    found = np.asarray(prototypes.supervised(vectors, labels, weights, classes=CLASSES))
    assert np.isfinite(found).all() and not found[2].any()
    with pytest.raises(BadInput, match="no training clips of siren, expected at least one of each"):
        prototypes.check_supervised(labels, weights, ("rain", "dog", "siren", "bell"))
    prototypes.check_supervised(labels, jnp.ones(CLIPS), ("rain", "dog", "siren", "bell"))


def test_tgap_by_hand_and_of_equal_cosines_the_earlier_clip():
    vectors = jnp.asarray(unit(np.array([[1.0, 0], [0, 1], [1, 1], [1, 0], [0, 1], [1, 1]])), jnp.float32)
    text = jnp.eye(2)
    rows = prototypes.tgap_rows(vectors, text, jnp.ones(6), topn=3)
    np.testing.assert_array_equal(rows, [[0, 3, 2], [1, 4, 2]])  # clip 2 serves both, and comes before its equal, 5
    found = prototypes.tgap(vectors, text, jnp.ones(6), topn=3, normalised=False)
    np.testing.assert_allclose(
        found, [[(2 + 0.5**0.5) / 3, 0.5**0.5 / 3], [0.5**0.5 / 3, (2 + 0.5**0.5) / 3]], atol=1e-7
    )
    rows = prototypes.tgap_rows(vectors, text, jnp.asarray([0.0, 1, 1, 1, 1, 1]), topn=2)
    np.testing.assert_array_equal(rows, [[3, 2], [1, 4]])
    with pytest.raises(BadInput, match="topn=6 of 5 training clips, expected from 1 to 5"):
        prototypes.check_topn(jnp.asarray([[1.0] * 6, [0.0, 1, 1, 1, 1, 1]]), 6)


@pytest.mark.parametrize("kind", ["tgap", pytest.param("supervised", marks=pytest.mark.slow)])
def test_folds_at_once_are_folds_one_by_one(kind):
    vectors, labels, text = arrays()
    names, train = prototypes.fold_weights(tiny().folds)
    np.testing.assert_array_equal(names, [0, 1, 2])
    np.testing.assert_array_equal(train[1], (tiny().folds != 1).astype(np.float32))

    def build(weights):
        if kind == "tgap":
            return prototypes.tgap(vectors, text, weights, topn=4)
        return prototypes.supervised(vectors, labels, weights, classes=CLASSES)

    found = prototypes.by_fold(build, train)
    for fold, weights in zip(found, train, strict=True):
        np.testing.assert_allclose(fold, jax.jit(build)(weights), atol=1e-7)
    for fold, weights in zip(found[1:2], train[1:2], strict=True):
        kept = np.asarray(weights) > 0  # the others are not there at all
        alone = (vectors[kept], jnp.ones(int(kept.sum())))
        if kind == "tgap":
            expected = prototypes.tgap(alone[0], text, alone[1], topn=4)
        else:
            expected = prototypes.supervised(alone[0], labels[kept], alone[1], classes=CLASSES)
        np.testing.assert_allclose(fold, expected, atol=1e-6)


def test_text_is_the_mean_over_templates_or_their_weighted_one():
    draw = np.random.default_rng(1)
    anchors = unit(draw.normal(size=(3, CLASSES, 8)))
    found = prototypes.text(jnp.asarray(anchors, jnp.float32))
    np.testing.assert_allclose(found, unit(anchors.mean(0)), atol=1e-6)
    weighted = prototypes.text(jnp.asarray(anchors, jnp.float32), jnp.asarray([1.0, 3.0, 0.0]))
    np.testing.assert_allclose(weighted, unit(0.25 * anchors[0] + 0.75 * anchors[1]), atol=1e-6)


def test_halves_of_the_templates():
    anchors = jnp.asarray(unit(np.random.default_rng(1).normal(size=(5, CLASSES, 8))), jnp.float32)
    first, second = prototypes.text_halves(anchors)
    np.testing.assert_allclose(first, unit(np.asarray(anchors)[[0, 2, 4]].mean(0)), atol=1e-6)
    np.testing.assert_allclose(second, unit(np.asarray(anchors)[[1, 3]].mean(0)), atol=1e-6)
    with pytest.raises(BadInput, match="one template has no two halves, expected at least two"):
        prototypes.text_halves(anchors[:1])


def test_templates_by_which_clips_are_named_surely_weigh_more():
    vectors, _, text = arrays()
    vague = jnp.broadcast_to(text.mean(0)[None], text.shape)  # all classes alike: the largest entropy
    anchors = jnp.stack([text, vague])
    found = np.asarray(prototypes.template_weights(vectors, anchors, 20.0))
    scores = 20.0 * np.einsum("nd,tkd->tnk", np.asarray(vectors, np.float64), np.asarray(anchors, np.float64))
    p = np.exp(scores - scores.max(-1, keepdims=True))
    p /= p.sum(-1, keepdims=True)
    expected = np.exp((p * np.log(p)).sum(-1).mean(-1))
    np.testing.assert_allclose(found, expected / expected.sum(), atol=1e-6)
    np.testing.assert_allclose(expected[1], 1 / CLASSES, atol=1e-6)
    assert found[0] > 2 * found[1]


def test_a_head_s_columns():
    kernel = jnp.asarray([[3.0, 0.0], [4.0, 2.0]])
    np.testing.assert_allclose(prototypes.head(kernel), [[0.6, 0.8], [0.0, 1.0]], atol=1e-7)
    np.testing.assert_array_equal(prototypes.head(kernel, normalised=False), kernel.T)


@pytest.mark.parametrize(
    ("vectors", "sentence"),
    [
        (np.zeros((0, 4)), "array of shape \\(0, 4\\), expected vectors"),
        (np.ones(4), "array of shape \\(4,\\)"),
        (np.ones((2, 5)), "vectors of 5 numbers, expected 4 as the others have"),
        (np.array([[1.0, 0, 0, 0], [0, 0, 0, 0]]), "row 1 has zeros alone \\(1 such rows\\)"),
        (np.array([[np.nan, 0, 0, 0], [0, 0, 0, 0]]), "row 0 has numbers that are not finite \\(2 such rows\\)"),
    ],
)
def test_vectors_without_a_direction_are_said(vectors, sentence):
    with pytest.raises(BadInput, match=sentence):
        unit_vectors.check("--embeddings=x", vectors, 4)
