"""Reading what learners read: in batches of one shape, one compilation, refused in one sentence."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
import pytest

from dhauds_jax.errors import BadInput
from dhauds_jax.model import taps
from dhauds_jax.types import Classifier

LENGTH = 6
WAVES = np.random.default_rng(0).normal(size=(7, LENGTH)).astype(np.float32)
TRACED = []


def a_classifier(tap=True):
    """Features are squares; tokens two rows of three times the weights, their mean the embedding."""

    def tapped(variables, features, what):
        TRACED.append(features.shape)
        if what == "layers":
            raise BadInput("the net has no layers, expected one with blocks")
        tokens = features.reshape(len(features), 2, 3) * variables["params"][None, None]
        return tokens if what == "tokens" else tokens.mean(1)

    return Classifier(None, None, lambda wave: wave**2, None, None, CONFIG, tapped if tap else None)


class Config(NamedTuple):
    net: str = "toy"
    length: int = LENGTH


CONFIG = Config()
VARIABLES = {"params": jnp.float32([1, 2, 3])}


@pytest.mark.parametrize("batch_size", [2, 7, 32])
def test_tokens_and_embeddings_come_in_the_order_of_the_clips(batch_size):
    net = a_classifier()
    tokens = taps.read(net, VARIABLES, WAVES, "tokens", batch_size=batch_size)
    assert tokens.dtype == np.float32
    np.testing.assert_allclose(tokens, (WAVES**2).reshape(7, 2, 3) * np.float32([1, 2, 3]), rtol=1e-6)
    embedding = taps.read(net, VARIABLES, WAVES, "embedding", batch_size=batch_size)
    np.testing.assert_allclose(embedding, tokens.mean(1), rtol=1e-6)
    assert taps.shape_of(net, VARIABLES, "tokens") == (2, 3)


def test_one_compilation_whatever_the_last_batch():
    net = a_classifier()
    taps.shape_of(net, VARIABLES, "tokens")
    TRACED.clear()
    taps.read(net, VARIABLES, WAVES, "tokens", batch_size=4)
    taps.read(net, VARIABLES, WAVES[:5], "tokens", batch_size=4)
    assert TRACED.count((4, LENGTH)) == 1


def test_the_wave_is_the_laid_out_clip_and_needs_no_tap():
    found = taps.read(a_classifier(tap=False), {}, WAVES, "wave", batch_size=4)
    assert np.array_equal(found, WAVES)


def test_what_cannot_be_read_is_one_sentence():
    with pytest.raises(BadInput, match=r"made without a tap.*expected one of nets\.zoo\.build"):
        taps.read(a_classifier(tap=False), VARIABLES, WAVES, "tokens")
    with pytest.raises(BadInput, match="reads 'frames' of the network, expected one of embedding, layers"):
        taps.check(a_classifier(), "frames")
    with pytest.raises(BadInput, match="has no layers"):
        taps.shape_of(a_classifier(), VARIABLES, "layers")


def test_numbers_that_are_not_finite_stop_it():
    waves = WAVES.copy()
    waves[5, 0] = np.inf
    with pytest.raises(FloatingPointError, match="embedding of clip 5"):
        taps.read(a_classifier(), VARIABLES, waves, "embedding", batch_size=4)


def test_it_fills_what_it_is_given():
    out = np.zeros((7, 3), np.float32)
    assert taps.read(a_classifier(), VARIABLES, WAVES, "embedding", out=out) is out
    assert np.abs(out).sum() > 0
    with pytest.raises(ValueError, match="expected"):
        taps.read(a_classifier(), VARIABLES, WAVES, "embedding", out=np.zeros((7, 2), np.float32))
