"""T3A against a list-based prototype classifier, its memory's bounds, and clips that come again."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dhauds_jax.tta import methods, protocols
from dhauds_jax.tta.methods.t3a import first_supports, prototypes
from dhauds_jax.types import Batch, Linear, RunInfo
from tests.tta import tiny


def unit(x):
    return x / max(np.linalg.norm(x), 1e-12)


def row_entropy(logits):
    p = np.exp(logits - logits.max())
    p /= p.sum()
    return -(p * np.log(p)).sum()


class Lists:
    """Supports as growing lists, sorted and cut after every batch."""

    def __init__(self, kernel, bias, size):
        self.kernel, self.bias, self.size = np.float64(kernel), np.float64(bias), size
        self.lists = [[] for _ in bias]
        self.add(self.kernel.T)

    def add(self, embeddings):
        for z in np.float64(embeddings):
            logits = z @ self.kernel + self.bias
            self.lists[int(logits.argmax())].append((row_entropy(logits), z))
        self.lists = [sorted(one, key=lambda pair: pair[0])[: self.size] for one in self.lists]

    def classify(self, embeddings):
        zero = np.zeros(self.kernel.shape[0])
        centres = [unit(sum((unit(z) for _, z in one), zero)) for one in self.lists]
        return np.float64(embeddings) @ np.stack(centres).T


def built(net="layer_norm", **options):
    classifier = tiny.NETS[net]()
    variables = tiny.variables_of(classifier, tiny.LENGTH)
    method = methods.make("t3a", classifier, options)
    return classifier, variables, method, method.init(variables, RunInfo(3, tiny.CLIPS, tiny.CLASSES))


def embeddings_of(classifier, variables, waves):
    from dhauds_jax.nets.normalisers import EVAL

    return np.asarray(classifier.apply(variables, jnp.asarray(waves), mode=EVAL)[0].embedding)


@pytest.mark.slow
@pytest.mark.parametrize("size", [1, 3, 50])
def test_a_stream_equals_the_list_based_classifier(size):
    classifier, variables, method, state = built(supports=size)
    head = classifier.head(variables)
    lists = Lists(head.kernel, head.bias, size)
    waves, step = tiny.waves(), jax.jit(method.step)
    for rows, weights in protocols.padded_batches(np.arange(tiny.CLIPS), 8):
        batch = Batch(jnp.asarray(waves[rows]), jnp.asarray(weights), jnp.asarray(rows, jnp.int32))
        state, prediction = step(state, batch, jax.random.key(0))
        real = int(weights.sum())
        z = embeddings_of(classifier, variables, waves[rows[:real]])
        lists.add(z)
        np.testing.assert_allclose(prediction.logits[:real], lists.classify(z), rtol=1e-4, atol=1e-5)
    assert [int(np.isfinite(e).sum()) for e in state.memory.entropy] == [len(one) for one in lists.lists]


def test_before_any_clip_the_prototypes_are_the_columns_of_the_head():
    """By hand: columns (2, 0), (0, 3), (0, -1); each is its own class's, so the prototypes are their directions."""
    head = Linear(jnp.asarray([[2.0, 0.0, 0.0], [0.0, 3.0, -1.0]]), jnp.zeros(3))
    supports = first_supports(head, 4)
    np.testing.assert_allclose(prototypes(supports), [[1, 0], [0, 1], [0, -1]], atol=1e-6)
    assert list(np.isfinite(supports.entropy).sum(1)) == [1, 1, 1]
    # logits of the first column are (4, 0, 0)
    p = np.exp([4.0, 0, 0]) / np.exp([4.0, 0, 0]).sum()
    assert float(supports.entropy[0, 0]) == pytest.approx(-(p * np.log(p)).sum(), rel=1e-5)
    assert int(supports.clip.max()) == -1


def test_a_column_that_the_head_gives_to_another_class_supports_that_class():
    head = Linear(jnp.asarray([[2.0, 1.0], [0.0, 0.1]]), jnp.zeros(2))
    supports = first_supports(head, 2)
    assert list(np.isfinite(supports.entropy).sum(1)) == [2, 0]
    assert np.array_equal(prototypes(supports)[1], [0.0, 0.0])


@pytest.mark.slow
def test_clips_that_come_again_take_their_own_places():
    """A second epoch over the same clips changes nothing: the network, the embeddings, the entropies are the same."""
    *_, method, state = built(supports=4)
    run = protocols.compiled(method)
    epochs = protocols.offline(run, state, tiny.waves(), epochs=2, batch_size=8, key=jax.random.key(0))
    memories = [jax.tree.map(np.asarray, epoch.state.memory) for epoch in epochs]
    for first, second in zip(jax.tree.leaves(memories[1]), jax.tree.leaves(memories[2])):
        np.testing.assert_allclose(first, second, rtol=1e-5, atol=1e-6)
    for clips in memories[2].clip:
        seen = [c for c in clips if c >= 0]
        assert len(seen) == len(set(seen))


@pytest.mark.slow
def test_predict_uses_the_supports_and_adds_none():
    classifier, variables, method, state = built(supports=4)
    batch = Batch(jnp.asarray(tiny.waves()[:8]), jnp.ones(8), jnp.arange(8, dtype=jnp.int32))
    after, prediction = method.step(state, batch, jax.random.key(0))
    np.testing.assert_allclose(method.predict(after, batch), prediction.logits, rtol=1e-6)
    before = embeddings_of(classifier, variables, tiny.waves()[:8]) @ np.asarray(prototypes(state.memory)).T
    np.testing.assert_allclose(method.predict(state, batch), before, rtol=1e-5, atol=1e-6)
    assert np.abs(before - prediction.logits).max() > 1e-3


def test_embeddings_follow_the_statistics_asked_for():
    """With the batch's own statistics a constant added to every clip changes nothing; with the source's it does."""
    gaps = []
    for statistics in ("running", "batch"):
        _, _, method, state = built("batch_norm", statistics=statistics)
        waves = [tiny.waves()[:8], tiny.waves()[:8] + 0.3]
        one, two = (method.predict(state, Batch(jnp.asarray(w), jnp.ones(8), jnp.arange(8))) for w in waves)
        gaps.append(float(jnp.abs(one - two).max()))
    assert gaps[0] > 1e-2
    assert gaps[1] < 1e-4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"supports": 0}, "t3a: supports is 0, expected at least 1 place a class"),
        ({"statistics": "mine"}, "unknown statistics of method t3a 'mine': expected running or batch"),
    ],
)
def test_bad_options_get_one_sentence(options, message):
    with pytest.raises(ValueError, match=message):
        methods.make("t3a", tiny.NETS["layer_norm"](), options)
