"""Convolutions against XLA's own, with the gradients that it derives, and what becomes of them in a loop."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dhauds_jax.nets import convolution
from dhauds_jax.nets.convolution import conv1d, conv2d, convolve

# sizes, channels, features, taps, strides, zeros before and after
SHAPES = [
    ((9,), 3, 4, (3,), (1,), ((1, 1),)),
    ((100,), 5, 4, (14,), (2,), ((6, 6),)),
    ((23,), 3, 4, (7,), (2,), ((3, 3),)),
    ((24,), 3, 4, (7,), (2,), ((3, 3),)),
    ((31,), 4, 4, (3,), (2,), ((0, 0),)),
    ((32,), 4, 4, (2,), (2,), ((0, 0),)),
    ((33,), 4, 4, (2,), (2,), ((0, 0),)),
    ((47,), 1, 4, (10,), (5,), ((0, 0),)),
    ((47,), 2, 4, (10,), (5,), ((0, 0),)),  # more phases than are taken apart
    ((16,), 2, 3, (1,), (2,), ((0, 0),)),  # a phase without a tap
    ((16,), 2, 3, (2,), (3,), ((1, 0),)),
    ((17,), 2, 3, (4,), (3,), ((2, 5),)),
    ((8, 6), 3, 4, (3, 3), (1, 1), ((1, 1), (1, 1))),
    ((8, 6), 3, 4, (3, 3), (2, 2), ((1, 1), (1, 1))),
    ((9, 7), 3, 4, (3, 3), (2, 2), ((1, 1), (1, 1))),
    ((12, 13), 2, 4, (5, 5), (2, 2), ((2, 2), (2, 2))),
    ((12, 13), 2, 4, (7, 5), (2, 1), ((3, 3), (0, 1))),
    ((32, 31), 1, 4, (16, 16), (16, 16), ((0, 0), (0, 0))),
    ((5, 4, 6), 2, 3, (3, 2, 3), (1, 2, 2), ((1, 1), (0, 0), (1, 1))),
]


def drawn(sizes, channels, features, taps, dtype, batch=3):
    random = np.random.default_rng(0)
    x = jnp.asarray(random.normal(size=(batch, *sizes, channels)), dtype)
    return x, jnp.asarray(random.normal(size=(*taps, channels, features)), dtype)


def pulled_back(function, x, kernel, strides, padding):
    """The output, and the gradients by both arguments of its product with some fixed numbers."""
    y, back = jax.vjp(lambda a, b: function(a, b, strides, padding), x, kernel)
    return y, *back(jnp.cos(jnp.arange(y.size, dtype=y.dtype)).reshape(y.shape))


@pytest.mark.parametrize("shape", SHAPES)
def test_values_and_gradients_are_those_of_the_definition(shape):
    sizes, channels, features, taps, strides, padding = shape
    with jax.enable_x64(True):
        x, kernel = drawn(sizes, channels, features, taps, jnp.float64)
        ours = pulled_back(convolve, x, kernel, strides, padding)
        xla = pulled_back(convolution.by_xla, x, kernel, strides, padding)
        for found, wanted in zip(ours, xla, strict=True):
            assert found.shape == wanted.shape
            np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-13 * float(jnp.abs(wanted).max()))


def test_without_phases_not_a_bit_differs_from_what_xla_derives():
    # So no recorded number of a network with stride 1 has moved.
    for sizes, channels, features, taps, padding in (((24,), 64, 64, (7,), 3), ((16, 12), 16, 16, (3, 3), 1)):
        x, kernel = drawn(sizes, channels, features, taps, jnp.float32, batch=8)
        rest = ((1,) * len(sizes), ((padding, padding),) * len(sizes))
        programs = [
            jax.jit(lambda a, b, f=f, rest=rest: pulled_back(f, a, b, *rest)) for f in (convolve, convolution.by_xla)
        ]
        for found, wanted in zip(*(program(x, kernel) for program in programs), strict=True):
            np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize(("conv", "sizes", "taps"), [(conv1d, (40,), (3,)), (conv2d, (12, 10), (3, 3))])
def test_in_a_loop_every_convolution_is_in_the_order_that_is_fast(conv, sizes, taps):
    """Before, those of gradients were left in an order that has no fast path on a processor: 1.5 s instead of 6 ms."""
    x, kernel = drawn(sizes, 8, 8, taps, jnp.float32)
    options = (2, 1) if conv is conv1d else (2,)

    def twice(x, kernel):
        def body(kernel, _):
            gradient = jax.grad(lambda k: jnp.sin(conv(jnp.tanh(conv(x, k, *options)), k, *options)).sum())(kernel)
            return kernel - gradient, gradient.sum()

        return jax.lax.scan(body, kernel, None, length=2)

    compiled = jax.jit(twice).lower(x, kernel).compile()
    orders = re.findall(r" convolution\(.*dim_labels=(\S+?)[,\s]", compiled.as_text())
    letters = "01"[: len(sizes)]
    # Forward twice, by the kernel twice; by the inputs, phases of one tap are products.
    assert len(orders) >= 4
    assert set(orders) == {f"b{letters}f_{letters}io->b{letters}f"}


def test_gradients_of_gradients():
    with jax.enable_x64(True):
        x, kernel = drawn((11,), 2, 3, (3,), jnp.float64)

        def penalty(function):
            def steepness(k):
                return jnp.square(jax.grad(lambda a: jnp.sin(function(a, k, (2,), ((1, 1),))).sum())(x)).sum()

            return jax.grad(steepness)(kernel)

        np.testing.assert_allclose(penalty(convolve), penalty(convolution.by_xla), rtol=1e-10)


def test_elsewhere_than_on_a_processor_gradients_are_left_to_xla(monkeypatch):
    """XLA's GPU compiler recognises the convolutions that it derives, and hands them to cuDNN."""
    x, kernel = drawn((9,), 2, 3, (3,), jnp.float32)

    def text():
        return str(jax.make_jaxpr(lambda k: convolve(x, k, (1,), ((1, 1),)))(kernel))

    assert "custom_vjp" in text()
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert "custom_vjp" not in text()
