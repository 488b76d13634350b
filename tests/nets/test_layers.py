"""The shared layers: PyTorch's rules worked by hand, padded rows, batches spread over an axis."""

import functools

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest

from dhauds_jax.nets.convolution import conv1d, max_pool1d
from dhauds_jax.nets.layers import (
    Attention,
    BatchNorm,
    Bottleneck,
    Dense,
    Dropout,
    WeightNormDense,
    gelu,
    standardise,
    torch_uniform,
)
from dhauds_jax.nets.normalisers import EVAL, TRAIN, batch_frozen, blend
from dhauds_jax.types import Mode, Running

RNG = np.random.default_rng(0)


def normal(*shape: int) -> jax.Array:
    return jnp.asarray(RNG.standard_normal(shape), jnp.float32)


def run_batch_norm(x, mode, weights=None, axis_name=None, mean=0.0, var=1.0):
    full = [np.full(x.shape[-1], value, np.float32) for value in (2.0, 0.5, mean, var)]
    variables = {
        "params": dict(zip(("scale", "bias"), map(jnp.asarray, full[:2]))),
        "batch_stats": dict(zip(("mean", "var"), map(jnp.asarray, full[2:]))),
    }
    return NORM(variables, x, weights, mode, axis_name)


@functools.partial(jax.jit, static_argnums=(3, 4))
def NORM(variables, x, weights, mode, axis_name):
    y, updated = BatchNorm(1e-6).apply(
        variables, x, mode=mode, weights=weights, axis_name=axis_name, mutable=["batch_stats"]
    )
    return y, updated["batch_stats"]


def test_batch_norm_follows_pytorchs_rules_by_hand():
    # One channel with values 1, 2, 3, 6: mean 3, biased variance 3.5, unbiased 14/3.
    x = np.float32([[[1], [2]], [[3], [6]]])
    y, stats = run_batch_norm(x, TRAIN, mean=1.0, var=2.0)
    np.testing.assert_allclose(np.asarray(y)[..., 0], 2 * (x[..., 0] - 3) / np.sqrt(3.5 + 1e-6) + 0.5, atol=1e-6)
    np.testing.assert_allclose(stats["mean"], 0.9 * 1 + 0.1 * 3, atol=1e-6)
    np.testing.assert_allclose(stats["var"], 0.9 * 2 + 0.1 * 14 / 3, atol=1e-6)

    y, stats = run_batch_norm(x, EVAL, mean=1.0, var=2.0)
    np.testing.assert_allclose(np.asarray(y)[..., 0], 2 * (x[..., 0] - 1) / np.sqrt(2 + 1e-6) + 0.5, atol=1e-6)
    assert stats["mean"] == 1.0 and stats["var"] == 2.0

    _, stats = run_batch_norm(x, Mode(dropout=True, norm=batch_frozen), mean=1.0, var=2.0)
    assert stats["mean"] == 1.0 and stats["var"] == 2.0


@pytest.mark.parametrize("moments, of_batch", [("unbiased", 14 / 3), ("biased", 3.5)])
def test_blend_mixes_both_statistics(moments, of_batch):
    x = np.float32([[[1], [2]], [[3], [6]]])
    y, stats = run_batch_norm(x, Mode(False, blend(0.25, moments)), mean=1.0, var=2.0)
    mean, var = 0.25 * 3 + 0.75 * 1, 0.25 * of_batch + 0.75 * 2
    np.testing.assert_allclose(np.asarray(y)[..., 0], 2 * (x[..., 0] - mean) / np.sqrt(var + 1e-6) + 0.5, atol=1e-6)
    assert stats["mean"] == 1.0 and stats["var"] == 2.0
    for alpha, norm in ((0.0, EVAL.norm), (1.0, batch_frozen)):
        mixed, _ = run_batch_norm(x, Mode(False, blend(alpha, "biased")), mean=1.0, var=2.0)
        plain, _ = run_batch_norm(x, Mode(False, norm), mean=1.0, var=2.0)
        np.testing.assert_allclose(mixed, plain, atol=1e-6)
    with pytest.raises(ValueError, match=r"alpha is 1\.5"):
        blend(1.5)
    with pytest.raises(ValueError, match="unknown moments of a blend 'mine': expected unbiased or biased"):
        blend(0.5, "mine")


def test_only_biased_moments_of_a_blend_have_gradients():
    """With constant statistics each value moves its own output alone."""
    x, running = jnp.float32([[1.0], [2.0], [6.0]]), Running(jnp.zeros(1), jnp.ones(1))

    def slopes(moments):
        return np.asarray(jax.jit(jax.jacobian(lambda x: blend(0.5, moments)(x, running, 0.0)[0][:, 0]))(x)[..., 0])

    np.testing.assert_allclose(slopes("unbiased"), np.eye(3) / np.sqrt(0.5 * 7 + 0.5), rtol=1e-6)
    assert np.abs(slopes("biased")[~np.eye(3, dtype=bool)]).min() > 0.01


def test_padded_rows_touch_no_statistic():
    x = normal(5, 7, 3)
    padded = np.concatenate([x, 100 + np.asarray(normal(3, 7, 3))])
    weights = np.float32([1.0] * 5 + [0.0] * 3)
    y, stats = run_batch_norm(x, TRAIN)
    y_padded, stats_padded = run_batch_norm(padded, TRAIN, weights)
    np.testing.assert_allclose(np.asarray(y_padded)[:5], y, atol=1e-5)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), stats_padded, stats)


@pytest.mark.slow
def test_batch_norm_over_an_axis_equals_one_batch_with_gradients():
    x, weights = normal(8, 7, 3), jnp.array([1.0] * 6 + [0.0] * 2)
    pull = normal(8, 7, 3) * weights[:, None, None]
    y, stats = run_batch_norm(x, TRAIN, weights)
    gradient = jax.grad(lambda x: (run_batch_norm(x, TRAIN, weights)[0] * pull).sum())(x)

    def split(a):
        return a.reshape(4, 2, *a.shape[1:])

    def one(x, w, pull):
        y, stats = run_batch_norm(x, TRAIN, w, "batch")
        return (y * pull).sum(), (y, stats)

    grouped = jax.vmap(jax.value_and_grad(one, has_aux=True), axis_name="batch")
    (_, (y_split, stats_split)), g_split = grouped(split(x), split(weights), split(pull))
    np.testing.assert_allclose(y_split.reshape(y.shape), y, atol=1e-5)
    np.testing.assert_allclose(g_split.reshape(gradient.shape), gradient, atol=2e-5)
    for name in ("mean", "var"):
        for copy in stats_split[name]:
            np.testing.assert_allclose(copy, stats[name], atol=1e-6)


def test_dropout_mask_is_that_of_one_device_under_an_axis():
    x = np.ones((8, 5, 6), np.float32)
    rngs = {"dropout": jax.random.key(3)}

    def drop(x, axis_name=None):
        return Dropout(0.4).apply({}, x, active=True, axis_name=axis_name, rngs=rngs)

    whole = np.asarray(jax.jit(drop)(x))
    spread = jax.jit(jax.vmap(lambda x: drop(x, "batch"), axis_name="batch"))(x.reshape(4, 2, 5, 6))
    np.testing.assert_array_equal(np.asarray(spread).reshape(x.shape), whole)
    assert set(np.unique(whole)) == {0.0, np.float32(1 / 0.6)}
    assert len({row.tobytes() for row in whole}) == 8
    assert abs(float((whole > 0).mean()) - 0.6) < 0.1
    np.testing.assert_array_equal(Dropout(0.4).apply({}, jnp.asarray(x), active=False), x)


def test_weight_norm_keeps_the_uniform_start_and_its_lengths():
    x = normal(3, 64)
    apply = jax.jit(WeightNormDense(5).apply)
    params = jax.tree.map(np.asarray, jax.jit(WeightNormDense(5).init)(jax.random.key(0), x)["params"])
    assert float(np.abs(params["v"]).max()) <= 1 / 8
    np.testing.assert_allclose(params["g"], np.linalg.norm(params["v"], axis=0), rtol=1e-6)
    product = np.asarray(x) @ params["v"]
    np.testing.assert_allclose(apply({"params": params}, x), product, atol=1e-6)
    np.testing.assert_allclose(apply({"params": {**params, "g": 2 * params["g"]}}, x), 2 * product, atol=1e-6)


def test_dense_starts_within_pytorchs_bound():
    params = jax.jit(Dense(400).init)(jax.random.key(0), normal(2, 25))["params"]
    for leaf in params.values():
        assert 0.19 < float(np.abs(leaf).max()) <= 0.2
    start = jax.jit(torch_uniform(4), static_argnums=1)(jax.random.key(1), (1000,))
    assert float(np.min(start)) < -0.49


def test_standardised_kernels_have_mean_0_and_variance_1():
    kernel = np.asarray(jax.jit(standardise)(3 + np.asarray(normal(7, 6, 5))))
    np.testing.assert_allclose(kernel.mean((0, 1)), 0, atol=1e-6)
    np.testing.assert_allclose(kernel.var((0, 1)), 1, atol=1e-4)


@pytest.mark.parametrize(("taps", "stride", "padding"), [(1, 1, 0), (1, 2, 0), (7, 1, 3), (7, 2, 3), (14, 2, 6)])
def test_convolution_pads_both_ends_alike(taps, stride, padding):
    x, kernel = normal(2, 21, 4), normal(taps, 4, 3)
    padded = np.pad(x, ((0, 0), (padding, padding), (0, 0)))
    frames = (21 + 2 * padding - taps) // stride + 1
    expected = np.stack(
        [np.einsum("bkc,kcf->bf", padded[:, i * stride : i * stride + taps], kernel) for i in range(frames)], 1
    )
    np.testing.assert_allclose(jax.jit(conv1d, static_argnums=(2, 3))(x, kernel, stride, padding), expected, atol=1e-5)


@pytest.mark.parametrize("time", [20, 21])
def test_max_pool_and_its_gradient(time):
    x = np.asarray(normal(2, time, 3)) - 5
    frames = (time + 4 - 6) // 2 + 1
    windows = [(max(0, 2 * i - 2), min(time, 2 * i + 4)) for i in range(frames)]
    expected = np.stack([np.asarray(x)[:, a:b].max(1) for a, b in windows], 1)
    np.testing.assert_array_equal(max_pool1d(jnp.asarray(x), 6, 2, 2), expected)
    pull = np.asarray(normal(2, frames, 3))
    gradient = np.zeros_like(x)
    for i, (a, b) in enumerate(windows):
        best = np.asarray(x)[:, a:b].argmax(1) + a
        for row, channel in np.ndindex(2, 3):
            gradient[row, best[row, channel], channel] += pull[row, i, channel]
    found = jax.jit(jax.grad(lambda x: (max_pool1d(x, 6, 2, 2) * pull).sum()))(x)
    np.testing.assert_allclose(found, gradient, atol=1e-6)


def test_gelu_is_exact():
    x = np.linspace(-6, 6, 101, dtype=np.float32)
    np.testing.assert_allclose(jax.jit(gelu)(x), jax.nn.gelu(x, approximate=False), atol=1e-6)


def test_attention_by_hand_and_masked():
    x = np.asarray(normal(2, 5, 8))
    module = Attention(2)
    apply = jax.jit(module.apply)
    params = jax.tree.map(np.asarray, jax.jit(module.init)(jax.random.key(0), x)["params"])
    q, k, v = ((x @ params[n]["kernel"] + params[n]["bias"]).reshape(2, 5, 2, 4) for n in "qkv")
    scores = np.einsum("bqhd,bkhd->bhqk", q, k) / 2
    weights = np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)
    mixed = np.einsum("bhqk,bkhd->bqhd", weights, v).reshape(2, 5, 8)
    expected = mixed @ params["o"]["kernel"] + params["o"]["bias"]
    np.testing.assert_allclose(apply({"params": params}, x), expected, atol=1e-5)
    short = apply({"params": params}, x[:, :3])
    masked = apply({"params": params}, x, mask=np.arange(5) < 3)
    np.testing.assert_allclose(np.asarray(masked)[:, :3], short, atol=1e-5)
    with pytest.raises(ValueError, match="no multiple of 3"):
        Attention(3).init(jax.random.key(0), jnp.asarray(x))


def test_bottleneck_has_a_shortcut_only_where_the_shape_changes():
    x = normal(2, 9, 8)
    start = functools.partial(jax.eval_shape, rngs=jax.random.key(0), x=x)
    assert "shortcut" not in start(functools.partial(Bottleneck(8, 4).init, mode=EVAL))["params"]
    variables = start(functools.partial(Bottleneck(8, 4, 2).init, mode=EVAL))
    assert variables["params"]["shortcut"]["kernel"].shape == (1, 8, 8)
    made = jax.eval_shape(functools.partial(Bottleneck(8, 4, 2).apply, mode=EVAL), variables, x)
    assert made.shape == (2, 5, 8)


def test_wrong_shapes_are_refused_at_trace_time():
    with pytest.raises(jaxtyping.TypeCheckError):
        conv1d(normal(2, 9), normal(3, 9, 4), 1, 1)
