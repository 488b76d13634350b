"""HTSAT, CLAP's audio encoder: a Swin transformer over a log-mel spectrogram folded into a square image.

The mel bands are normalised, time is stretched to `spec**2 / mels` frames and cut into `spec / mels` pieces that lie
below each other; patches of that image are the tokens (Chen et al., arXiv 2202.00874). With fusion (Wu et al., arXiv
2211.06687) a long clip has four channels: the whole of it, shrunk, and three crops, whose tokens are fused into those
of the whole.
"""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from dhauds_jax.dsp.resize import bicubic_weights
from dhauds_jax.errors import BadInput
from dhauds_jax.nets.clap_fusion import Fusion, rows_that_count
from dhauds_jax.nets.layers import BatchNorm, Dense
from dhauds_jax.nets.spectrogram_transformer import layer_norm
from dhauds_jax.nets.swin import Compute, Stage
from dhauds_jax.types import Mode

CHANNELS = 4
"""Of a long clip: the whole, shrunk to the frames of a short one, and three crops."""


def stretched(x: Float[Array, "*batch frames mels"], frames: int) -> Float[Array, "*batch wanted mels"]:
    """Time interpolated bicubically to `frames` frames, corners aligned; as it is where it has as many."""
    if x.shape[-2] == frames:
        return x
    weights = jnp.asarray(bicubic_weights(x.shape[-2], frames))
    return jnp.einsum("ts,...sm->...tm", weights, x, precision=jax.lax.Precision.HIGHEST)


def folded(x: Float[Array, "*batch frames mels"], pieces: int) -> Float[Array, "*batch rows columns"]:
    """Time cut into pieces below each other: row = piece x mels + mel, column = frame within its piece."""
    *batch, frames, mels = x.shape
    cut = x.reshape(*batch, pieces, frames // pieces, mels)
    return jnp.swapaxes(cut, -1, -2).reshape(*batch, pieces * mels, frames // pieces)


def patches(image: Float[Array, "*batch rows columns"], down: int, across: int) -> Float[Array, "*batch r c values"]:
    """The patches of `down` by `across` pixels of an image as rows of values; what fills no patch is left out."""
    *batch, rows, columns = image.shape
    r, c = rows // down, columns // across
    tiles = image[..., : r * down, : c * across].reshape(*batch, r, down, c, across)
    return jnp.swapaxes(tiles, -2, -3).reshape(*batch, r, c, down * across)


class PatchEmbed(nn.Module):
    """Tokens of the patches of an image; in rows that are longer, fused with those of the three other channels.

    A crop's patches are three times as long in time, so that three crops are as many tokens as the whole.
    """

    width: int
    patch: int
    fusion: int | None
    epsilon: float
    compute: Compute = Compute()

    @nn.compact
    def __call__(
        self,
        image: Float[Array, "batch channels side side"],
        longer: Bool[Array, " batch"],
        *,
        mode: Mode,
        weights: Float[Array, " batch"] | None = None,
        axis_name: str | None = None,
    ) -> Float[Array, "batch grid grid width"]:
        patch, dtype = self.patch, self.compute.dtype
        x = Dense(self.width, dtype=dtype, name="whole")(patches(image[:, 0], patch, patch))
        if self.fusion is not None and image.shape[1] > 1:
            crops = Dense(self.width, dtype=dtype, name="crops")(patches(image[:, 1:], patch, 3 * patch))
            beside = jnp.concatenate(list(jnp.moveaxis(crops, 1, 0)), 2)
            beside = jnp.pad(beside, [(0, 0), (0, 0), (0, x.shape[2] - beside.shape[2]), (0, 0)])
            counted = rows_that_count(longer, weights, axis_name)
            fusion = Fusion(self.fusion, dtype, name="fusion")
            fused = fusion(x, beside, mode=mode, weights=counted, axis_name=axis_name)
            x = jnp.where(jnp.broadcast_to(longer[:, None, None, None], x.shape), fused, x)
        return layer_norm(self.epsilon, dtype, "layer_norm")(x)


class HTSAT(nn.Module):
    """The encoder: log-mel features to tokens (batch, tokens, width of the last stage), normed; their mean is pooled.

    Attributes: the geometry (see `clap_zoo.audio_geometry`) and `compute`.
    """

    spec: int
    mels: int
    patch: int
    window: int
    width: int
    depths: tuple[int, ...]
    heads: tuple[int, ...]
    mlp_ratio: int
    fusion: int | None
    epsilon: float
    drop_path: float
    compute: Compute = Compute()

    @nn.compact
    def __call__(
        self,
        features: Float[Array, "batch frames mels"] | Float[Array, "batch channels frames mels"],
        *,
        mode: Mode,
        weights: Float[Array, " batch"] | None = None,
        axis_name: str | None = None,
        longer: Bool[Array, " batch"] | None = None,
    ) -> Float[Array, "batch tokens width"]:
        """The tokens of each clip.

        Args:
          features: (batch, frames, mels) dB, or (batch, channels, frames, mels) with 1 or `CHANNELS` channels, of which
            the last three count in rows that are `longer` alone. One channel is what a short clip needs: four equal
            ones give the same tokens.
          mode: what dropout (here: of whole branches) and BatchNorm do.
          weights: (batch,) 1 for real rows, 0 for padded ones.
          axis_name: the mapped axis over which the batch is spread, if any.
          longer: (batch,) whether a row's clip was longer than the encoder's; with `CHANNELS` channels alone.

        Raises:
          BadInput: features that the geometry cannot take.
        """
        channels, longer = self._channels(features, longer)
        batch = {"mode": mode, "weights": weights, "axis_name": axis_name}
        normed = BatchNorm(name="batch_norm")(channels, **batch)
        pieces = self.spec // self.mels
        image = folded(stretched(normed, pieces * self.spec), pieces)
        embed = PatchEmbed(self.width, self.patch, self.fusion, self.epsilon, self.compute, name="patch_embed")
        x = embed(image, longer, **batch)
        rates = np.linspace(0, self.drop_path, sum(self.depths)).tolist()
        for i, (depth, heads) in enumerate(zip(self.depths, self.heads)):
            sizes = (heads, self.window, self.mlp_ratio, self.epsilon)
            mine, rates = tuple(rates[:depth]), rates[depth:]
            stage = Stage(*sizes, mine, i + 1 < len(self.depths), self.compute, name=f"stage{i}")
            x = stage(x, mode.dropout, axis_name)
        return layer_norm(self.epsilon, None, "layer_norm")(x.reshape(x.shape[0], -1, x.shape[-1]))

    def _channels(self, features: Array, longer: Array | None) -> tuple[Array, Array]:
        """Features with an axis of channels, and which rows are longer; other rows' other channels are their first."""
        channels = features[:, None] if features.ndim == 3 else features
        count, frames, mels = channels.shape[1:]
        most = self.spec * self.spec // self.mels
        if mels != self.mels or frames > most:
            raise BadInput(
                f"htsat: features have {frames} frames and {mels} mels, expected at most {most} and {self.mels}: the "
                "front end is another encoder's, or the clip longer than this one's"
            )
        if count not in (1, CHANNELS) or (count > 1 and (self.fusion is None or longer is None)):
            kind = "without fusion" if self.fusion is None else "with fusion"
            raise BadInput(
                f"htsat: features have {count} channels for a net {kind}, expected 1, or for a net with fusion "
                f"{CHANNELS} beside which rows are longer"
            )
        if self.is_initializing() and self.fusion is not None:  # so that the fusion's parameters are made
            channels, count = jnp.repeat(channels[:, :1], CHANNELS, 1), CHANNELS
        if count == 1 or longer is None:
            longer = jnp.zeros(channels.shape[:1], bool)
        own = jnp.broadcast_to(longer[:, None, None, None], channels.shape)
        return jnp.where(own, channels, jnp.broadcast_to(channels[:, :1], channels.shape)), longer
