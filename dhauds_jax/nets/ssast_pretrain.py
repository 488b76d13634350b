"""What SSAST's self-supervised pretraining adds to the spectrogram transformer: a mask's embedding and two predictors.

`build(config)` makes the network of a pretraining config (stride = patch; `pretraining_config` makes one from that of
a classifier). Its tree is `{"encoder", "mask_embed", "contrast", "generate"}`, `encoder` being the classifier's.

    config = zoo.preset("ssast_tiny", classes)
    before = pretraining_config(config)
    net = build(before)
    variables = init(net, before, key)                      # then train net.apply(variables, features, mask)
    weights = for_clips(variables, before, config, key)     # `spectrogram_transfer`: the start of fine-tuning

On disk it is a checkpoint of the classifier `before` (random head) whose `extra["pretraining"]` has the other leaves
(`to_checkpoint`, `from_checkpoint`), so everything that loads checkpoints loads it; converted files look the same.

Source: Gong, Lai, Chung and Glass 2022 (arXiv 2110.09784).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from dhauds_jax.errors import BadInput
from dhauds_jax.nets.config import ClassifierConfig
from dhauds_jax.nets.layers import Dense
from dhauds_jax.nets.spectrogram_transfer import new_head
from dhauds_jax.nets.spectrogram_transformer import SpectrogramTransformer, unfold
from dhauds_jax.nets.spectrogram_zoo import build_encoder, config_grid
from dhauds_jax.types import Variables

EXTRA = ("mask_embed", "contrast", "generate")
"""The leaves beside the encoder."""


class Masked(NamedTuple):
    """What a forward pass over masked patches gives; the losses choose the masked rows.

    Attributes:
      patches: (batch, patches, values), the true values, frequency first.
      contrast: (batch, patches, values), the discriminative predictor's answers (`cpredlayer`).
      generate: (batch, patches, values), the generative predictor's answers (`gpredlayer`).
      tokens: (batch, patches, width), normed, without the prefix.
    """

    patches: Float[Array, "batch patches values"]
    contrast: Float[Array, "batch patches values"]
    generate: Float[Array, "batch patches values"]
    tokens: Float[Array, "batch patches width"]


class Predictor(nn.Module):
    """Linear, ReLU, linear: a token's guess of its patch."""

    values: int

    @nn.compact
    def __call__(self, tokens: Float[Array, "batch patches width"]) -> Float[Array, "batch patches values"]:
        return Dense(self.values, name="output")(nn.relu(Dense(tokens.shape[-1], name="hidden")(tokens)))


class PretrainNet(nn.Module):
    """The encoder over patches of which some are replaced by `mask_embed`, before positions and prefix are added.

    Both predictors answer from the same pass; what a loss does not use is not computed under `jax.jit`. The reference
    makes one pass for each objective, with masks of its own.
    """

    encoder: SpectrogramTransformer

    def setup(self) -> None:
        width = self.encoder.width
        values = self.encoder.patch[0] * self.encoder.patch[1]
        # Xavier's normal of a (1, 1, width) array, as PyTorch counts its fans.
        self.mask_embed = self.param("mask_embed", nn.initializers.normal(width**-0.5), (width,))
        self.contrast, self.generate = Predictor(values), Predictor(values)

    def __call__(self, features: Float[Array, "batch frames mels"], mask: Bool[Array, "batch patches"]) -> Masked:
        """Predictions for every patch.

        Args:
          features: (batch, frames, mels) normalised filter banks.
          mask: (batch, patches), True where a patch is hidden.
        """
        embedded = self.encoder.embed(features)
        hidden = jnp.where(mask[..., None], self.mask_embed.astype(embedded.dtype)[None, None], embedded)
        tokens = self.encoder.encode(hidden).tokens[:, self.encoder.prefix :]
        patches = unfold(features, self.encoder.patch, self.encoder.stride)
        return Masked(patches, self.contrast(tokens), self.generate(tokens), tokens)


def pretraining_config(config: ClassifierConfig) -> ClassifierConfig:
    """The config that a classifier's encoder pretrains with: patches side by side, frames cut to whole patches."""
    patch = config.geometry["patch"]
    geometry = {**config.geometry, "stride": patch}
    filled = config.replace(geometry=geometry)
    columns = config_grid(filled)[1]
    return filled.replace(
        net=f"{config.net.removesuffix('_pretrain')}_pretrain",
        front_end={**config.front_end, "frames": columns * patch[1]},
    )


def build(config: ClassifierConfig, **compute: Any) -> PretrainNet:
    """The network of a pretraining config.

    Args:
      config: with a stride equal to the patch.
      compute: as `zoo.build` takes for the family.

    Raises:
      BadInput: overlapping patches, or a size that is missing, foreign or impossible.
    """
    sizes = config.geometry
    if sizes["stride"] != sizes["patch"]:
        raise BadInput(
            f"config geometry: stride is {sizes['stride']}, patch {sizes['patch']}, expected equal ones for pretraining"
        )
    return PretrainNet(build_encoder(config, **compute))


def init(net: PretrainNet, config: ClassifierConfig, key: PRNGKeyArray) -> Variables:
    """Random weights, `{"params": {"encoder", "mask_embed", "contrast", "generate"}}`."""
    rows, columns = net.encoder.grid
    frames = columns * net.encoder.patch[1]
    features = jnp.zeros((1, frames, config.front_end["n_mels"]))
    mask = jnp.zeros((1, rows * columns), bool)
    return jax.jit(lambda k: net.init({"params": k}, features, mask))(key)


def to_checkpoint(
    variables: Mapping[str, Any], config: ClassifierConfig, key: PRNGKeyArray
) -> tuple[Variables, dict[str, Any]]:
    """A pretraining tree as (variables, extra) for `checkpoint.save`; the head is drawn from `key`."""
    params = variables["params"]
    classifier = {"params": {"encoder": params["encoder"], "head": new_head(config, key)}, "batch_stats": {}}
    return classifier, {"pretraining": {name: jax.tree.map(np.asarray, params[name]) for name in EXTRA}}


def from_checkpoint(variables: Mapping[str, Any], extra: Mapping[str, Any]) -> Variables:
    """The inverse of `to_checkpoint`, from what `checkpoint.load` gave.

    Raises:
      BadInput: the checkpoint has no predictors, as after fine-tuning.
    """
    if "pretraining" not in extra:
        raise BadInput("the checkpoint has no mask embedding and predictors, expected one from pretraining")
    return {"params": {"encoder": variables["params"]["encoder"], **extra["pretraining"]}}
