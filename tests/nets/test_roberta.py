"""RoBERTa: positions and padding by hand, too many tokens, gradients, ways to compute it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dhauds_jax.errors import BadInput
from dhauds_jax.nets.audio_text_config import text_geometry
from dhauds_jax.nets.roberta import Roberta
from dhauds_jax.nets.swin import Compute
from tests.nets.clap_goldens import drawn
from tests.paths import largest_error

SIZES = text_geometry(width=16, depth=2, heads=2, mlp=32, vocabulary=40, positions=14)
IDS = jnp.array([[0, 7, 9, 2, 1, 1], [0, 7, 9, 31, 8, 2]])
MASK = IDS != 1


@pytest.fixture(scope="module")
def made():
    net = Roberta(**SIZES)
    return net, drawn(jax.eval_shape(net.init, jax.random.key(0), IDS, MASK))


def test_positions_start_at_two_and_padding_has_number_one(made):
    net, variables = made
    params = variables["params"]
    found = net.apply(variables, IDS, MASK, method="encode").embedded
    places = np.array([[2, 3, 4, 5, 1, 1], [2, 3, 4, 5, 6, 7]])
    summed = np.asarray(params["words"])[IDS] + np.asarray(params["places"])[places] + np.asarray(params["kinds"])[0]
    spread = np.sqrt(summed.var(-1, keepdims=True) + 1e-5)
    expected = (summed - summed.mean(-1, keepdims=True)) / spread
    expected = expected * np.asarray(params["layer_norm"]["scale"]) + np.asarray(params["layer_norm"]["bias"])
    assert largest_error(found, expected) < 1e-5


def test_padding_changes_nothing(made):
    net, variables = made
    run = jax.jit(net.apply)
    pooled = run(variables, IDS, MASK)
    assert pooled.shape == (2, 16)
    assert largest_error(run(variables, IDS[:1, :4], MASK[:1, :4]), pooled[:1]) < 1e-6
    other = jnp.where(MASK, IDS, 33)  # the mask says what is padding
    assert largest_error(run(variables, other, MASK), pooled) < 1e-6
    assert largest_error(pooled[:1], pooled[1:]) > 1e-3


def test_layers_pooler_and_texts_that_are_too_long(made):
    net, variables = made
    encoded = net.apply(variables, IDS, MASK, True, method="encode")
    assert encoded.layers.shape == (2, 2, 6, 16)
    pooler = variables["params"]["pooler"]
    expected = jnp.tanh(encoded.layers[-1][:, 0] @ pooler["kernel"] + pooler["bias"][None])
    assert largest_error(encoded.pooled, expected) < 1e-6
    with pytest.raises(BadInput, match="texts of 13 tokens, expected at most 12"):
        net.apply(variables, jnp.zeros((1, 13), int), jnp.ones((1, 13), bool))


@pytest.mark.slow
def test_gradients_half_types_and_recomputation(made):
    net, variables = made

    def slope(net):
        return jax.jit(jax.grad(lambda v: net.apply(v, IDS, MASK).sum()))(variables)

    plain, again = slope(net), slope(Roberta(**SIZES, compute=Compute(remat=True)))
    assert all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(plain))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=5e-6), plain, again)
    half = Roberta(**SIZES, compute=Compute(dtype=jnp.bfloat16)).apply(variables, IDS, MASK)
    assert half.dtype == jnp.float32 and largest_error(half, net.apply(variables, IDS, MASK)) < 0.05  # 8 bits of 24
