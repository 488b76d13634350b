"""The gap between two cones, by hand and on made-up ones."""

import jax.numpy as jnp
import numpy as np
import pytest

from dhauds_jax.zeroshot import gap
from tests.zeroshot.tiny import CLASSES, unit


def cones(offset=2.0):
    """(sounds, sentences, labels): the same classes, each modality with an offset of its own."""
    draw = np.random.default_rng(9)
    classes = unit(draw.normal(size=(CLASSES, 16)))
    sound, word = offset * unit(draw.normal(size=(2, 16)))
    labels = np.arange(80) % CLASSES
    audio = unit(classes[labels] + sound + 0.5 * unit(draw.normal(size=(80, 16))))
    return jnp.asarray(audio, jnp.float32), jnp.asarray(unit(classes + word), jnp.float32), labels


def test_distance_and_share_of_the_mean_squared_distance():
    audio, text, _ = cones()
    found = gap.gap(audio, text)
    a, t = np.asarray(audio, np.float64), np.asarray(text, np.float64)
    assert found.distance == pytest.approx(np.linalg.norm(a.mean(0) - t.mean(0)), abs=1e-6)
    pairs = np.square(a[:, None] - t[None]).sum(-1)
    assert found.share == pytest.approx(found.distance**2 / pairs.mean(), abs=1e-6)
    near = gap.gap(*cones(offset=0.0)[:2])
    assert near.distance < 0.2 < 1.0 < found.distance and near.share < 0.1 < 0.7 < found.share


def test_closing_the_gap():
    audio, text, labels = cones()
    same = gap.closed(audio, text, 0.0)
    np.testing.assert_allclose(same[0], audio, atol=1e-6)
    np.testing.assert_allclose(same[1], text, atol=1e-6)
    closed = gap.closed(audio, text, 1.0)
    np.testing.assert_allclose(np.linalg.norm(closed[0], axis=-1), 1.0, atol=1e-6)
    assert gap.gap(*closed).distance < 0.25 * gap.gap(audio, text).distance
    line = gap.along(audio, text, labels)
    assert [share for share, _ in line] == [0.0, 0.25, 0.5, 0.75, 1.0]
    scores = np.asarray(audio) @ np.asarray(text).T
    assert line[0][1] == np.mean(scores.argmax(-1) == labels)
    assert line[-1][1] >= line[0][1]
