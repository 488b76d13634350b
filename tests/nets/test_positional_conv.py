"""The positional convolution alone: the two implementations, their gradients, and the definition."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dhauds_jax.nets import positional_conv as pc


def by_definition(x, kernel, groups):
    """y[t, o] = sum over taps k and the group's inputs i of kernel[k, i, o] x[t + k - taps // 2, i], in float64."""
    taps, inputs, outputs = kernel.shape
    batch, time, _ = x.shape
    per_group = outputs // groups
    y = np.zeros((batch, time, outputs))
    for t in range(time):
        for k in range(taps):
            s = t + k - taps // 2
            if 0 <= s < time:
                for group in range(groups):
                    out = slice(group * per_group, (group + 1) * per_group)
                    y[:, t, out] += x[:, s, group * inputs : (group + 1) * inputs] @ kernel[k, :, out]
    return y


def arrays(time, taps, groups=4, width=12):
    rng = np.random.default_rng(time * 1000 + taps)
    return (
        jnp.asarray(rng.standard_normal((2, time, width)), jnp.float32),
        jnp.asarray(rng.standard_normal((taps, width // groups, width)), jnp.float32),
    )


@pytest.mark.parametrize("name", ["auto", "fft", "direct"])
@pytest.mark.parametrize(("time", "taps"), [(1, 16), (5, 16), (20, 16), (33, 7), (6, 7)])
def test_values_follow_the_definition(name, time, taps):
    x, kernel = arrays(time, taps)
    y = jax.jit(pc._CONVS[name], static_argnums=2)(x, kernel, 4)
    # Sums of up to 48 products of standard normals: float32 rounding stays below 2e-5.
    np.testing.assert_allclose(
        y, by_definition(np.asarray(x, np.float64), np.asarray(kernel, np.float64), 4), atol=2e-5
    )


@pytest.mark.parametrize("name", ["auto", "fft"])
@pytest.mark.parametrize(("time", "taps"), [(5, 16), (40, 16), (33, 7)])
def test_gradients_equal_the_direct_ones(name, time, taps):
    x, kernel = arrays(time, taps)
    cotangent = np.cos(np.arange(x.size, dtype=np.float32)).reshape(x.shape)

    def gradients(conv):
        return jax.jit(jax.grad(lambda x, k: jnp.sum(conv(x, k, 4) * cotangent), (0, 1)))(x, kernel)

    for ours, direct in zip(gradients(pc._CONVS[name]), gradients(pc.direct_conv)):
        np.testing.assert_allclose(ours, direct, atol=2e-6 * float(np.abs(direct).max()))


def test_auto_is_direct_without_and_fft_with_gradients():
    x, kernel = arrays(20, 16)
    plain = str(jax.make_jaxpr(functools.partial(pc.auto_conv, groups=4))(x, kernel))
    assert "conv_general_dilated" in plain and " fft[" not in plain.split("conv_general_dilated")[1]
    compiled = jax.jit(functools.partial(pc.auto_conv, groups=4)).lower(x, kernel).as_text()
    assert "convolution" in compiled and "fft" not in compiled
    gradient = jax.jit(jax.grad(lambda k: pc.auto_conv(x, k, 4).sum())).lower(kernel).as_text()
    assert "convolution" not in gradient and "fft" in gradient


def test_auto_has_second_derivatives_and_maps():
    x, kernel = arrays(6, 4, groups=2, width=4)

    def loss(k):
        return jnp.sum(jnp.square(pc.auto_conv(x, k, 2)))

    gradient = jax.jit(jax.grad(loss))(kernel)
    hessian_product = jax.jit(jax.grad(lambda k: jnp.vdot(jax.grad(loss)(k), kernel)))(kernel)
    # The loss is a quadratic form: the Hessian times the kernel is its gradient there.
    np.testing.assert_allclose(hessian_product, gradient, rtol=1e-4, atol=1e-3)
    several = np.stack([kernel, 2 * np.asarray(kernel)])
    mapped = np.asarray(jax.jit(jax.vmap(lambda k: pc.auto_conv(x, k, 2)))(several))
    np.testing.assert_allclose(mapped[1], 2 * mapped[0], rtol=1e-5, atol=1e-5)


def test_weight_norm_is_over_the_kernel_axis():
    v = jnp.asarray(np.random.default_rng(0).standard_normal((5, 3, 6)), jnp.float32)
    g = jnp.asarray(np.arange(1, 6, dtype=np.float32))
    kernel = np.asarray(jax.jit(pc.weight_norm_taps)(v, g))
    np.testing.assert_allclose(np.sqrt(np.sum(np.square(kernel), (1, 2))), g, rtol=1e-6)
    ratio = kernel / np.asarray(v)
    np.testing.assert_allclose(ratio, np.broadcast_to(ratio[:, :1, :1], ratio.shape), rtol=1e-5)


def test_module_starts_with_the_kernel_v_and_says_what_is_wrong():
    x = jnp.ones((1, 4, 8))
    variables = jax.jit(pc.PositionalConv(6, 2).init)(jax.random.key(0), x)["params"]
    assert {name: p.shape for name, p in variables.items()} == {"v": (6, 4, 8), "g": (6,), "bias": (8,)}
    np.testing.assert_allclose(jax.jit(pc.weight_norm_taps)(variables["v"], variables["g"]), variables["v"], rtol=1e-6)
    with pytest.raises(ValueError, match="width 8 is no multiple of 3 groups"):
        pc.PositionalConv(6, 3).init(jax.random.key(0), x)
    with pytest.raises(ValueError, match="'fourier', expected one of"):
        pc.PositionalConv(6, 2, "fourier").init(jax.random.key(0), x)


def test_half_precision_input_gives_half_precision_output():
    x, kernel = arrays(20, 16)
    expected = jax.jit(pc.fft_conv, static_argnums=2)(x, kernel, 4)
    half = [jnp.asarray(np.asarray(a).astype(jnp.bfloat16)) for a in (x, kernel)]
    for name in pc.IMPLEMENTATIONS:
        y = jax.jit(pc._CONVS[name], static_argnums=2)(*half, 4)
        assert y.dtype == jnp.bfloat16
        # bfloat16 has 8 bits: sums of about 48 products of size one are right to a few hundredths of their spread of 7.
        np.testing.assert_allclose(np.asarray(y, np.float32), expected, atol=0.25)


def test_fft_lengths():
    minima = (1, 2, 5, 97, 113, 131, 263, 562)
    assert [pc.fft_length(n) for n in minima] == [1, 2, 5, 120, 120, 144, 288, 576]
