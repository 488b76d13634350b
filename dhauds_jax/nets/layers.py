"""Layers that the networks share, in linen and in PyTorch's conventions (initialisers, BatchNorm, padding).

Activations are (batch, time, channels). A norm layer's name holds `batch_norm`, `layer_norm` or `group_norm`, because
the groups of trainable leaves are found by path.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, PRNGKeyArray

from dhauds_jax.errors import BadInput
from dhauds_jax.nets.convolution import conv1d, max_pool1d
from dhauds_jax.types import Mode, Running

xavier_uniform = nn.initializers.variance_scaling(1.0, "fan_avg", "uniform")
xavier_normal = nn.initializers.variance_scaling(1.0, "fan_avg", "normal")


def torch_uniform(fan_in: int) -> nn.initializers.Initializer:
    """PyTorch's default for weights and biases of linear and convolution layers: uniform in +-1/sqrt(fan_in)."""
    bound = 1.0 / math.sqrt(fan_in)

    def init(key: PRNGKeyArray, shape: tuple[int, ...], dtype: DTypeLike = jnp.float32) -> Array:
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    return init


def gelu(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """Exact GELU, `x (1 + erf(x / sqrt 2)) / 2`: `jax.nn.gelu` goes through `erfc`, twice as slow on CPU."""
    return 0.5 * x * (1 + jax.lax.erf(x * math.sqrt(0.5)))


def gelu_tanh(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """GELU by its approximation with tanh (Hendrycks and Gimpel, arXiv 1606.08415), which some files ask for."""
    return jax.nn.gelu(x, approximate=True)


ACTIVATIONS = {"gelu": gelu, "gelu_tanh": gelu_tanh, "relu": jax.nn.relu, "silu": jax.nn.silu}
"""The non-linearities that a config's geometry may name; the published networks have "gelu" throughout."""


def check_activations(sizes: Mapping[str, Any], keys: Sequence[str]) -> None:
    """Raises `BadInput` where a key of a geometry names a non-linearity that is not among `ACTIVATIONS`."""
    for key in keys:
        if sizes[key] not in ACTIVATIONS:
            raise BadInput(f"config geometry: {key} is {sizes[key]!r}, expected one of {', '.join(ACTIVATIONS)}")


class BatchNorm(nn.Module):
    """BatchNorm over all axes but the last; the mode's normaliser says which statistics are used and which are kept.

    Params `scale`, `bias`; batch_stats `mean`, `var`. `weights` is 1 for real rows and 0 for padded ones; `axis_name`
    is the mapped axis over which the batch is spread. Computed in float32, of float64 inputs in float64.
    """

    epsilon: float = 1e-5

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "batch *positions channels"],
        *,
        mode: Mode,
        weights: Float[Array, " batch"] | None = None,
        axis_name: str | None = None,
    ) -> Float[Array, "batch *positions channels"]:
        channels = x.shape[-1]
        scale = self.param("scale", nn.initializers.ones_init(), (channels,))
        bias = self.param("bias", nn.initializers.zeros_init(), (channels,))
        mean = self.variable("batch_stats", "mean", jnp.zeros, (channels,))
        var = self.variable("batch_stats", "var", jnp.ones, (channels,))
        running = Running(mean.value, var.value)
        wide = jnp.promote_types(x.dtype, jnp.float32)
        y, kept = mode.norm(x.astype(wide), running, self.epsilon, weights, axis_name)
        if not self.is_initializing() and self.is_mutable_collection("batch_stats"):
            mean.value, var.value = kept
        scale, bias = (jnp.broadcast_to(v, y.shape) for v in (scale, bias))
        return (y * scale + bias).astype(x.dtype)


class Dense(nn.Module):
    """A linear layer `x @ kernel + bias` with PyTorch's default initialisation.

    `dtype` is the type of the product (None: the input's); parameters stay float32. `precision` is that of a float32
    product (None: the one in force); networks' last layers have "highest".
    """

    features: int
    use_bias: bool = True
    kernel_init: nn.initializers.Initializer | None = None
    bias_init: nn.initializers.Initializer | None = None
    dtype: DTypeLike | None = None
    precision: str | None = None

    @nn.compact
    def __call__(self, x: Float[Array, "... width"]) -> Float[Array, "... features"]:
        width = x.shape[-1]
        dtype = self.dtype or x.dtype
        kernel = self.param("kernel", self.kernel_init or torch_uniform(width), (width, self.features))
        y = jnp.matmul(x.astype(dtype), kernel.astype(dtype), precision=self.precision)
        if self.use_bias:
            bias = self.param("bias", self.bias_init or torch_uniform(width), (self.features,))
            y = y + jnp.broadcast_to(bias.astype(dtype), y.shape)
        return y


def weight_norm_kernel(
    v: Float[Array, "width features"], g: Float[Array, " features"]
) -> Float[Array, "width features"]:
    """The kernel of a weight-normed linear layer: each output's column of `v` scaled to length `g`."""
    return v * (g / jnp.sqrt(jnp.sum(jnp.square(v), 0)))[None]


class WeightNormDense(nn.Module):
    """A linear layer whose kernel is a direction `v` times a length `g` per output (Salimans and Kingma, 1602.07868).

    `v` keeps PyTorch's default uniform initialisation and `g` its column lengths: the reference's Xavier call writes to
    a computed property and changes nothing (DHAuDS, AuT/lib/model.py:85). The bias starts at 0. A last layer: its
    product is exact in float32 whatever precision is in force.
    """

    features: int

    @nn.compact
    def __call__(self, x: Float[Array, "... width"]) -> Float[Array, "... features"]:
        width = x.shape[-1]
        v = self.param("v", torch_uniform(width), (width, self.features))
        g = self.param("g", lambda _: jnp.sqrt(jnp.sum(jnp.square(v), 0)))
        bias = self.param("bias", nn.initializers.zeros_init(), (self.features,))
        y = jnp.matmul(x, weight_norm_kernel(v, g), precision="highest")
        return y + jnp.broadcast_to(bias, y.shape)


def standardise(kernel: Float[Array, "*taps inputs outputs"]) -> Float[Array, "*taps inputs outputs"]:
    """Weight standardisation per output channel: `(w - mean) / sqrt(var + 1e-5)`, biased variance (1903.10520)."""
    axes = tuple(range(kernel.ndim - 1))
    centred = kernel - kernel.mean(axes, keepdims=True)
    return centred * jax.lax.rsqrt(jnp.square(centred).mean(axes, keepdims=True) + 1e-5)


class StdConv1d(nn.Module):
    """A convolution over time without bias whose kernel is standardised per output channel.

    `padding` frames of zeros on both sides, as PyTorch: output length `(time + 2 padding - taps) // stride + 1`.
    """

    features: int
    taps: int = 1
    stride: int = 1
    padding: int = 0

    @nn.compact
    def __call__(self, x: Float[Array, "batch time channels"]) -> Float[Array, "batch out features"]:
        channels = x.shape[-1]
        init = torch_uniform(self.taps * channels)
        kernel = self.param("kernel", init, (self.taps, channels, self.features))
        return conv1d(x, standardise(kernel).astype(x.dtype), self.stride, self.padding)


class Bottleneck(nn.Module):
    """The post-activation residual block of AMAuT and HuBClassifier: 1x1, 7 taps (stride), 1x1, shortcut, ReLU.

    Main-path BatchNorms have epsilon 1e-6, the shortcut's 1e-5 (DHAuDS, AuT/lib/embed.py). The shortcut is a strided
    1x1 convolution where the shape changes, the identity elsewhere.
    """

    features: int
    middle: int
    stride: int = 1

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "batch time channels"],
        *,
        mode: Mode,
        weights: Float[Array, " batch"] | None = None,
        axis_name: str | None = None,
    ) -> Float[Array, "batch out features"]:
        batch = {"mode": mode, "weights": weights, "axis_name": axis_name}
        shortcut = x
        if self.stride != 1 or x.shape[-1] != self.features:
            shortcut = StdConv1d(self.features, stride=self.stride, name="shortcut")(x)
            shortcut = BatchNorm(1e-5, name="batch_norm_shortcut")(shortcut, **batch)
        x = StdConv1d(self.middle, name="conv1")(x)
        x = nn.relu(BatchNorm(1e-6, name="batch_norm1")(x, **batch))
        x = StdConv1d(self.middle, 7, self.stride, 3, name="conv2")(x)
        x = nn.relu(BatchNorm(1e-6, name="batch_norm2")(x, **batch))
        x = StdConv1d(self.features, name="conv3")(x)
        x = BatchNorm(1e-6, name="batch_norm3")(x, **batch)
        return nn.relu(x + shortcut)


class Stem(nn.Module):
    """The first layers of AMAuT and HuBClassifier: 14 taps stride 2, BatchNorm, ReLU, max pool 6 stride 2."""

    features: int

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "batch time channels"],
        *,
        mode: Mode,
        weights: Float[Array, " batch"] | None = None,
        axis_name: str | None = None,
    ) -> Float[Array, "batch out features"]:
        x = StdConv1d(self.features, 14, 2, 6, name="conv")(x)
        x = BatchNorm(1e-6, name="batch_norm")(x, mode=mode, weights=weights, axis_name=axis_name)
        return max_pool1d(nn.relu(x), 6, 2, 2)


class Dropout(nn.Module):
    """Dropout whose mask is drawn row by row from the row's number in the whole batch.

    A batch spread over devices (`axis_name`, rows in device order) thus gets the mask of one device. Needs the rng
    `dropout` when active. `dropout.drop_rows` is the function of the other nets: it takes its key as an argument, which
    a block under `nn.scan` needs, and draws half as many bits, so the two have other masks for one key and rate.
    Runs that are recorded or unfinished depend on each net's own.
    """

    rate: float

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch *rest"], *, active: bool, axis_name: str | None = None
    ) -> Float[Array, "batch *rest"]:
        if not active or self.rate == 0.0:
            return x
        key = self.make_rng("dropout")
        first = 0 if axis_name is None else jax.lax.axis_index(axis_name) * x.shape[0]
        rows = first + jnp.arange(x.shape[0])
        keep = jax.vmap(lambda row: jax.random.bernoulli(jax.random.fold_in(key, row), 1 - self.rate, x.shape[1:]))(
            rows
        )
        return jnp.where(keep, x / (1 - self.rate), jnp.zeros_like(x))


class Attention(nn.Module):
    """Multi-head self-attention with separate q, k, v, o projections (all with bias) and a float32 softmax.

    Args of the call: x (batch, tokens, width); `active` switches the dropout on the attention weights on; `mask`, if
    any, is True where a key may be looked at. The initialisers are those of q, k, v and of all four biases, and of o
    (None: PyTorch's of linear layers).
    """

    heads: int
    dropout: float = 0.0
    dtype: DTypeLike | None = None
    kernel_init: nn.initializers.Initializer | None = None
    bias_init: nn.initializers.Initializer | None = None
    out_kernel_init: nn.initializers.Initializer | None = None

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "batch tokens width"],
        *,
        active: bool = False,
        mask: Array | None = None,
        axis_name: str | None = None,
    ) -> Float[Array, "batch tokens width"]:
        batch, tokens, width = x.shape
        if width % self.heads:
            raise BadInput(f"Attention: width {width} is no multiple of {self.heads} heads")

        def project(name: str) -> Array:
            layer = Dense(width, True, self.kernel_init, self.bias_init, self.dtype, name=name)
            return layer(x).reshape(batch, tokens, self.heads, -1)

        q, k, v = project("q"), project("k"), project("v")
        scores = jnp.einsum("bqhd,bkhd->bhqk", q * (q.shape[-1] ** -0.5), k).astype(jnp.float32)
        if mask is not None:
            scores = jnp.where(jnp.broadcast_to(mask, scores.shape), scores, jnp.finfo(jnp.float32).min)
        probabilities = jax.nn.softmax(scores, -1)
        probabilities = Dropout(self.dropout, name="dropout")(probabilities, active=active, axis_name=axis_name)
        mixed = jnp.einsum("bhqk,bkhd->bqhd", probabilities.astype(v.dtype), v).reshape(batch, tokens, width)
        return Dense(width, True, self.out_kernel_init, self.bias_init, self.dtype, name="o")(mixed)


def deviation(x: Array, axis: int) -> Array:
    """The standard deviation along an axis, whose derivative is finite where nothing varies."""
    variance = jnp.square(x - x.mean(axis, keepdims=True)).mean(axis)
    return jnp.where(variance > 0, jnp.sqrt(jnp.where(variance > 0, variance, 1.0)), 0.0)
