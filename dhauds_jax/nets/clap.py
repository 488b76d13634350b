"""CLAP's two towers: an encoder and a projection each, for sounds and for sentences (Wu et al., arXiv 2211.06687)."""

from __future__ import annotations

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int

from dhauds_jax.nets.heads import FCEClassifier, last_layer
from dhauds_jax.nets.htsat import HTSAT
from dhauds_jax.nets.layers import Dense
from dhauds_jax.nets.normalisers import EVAL
from dhauds_jax.nets.roberta import Roberta
from dhauds_jax.types import Mode


class Projection(nn.Module):
    """From an encoder's pooled output to the shared space: linear, ReLU, linear. Before any norm."""

    hidden: int
    width: int
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(self, x: Float[Array, "batch features"]) -> Float[Array, "batch width"]:
        hidden = nn.relu(Dense(self.hidden, dtype=self.dtype, name="dense1")(x))
        return Dense(self.width, precision="highest", name="dense2")(hidden.astype(jnp.float32))


class AudioTower(nn.Module):
    """Log-mel features (batch, channels, frames, mels) to (batch, width): tokens, their mean, the projection."""

    encoder: HTSAT
    projection: Projection

    def __call__(
        self, features: Float[Array, "batch channels frames mels"], longer: Bool[Array, " batch"]
    ) -> Float[Array, "batch width"]:
        return self.projection(self.encoder(features, mode=EVAL, longer=longer).mean(1))


class TextTower(nn.Module):
    """Token ids and their mask (batch, tokens) to (batch, width)."""

    encoder: Roberta
    projection: Projection

    def __call__(
        self, ids: Int[Array, "batch tokens"], mask: Bool[Array, "batch tokens"]
    ) -> Float[Array, "batch width"]:
        return self.projection(self.encoder(ids, mask))


class ProjectedTokens(nn.Module):
    """Mean over tokens, CLAP's projection (the embedding), a linear layer: the head of an audio tower as a classifier.

    `hidden` and `features` are the widths of the projection's two layers (LAION-AI/CLAP, clap_module/model.py).
    """

    classes: int
    hidden: int
    features: int
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(
        self,
        tokens: Float[Array, "batch tokens width"],
        *,
        mode: Mode,
        weights: Float[Array, " batch"] | None = None,
        axis_name: str | None = None,
    ) -> tuple[Float[Array, "batch classes"], Float[Array, "batch features"]]:
        x = Projection(self.hidden, self.features, self.dtype, name="projection")(tokens.mean(1))
        return last_layer(Dense, self.classes, x, precision="highest"), x

    linear = staticmethod(FCEClassifier.linear)
