"""HuBERT: seven convolutions over the waveform, a positional convolution and a stack of transformer blocks.

Base has a group norm after its first convolution and post-norm blocks; large and x-large have a layer norm after every
convolution and pre-norm blocks (Hsu et al., arXiv 2106.07447; the layout is torchaudio's `wav2vec2_model`).

Padding: base's group norm runs over time, so zeros around a clip change every frame of it; large's norms run over
channels, there only frames near the padding change. Clips therefore have one length per checkpoint and there is no
padding mask.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from dhauds_jax.errors import BadInput
from dhauds_jax.nets.dropout import drop_rows
from dhauds_jax.nets.hubert_front_end import FrontEnd, Norm
from dhauds_jax.nets.layers import ACTIVATIONS, Dense, xavier_uniform
from dhauds_jax.nets.positional_conv import PositionalConv
from dhauds_jax.types import Mode

_zeros = nn.initializers.zeros_init()


def _qkv_init(key: Array, shape: tuple[int, ...], dtype: DTypeLike = jnp.float32) -> Array:
    """Xavier's uniform of one (width, width) projection, gain 1 / sqrt 2, for the three side by side."""
    bound = (1.5 / shape[0]) ** 0.5
    return jax.random.uniform(key, shape, dtype, -bound, bound)


class Compute(NamedTuple):
    """How a HuBERT is computed; no part of what it is.

    Attributes:
      dtype: of matrix products and convolutions (None: float32). Parameters, norms and the softmax stay float32.
      scan: blocks under `nn.scan` (compiles fast) or one after the other. The parameters are stacked either way.
      remat: recompute blocks in the backward pass instead of keeping their inner activations.
      positional: a key of `positional_conv.IMPLEMENTATIONS`.
    """

    dtype: DTypeLike | None = None
    scan: bool = True
    remat: bool = False
    positional: str = "auto"


Keep = bool | Callable[[Array], Array]
"""What of a block's output is given beside it."""


class Encoded(NamedTuple):
    """What the encoder gives.

    Attributes:
      frames: (batch, frames, width), the last hidden state, or the weighted sum of all where `layer_sum` says so.
      layers: (depth, ...), what was kept of every block's output, by default all of it before any final norm, or None.
      conv_features: (batch, frames, channels), the front end's output.
      raw: (batch, frames, width), the last block's output before any final norm.
    """

    frames: Array
    layers: Array | None
    conv_features: Array
    raw: Array


class Block(nn.Module):
    """A transformer block: attention and feed-forward, each with a residual; post-norm or pre-norm.

    `key` (None: everything kept) gives the dropout masks and the one draw that skips the block for the whole batch;
    `keep` is what of its output is given beside it: nothing, all of it, or a function of it. Queries, keys and values
    are one product.
    """

    heads: int
    feed_forward: int
    pre_norm: bool
    attention_dropout: float
    inner_dropout: float
    dropout: float
    layer_drop: float
    activation: str = "gelu"
    epsilon: float = 1e-5
    dtype: DTypeLike | None = None
    axis_name: str | None = None

    def _drop(self, x: Array, key: Array | None, site: int, rate: float) -> Array:
        if key is None or rate == 0.0:
            return x
        return drop_rows(x, jax.random.fold_in(key, site), rate, self.axis_name)

    def _dense(self, features: int, name: str, init: nn.initializers.Initializer = xavier_uniform) -> Dense:
        return Dense(features, kernel_init=init, bias_init=_zeros, dtype=self.dtype, name=name)

    def _attend(self, x: Array, key: Array | None) -> Array:
        batch, frames, width = x.shape
        qkv = self._dense(3 * width, "qkv", _qkv_init)(x).reshape(batch, frames, 3, self.heads, -1)
        q, k, v = qkv[:, :, 0], qkv[:, :, 1], qkv[:, :, 2]
        scores = jnp.einsum("bqhd,bkhd->bhqk", q * q.shape[-1] ** -0.5, k).astype(jnp.float32)
        weights = self._drop(jax.nn.softmax(scores, -1), key, 1, self.attention_dropout)
        mixed = jnp.einsum("bhqk,bkhd->bqhd", weights.astype(v.dtype), v).reshape(batch, frames, width)
        return self._drop(self._dense(width, "out")(mixed), key, 2, self.dropout)

    def _feed(self, x: Array, key: Array | None) -> Array:
        inner = ACTIVATIONS[self.activation](self._dense(self.feed_forward, "intermediate")(x))
        inner = self._drop(inner, key, 3, self.inner_dropout)
        return self._drop(self._dense(x.shape[-1], "output")(inner), key, 4, self.dropout)

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch frames width"], key: Array | None, keep: Keep
    ) -> tuple[Array, Array | None]:
        attention_norm, final_norm = (
            Norm(epsilon=self.epsilon, name=name) for name in ("attention_layer_norm", "final_layer_norm")
        )
        if self.pre_norm:
            y = x + self._attend(attention_norm(x), key)
            y = y + self._feed(final_norm(y), key)
        else:
            y = attention_norm(x + self._attend(x, key))
            y = final_norm(y + self._feed(y, key))
        if key is not None and self.layer_drop > 0.0:
            # PyTorch skips where its draw in [0, 1) is at most the rate; one draw for the whole batch.
            y = jnp.where(jax.random.uniform(jax.random.fold_in(key, 0)) > self.layer_drop, y, x)
        if callable(keep):
            return y, keep(y)
        return y, (y if keep else None)


BLOCK_SIZES = (
    "heads",
    "feed_forward",
    "pre_norm",
    "attention_dropout",
    "inner_dropout",
    "dropout",
    "layer_drop",
    "activation",
    "epsilon",
)
"""What every block takes from the geometry."""


class Hubert(nn.Module):
    """The encoder: waveform (batch, time) at 16 kHz, normalised or not as its checkpoint wants, to frames of 20 ms.

    Attributes: the geometry (see `hubert_zoo.geometry`) and `compute`. Needs the rng `dropout` when `mode.dropout`.
    """

    convs: tuple[tuple[int, int, int], ...]
    conv_bias: bool
    conv_norm: str
    width: int
    depth: int
    heads: int
    feed_forward: int
    pre_norm: bool
    positional_taps: int
    positional_groups: int
    projection_dropout: float
    attention_dropout: float
    inner_dropout: float
    dropout: float
    layer_drop: float
    activation: str = "gelu"
    conv_activation: str = "gelu"
    epsilon: float = 1e-5
    layer_sum: str = "none"
    compute: Compute = Compute()

    def __call__(
        self,
        wave: Float[Array, "batch time"],
        *,
        mode: Mode,
        weights: Float[Array, " batch"] | None = None,
        axis_name: str | None = None,
    ) -> Float[Array, "batch frames width"]:
        """The last hidden state. No statistic couples the batch, so `weights` is not used."""
        return self.encode(wave, mode=mode, axis_name=axis_name).frames

    def tap(
        self,
        wave: Float[Array, "batch time"],
        what: str,
        *,
        mode: Mode,
        weights: Float[Array, " batch"] | None = None,
        axis_name: str | None = None,
    ) -> tuple[Array, Array]:
        """The last hidden state, and what `types.Tap` calls "layers" or "tokens"; post-norm blocks norm theirs."""
        encoded = self.encode(wave, mode=mode, axis_name=axis_name, means=what == "layers")
        if what == "tokens":
            return encoded.frames, encoded.raw.astype(jnp.float32)
        return encoded.frames, jnp.swapaxes(encoded.layers, 0, 1)

    @nn.compact
    def encode(
        self,
        wave: Float[Array, "batch time"],
        *,
        mode: Mode,
        axis_name: str | None = None,
        keep_all: bool = False,
        means: bool = False,
    ) -> Encoded:
        """The last hidden state with the front end's output and, if wanted, every block's output (`keep_all`), or of
        each, normed as the last one is, the mean over frames (`means`).
        """
        _check_length(wave.shape[-1], self.convs)
        dtype, key = self.compute.dtype, self.make_rng("dropout") if mode.dropout else None

        def drop(x: Array, site: int, rate: float) -> Array:
            if key is None or rate == 0.0:
                return x
            return drop_rows(x, jax.random.fold_in(key, site), rate, axis_name)

        conv_features = FrontEnd(
            self.convs, self.conv_bias, self.conv_norm, dtype, self.conv_activation, name="front_end"
        )(wave)
        x = Norm(epsilon=self.epsilon, name="projection_layer_norm")(conv_features)
        x = Dense(self.width, kernel_init=xavier_uniform, bias_init=_zeros, dtype=dtype, name="projection")(x)
        x = drop(x, self.depth, self.projection_dropout)
        taps, groups = self.positional_taps, self.positional_groups
        positions = PositionalConv(taps, groups, self.compute.positional, dtype, name="positional")(x)
        x = x + ACTIVATIONS[self.conv_activation](positions)
        last_norm = Norm(epsilon=self.epsilon, name="layer_norm")
        first = drop(x if self.pre_norm else last_norm(x), self.depth + 1, self.dropout)
        mean = self._mean_of_normed(last_norm, first) if means else None
        keep = keep_all or self.layer_sum != "none" or mean or False
        raw, layers = self._blocks(first, key, axis_name, keep)
        x = last_norm(raw) if self.pre_norm else raw
        if self.layer_sum != "none":
            last = x if self.layer_sum == "states" else layers[-1]
            x = self._weighted(jnp.concatenate([first[None], layers[:-1], last[None]]))
            layers = jax.vmap(mean)(layers) if means else layers
        return Encoded(x.astype(jnp.float32), layers if keep_all or means else None, conv_features, raw)

    def _mean_of_normed(self, last_norm: Norm, like: Array) -> Callable[[Array], Array]:
        if not self.pre_norm:
            return lambda x: x.astype(jnp.float32).mean(1)
        if self.is_initializing():  # it has no parameters before its first call
            last_norm(like)
        params, norm = {"params": last_norm.variables["params"]}, last_norm.clone(parent=None)
        return lambda x: norm.apply(params, x).astype(jnp.float32).mean(1)

    def _weighted(self, states: Array) -> Array:
        """The sum of (depth + 1, batch, frames, width) with the softmax of learned weights (Yang et al., SUPERB)."""
        weights = self.param("layer_weights", nn.initializers.constant(1 / (self.depth + 1)), (self.depth + 1,))
        return jnp.einsum("l,lbtc->btc", jax.nn.softmax(weights), states.astype(jnp.float32))

    def _blocks(self, x: Array, key: Array | None, axis_name: str | None, keep: Keep) -> tuple[Array, Array | None]:
        """The stack, its parameters (depth, ...) either way; both ways draw the same masks."""
        keys = None if key is None else jax.vmap(lambda site: jax.random.fold_in(key, site))(jnp.arange(self.depth))
        sizes = {name: getattr(self, name) for name in BLOCK_SIZES}
        options = {"dtype": self.compute.dtype, "axis_name": axis_name}
        cls = nn.remat(Block, prevent_cse=not self.compute.scan, static_argnums=(3,)) if self.compute.remat else Block
        if self.compute.scan or self.is_initializing():
            stack = nn.scan(
                cls,
                variable_axes={"params": 0},
                split_rngs={"params": True},
                in_axes=(nn.broadcast if key is None else 0, nn.broadcast),
                length=self.depth,
            )
            return stack(**sizes, **options, name="blocks")(x, keys, keep)
        stacked = self.variables["params"]["blocks"]
        leaves, tree = jax.tree.flatten(stacked)
        # A split's gradient is one concatenation; indexing's would be `depth` sums of whole stacks.
        parts = zip(*(jax.lax.split(leaf, (1,) * self.depth) for leaf in leaves))
        block, kept = cls(**sizes, **options, parent=None), []
        for i, part in enumerate(parts):
            params = jax.tree.unflatten(tree, [p[0] for p in part])
            x, y = block.apply({"params": params}, x, None if keys is None else keys[i], keep)
            kept.append(y)
        return x, (jnp.stack(kept) if keep else None)


def frames_of(samples: int, convs: Sequence[Sequence[int]]) -> int:
    """Frames that come out of a clip of `samples` samples (0 if it is too short)."""
    for _, taps, stride in convs:
        samples = max(0, (samples - taps) // stride + 1)
    return samples


def _check_length(samples: int, convs: tuple[tuple[int, int, int], ...]) -> None:
    if frames_of(samples, convs) < 1:
        needed = 1
        for _, taps, stride in reversed(convs):
            needed = (needed - 1) * stride + taps
        raise BadInput(f"hubert: clips have {samples} samples, expected at least {needed}")
