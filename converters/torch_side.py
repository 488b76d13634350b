"""AMAuT, AST and SSAST and the classification heads as plain PyTorch functions over a state dict, for `--verify` alone.

Written from the published layout and not from our networks, so that a comparison means something; evaluation mode.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from converters import amaut, hubert, spectrogram
from converters.heads import head_leaves
from converters.mapping import flatten, to_torch, unflatten
from dhauds_jax.errors import BadInput
from dhauds_jax.nets.config import ClassifierConfig


def imported(name: str) -> Any:
    """A package that only comparisons need.

    Raises:
      BadInput: it cannot be imported (the extra is named).
    """
    try:
        return importlib.import_module(name)
    except (ImportError, OSError) as error:
        raise BadInput(
            f"--verify: needs {name}, which cannot be imported ({error}): pip install 'dhauds_jax[test-parity]'"
        ) from None


def state_of(variables: Mapping[str, Any], leaves: list[Any]) -> dict[str, Any]:
    """The tensors of some leaves of our tree, under PyTorch's names."""
    import torch

    wanted = {path for each in leaves for path in each.paths}
    flat = {path: leaf for path, leaf in flatten(variables).items() if path in wanted}
    return {key: torch.from_numpy(np.array(array)) for key, array in to_torch(unflatten(flat), leaves).items()}


def linear(state: Mapping[str, Any], name: str, x: Any) -> Any:
    """A fully connected layer."""
    return x @ state[f"{name}.weight"].T + state[f"{name}.bias"]


def _standard_conv(state: Mapping[str, Any], name: str, x: Any, stride: int = 1, padding: int = 0) -> Any:
    import torch

    weight = state[f"{name}.weight"]
    mean, var = weight.mean((1, 2), keepdim=True), weight.var((1, 2), keepdim=True, unbiased=False)
    return torch.conv1d(x, (weight - mean) / (var + 1e-5).sqrt(), stride=stride, padding=padding)


def _batch_norm(state: Mapping[str, Any], name: str, x: Any, eps: float) -> Any:
    from torch.nn import functional as F

    mean, var = state[f"{name}.running_mean"], state[f"{name}.running_var"]
    return F.batch_norm(x, mean, var, state[f"{name}.weight"], state[f"{name}.bias"], eps=eps)


def _layer_norm(state: Mapping[str, Any], name: str, x: Any, eps: float) -> Any:
    from torch.nn import functional as F

    return F.layer_norm(x, x.shape[-1:], state[f"{name}.weight"], state[f"{name}.bias"], eps)


def _stem(state: Mapping[str, Any], name: str, x: Any) -> Any:
    from torch.nn import functional as F

    x = _batch_norm(state, f"{name}.1", _standard_conv(state, f"{name}.0", x, 2, 6), 1e-6)
    return F.max_pool1d(F.relu(x), 6, 2, 2)


def _bottleneck(state: Mapping[str, Any], name: str, x: Any, stride: int) -> Any:
    from torch.nn import functional as F

    y = F.relu(_batch_norm(state, f"{name}.norm1", _standard_conv(state, f"{name}.conv1", x), 1e-6))
    y = F.relu(_batch_norm(state, f"{name}.norm2", _standard_conv(state, f"{name}.conv2", y, stride, 3), 1e-6))
    y = _batch_norm(state, f"{name}.norm3", _standard_conv(state, f"{name}.conv3", y), 1e-6)
    if f"{name}.downsample.weight" in state:
        x = _batch_norm(state, f"{name}.ds_gn", _standard_conv(state, f"{name}.downsample", x, stride), 1e-5)
    return F.relu(x + y)


def head_logits(variables: Mapping[str, Any], config: ClassifierConfig, tokens: Any) -> Any:
    """Logits (batch, classes) of a config's head over tokens (batch, tokens, width), all torch tensors."""
    kind = config.head["kind"]
    own = {"token_pool": spectrogram.head_leaves("original"), hubert.PROJECTED: hubert.projected_leaves()}
    leaves = own[kind] if kind in own else head_leaves(config.head)
    state = state_of(variables, leaves)
    if kind == "audio_classifier":
        x = linear(state, "fc2", linear(state, "fc1", tokens.mean(1)))
        x = _batch_norm(state, "bn2", x, 1e-6)
        g, v = (state[f"fc3.parametrizations.weight.original{i}"] for i in (0, 1))
        return x @ (g * v / v.norm(dim=1, keepdim=True)).T + state["fc3.bias"]
    if kind == "hub_classifier":
        x, block = _stem(state, "root", tokens.transpose(1, 2)), 0
        for blocks in config.head["stages"]:
            for i in range(1 + blocks):
                x = _bottleneck(state, f"layers.{block}", x, 2 if i == 0 else 1)
                block += 1
        return linear(state, "fc2", _layer_norm(state, "norm1", linear(state, "fc1", x.mean(-1)), 1e-5))
    if kind == hubert.PROJECTED:
        return linear(state, "classifier", linear(state, "projector", tokens).mean(1))
    if kind == "token_pool":
        prefix, epsilon = config.head["prefix"], config.head["epsilon"]
        pooled = (tokens[:, prefix:] if config.head["pool"] == "average" else tokens[:, :prefix]).mean(1)
        return linear(state, "mlp_head.1", _layer_norm(state, "mlp_head.0", pooled, epsilon))
    import torch

    two = tokens[:, :2] if config.head.get("pair", "ends") == "first" else tokens[:, [0, -1]]
    x = torch.conv1d(two, state["merge.weight"], state["merge.bias"], padding=7)[:, 0]
    return linear(state, "fc", _layer_norm(state, "norm", x, 1e-6))


def amaut_layers(variables: Mapping[str, Any], config: ClassifierConfig, features: Any) -> dict[str, Any]:
    """AMAuT's activations by our names, each (batch, time, channels); features (batch, frames, mels)."""
    import torch

    sizes = config.geometry
    state = state_of(variables, amaut.encoder_leaves(sizes))
    seen: dict[str, Any] = {}
    x = _stem(state, "embedding.restnet.root", features.transpose(1, 2))
    seen["stem"], block = x.transpose(1, 2), 0
    for stage, blocks in enumerate(sizes["stages"]):
        for i in range(1 + blocks):
            x = _bottleneck(state, f"embedding.restnet.layers.{block}", x, 2 if stage and not i else 1)
            seen[f"block{block}"], block = x.transpose(1, 2), block + 1
    embed = "embedding.patch_embedding"
    x = torch.conv1d(x, state[f"{embed}.weight"], state[f"{embed}.bias"]).transpose(1, 2)
    ends = [state[name].expand(len(x), 1, -1) for name in ("cls_token", "tail_token")]
    x = torch.cat([ends[0], x, ends[1]], 1) + state["pos_embed"]
    for i in range(sizes["depth"]):
        x = _amaut_block(state, f"layers.{i}", x, sizes)
        seen[f"layer{i}"] = x
    seen["tokens"] = _layer_norm(state, "tf_norm", x, 1e-6)
    return seen


def _amaut_block(state: Mapping[str, Any], name: str, x: Any, sizes: Mapping[str, Any]) -> Any:
    from torch.nn import functional as F

    y = _layer_norm(state, f"{name}.attention_norm", x, 1e-6)

    def heads(part: str) -> Any:
        return linear(state, f"{name}.attention.{part}", y).unflatten(-1, (sizes["heads"], -1)).transpose(1, 2)

    mixed = F.scaled_dot_product_attention(heads("q"), heads("k"), heads("v")).transpose(1, 2).flatten(2)
    x = x + linear(state, f"{name}.attention.o", mixed)
    y = _layer_norm(state, f"{name}.ffn_norm", x, 1e-6) if sizes["mlp_norm"] == "applied" else x
    return x + linear(state, f"{name}.ffn.fc2", F.gelu(linear(state, f"{name}.ffn.fc1", y)))


def spectrogram_layers(variables: Mapping[str, Any], config: ClassifierConfig, features: Any) -> dict[str, Any]:
    """A spectrogram transformer's activations by our names, (batch, tokens, width); features (batch, frames, mels)."""
    state = state_of(variables, spectrogram.encoder_leaves(config.geometry, "original"))
    return spectrogram_activations(state, config.geometry, features)


def spectrogram_activations(state: Mapping[str, Any], sizes: Mapping[str, Any], features: Any) -> dict[str, Any]:
    """As `spectrogram_layers`, from torch tensors under the authors' names and a geometry."""
    import torch
    from torch.nn import functional as F

    patch = state["v.patch_embed.proj.weight"], state["v.patch_embed.proj.bias"]
    x = F.conv2d(features.transpose(1, 2)[:, None], *patch, stride=tuple(sizes["stride"])).flatten(2).transpose(1, 2)
    seen: dict[str, Any] = {"patches": x}
    ends = [state[f"v.{name}"].expand(len(x), 1, -1) for name in ("cls_token", "dist_token")[: sizes["prefix"]]]
    x = torch.cat([*ends, x], 1) + state["v.pos_embed"]
    for i in range(sizes["depth"]):
        x = _vit_block(state, f"v.blocks.{i}", x, sizes)
        seen[f"block {i + 1}"] = x
    seen["tokens"] = _layer_norm(state, "v.norm", x, sizes["epsilon"])
    return seen


def _vit_block(state: Mapping[str, Any], name: str, x: Any, sizes: Mapping[str, Any]) -> Any:
    from torch.nn import functional as F

    y = linear(state, f"{name}.attn.qkv", _layer_norm(state, f"{name}.norm1", x, sizes["epsilon"]))
    q, k, v = y.unflatten(-1, (3, sizes["heads"], -1)).permute(2, 0, 3, 1, 4)
    mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
    x = x + linear(state, f"{name}.attn.proj", mixed)
    y = linear(state, f"{name}.mlp.fc1", _layer_norm(state, f"{name}.norm2", x, sizes["epsilon"]))
    return x + linear(state, f"{name}.mlp.fc2", F.gelu(y))
