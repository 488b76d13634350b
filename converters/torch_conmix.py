"""CoNMix as plain PyTorch functions over a state dict, for `--verify` alone, written from the published layout."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from converters import conmix
from converters.torch_side import linear, state_of
from dhauds_jax.nets.config import ClassifierConfig


def _conv(state: Mapping[str, Any], name: str, x: Any, stride: int = 1) -> Any:
    import torch

    weight = state[f"{name}.weight"]
    var, mean = torch.var_mean(weight, (1, 2, 3), correction=0, keepdim=True)
    weight = (weight - mean) / torch.sqrt(var + 1e-5)
    return torch.conv2d(x, weight, stride=stride, padding=weight.shape[-1] // 2)


def _norm(state: Mapping[str, Any], name: str, x: Any, groups: int, eps: float) -> Any:
    from torch.nn import functional as F

    return F.group_norm(x, groups, state[f"{name}.weight"], state[f"{name}.bias"], eps)


def _unit(state: Mapping[str, Any], name: str, x: Any, stride: int, groups: int) -> Any:
    y = _norm(state, f"{name}.gn1", _conv(state, f"{name}.conv1", x), groups, 1e-6).relu()
    y = _norm(state, f"{name}.gn2", _conv(state, f"{name}.conv2", y, stride), groups, 1e-6).relu()
    y = _norm(state, f"{name}.gn3", _conv(state, f"{name}.conv3", y), groups, 1e-6)
    if f"{name}.downsample.weight" in state:
        x = _conv(state, f"{name}.downsample", x, stride)
        x = _norm(state, f"{name}.gn_proj", x, x.shape[1], 1e-5)
    return (x + y).relu()


def _block(state: Mapping[str, Any], name: str, x: Any, heads: int) -> Any:
    from torch.nn import functional as F

    def norm(part: str, y: Any) -> Any:
        return F.layer_norm(y, y.shape[-1:], state[f"{name}.{part}.weight"], state[f"{name}.{part}.bias"], 1e-6)

    def split(part: str) -> Any:
        return linear(state, f"{name}.attn.{part}", y).unflatten(-1, (heads, -1)).transpose(1, 2)

    y = norm("attention_norm", x)
    mixed = F.scaled_dot_product_attention(split("query"), split("key"), split("value")).transpose(1, 2).flatten(2)
    x = x + linear(state, f"{name}.attn.out", mixed)
    return x + linear(state, f"{name}.ffn.fc2", F.gelu(linear(state, f"{name}.ffn.fc1", norm("ffn_norm", x))))


def layers(variables: Mapping[str, Any], config: ClassifierConfig, images: Any) -> dict[str, Any]:
    """Activations by our names: "resnet" (batch, rows, columns, channels), "tokens" (batch, 1, features), "logits".

    Args:
      variables: of the classifier, NumPy.
      config: its record.
      images: (batch, rows, columns) tensor in dB.
    """
    import torch
    from torch.nn import functional as F

    state, sizes = state_of(variables, conmix.leaves(config, "torch")), config.geometry
    own = variables["batch_stats"]["encoder"]["input_norm"]
    x = (images - float(own["mean"][0])) / float(own["deviation"][0])
    hybrid, seen = "encoder/transformer.embeddings.hybrid_model", {}
    x = _conv(state, f"{hybrid}.root.conv", x[:, None].expand(-1, 3, -1, -1), 2)
    x = F.max_pool2d(_norm(state, f"{hybrid}.root.gn", x, sizes["groups"], 1e-6).relu(), 3, 2)
    for block, units in enumerate(sizes["units"], 1):
        for unit in range(1, units + 1):
            name = f"{hybrid}.body.block{block}.unit{unit}"
            x = _unit(state, name, x, 2 if block > 1 and unit == 1 else 1, sizes["groups"])
    seen["resnet"] = x.permute(0, 2, 3, 1)
    patches = "encoder/transformer.embeddings.patch_embeddings"
    x = torch.conv2d(x, state[f"{patches}.weight"], state[f"{patches}.bias"]).flatten(2).transpose(1, 2)
    for i in range(sizes["depth"]):
        x = _block(state, f"encoder/transformer.encoder.layer.{i}", x, sizes["heads"])
    last = "encoder/transformer.encoder.encoder_norm"
    x = F.layer_norm(x, x.shape[-1:], state[f"{last}.weight"], state[f"{last}.bias"], 1e-6)
    x = linear(state, "encoder/decoder.fc", x.mean(1))
    seen["tokens"] = x[:, None]
    x, bn = linear(state, "bottleneck/bottleneck", x), "bottleneck/bn"
    moments = (state[f"{bn}.running_mean"], state[f"{bn}.running_var"])
    x = F.batch_norm(x, *moments, state[f"{bn}.weight"], state[f"{bn}.bias"], eps=1e-5)
    g, v = (state[f"classifier/fc.parametrizations.weight.original{i}"] for i in (0, 1))
    seen["logits"] = x @ (g * v / v.norm(dim=1, keepdim=True)).T + state["classifier/fc.bias"]
    return seen
