"""Winograd's convolutions against the definition's, in values and gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dhauds_jax.nets import winograd, zoo
from dhauds_jax.nets.convolution import conv2d
from dhauds_jax.nets.normalisers import EVAL
from dhauds_jax.nets.vggish import max_pool2x2
from tests.paths import largest_error

RNG = np.random.default_rng(0)
IMAGE = jnp.asarray(RNG.standard_normal((2, 6, 4, 5)), jnp.float32)
KERNEL = jnp.asarray(RNG.standard_normal((3, 3, 5, 7)), jnp.float32)
PAIRS = [(winograd.conv3x3, conv2d), (winograd.pooled_conv3x3, lambda x, k: max_pool2x2(conv2d(x, k)))]


@pytest.mark.parametrize("pooled", [False, True])
def test_values_and_gradients_are_those_of_the_definition(pooled):
    def answers(function):
        def scored(x, k):
            y = function(x, k)
            return (y * jnp.cos(jnp.arange(y.size, dtype=y.dtype)).reshape(y.shape)).sum(), y

        (_, y), gradients = jax.value_and_grad(scored, (0, 1), has_aux=True)(IMAGE, KERNEL)
        return y, *gradients

    ours, direct = (jax.jit(lambda f=function: answers(f))() for function in PAIRS[pooled])
    for a, b in zip(ours, direct, strict=True):
        assert largest_error(a, b) < 1e-5 * np.abs(b).max()


@pytest.mark.slow
def test_the_network_answers_alike_both_ways():
    config = zoo.preset("vggish_small", "abc")
    features = jnp.asarray(RNG.standard_normal((2, 2, 96, 64)), jnp.float32)
    nets = [zoo.build(config, convolution=how) for how in ("winograd", "direct")]
    variables = nets[0].init(jax.random.key(0), jnp.zeros((1, config.length)))
    run = [jax.jit(lambda v, x, net=net: net.apply_features(v, x, mode=EVAL)[0].frames) for net in nets]
    winograds, directs = (each(variables, features) for each in run)
    assert 0 < largest_error(winograds, directs) < 1e-5 * np.abs(directs).max()
    half = zoo.build(config, convolution="winograd", dtype=jnp.bfloat16)
    assert half.apply_features(variables, features, mode=EVAL)[0].logits.shape == (2, 3)


def test_other_ways_are_refused():
    with pytest.raises(ValueError, match="convolution is 'fft', expected 'direct' or 'winograd'"):
        zoo.build(zoo.preset("vggish_small", "abc"), convolution="fft")
