"""HuBERT's weight map from the names of torchaudio, Hugging Face and fairseq, and what a file's shapes tell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from converters.heads import IGNORE, head_leaves
from converters.mapping import (
    CONV1D,
    LINEAR,
    Leaf,
    StateDict,
    Transform,
    canonical,
    conv,
    dense,
    leaf,
    norm,
    prefixed,
    stack,
)
from dhauds_jax.errors import BadInput
from dhauds_jax.nets.config import ClassifierConfig
from dhauds_jax.nets.hubert_zoo import WAV2VEC2_CONVS


class Names(NamedTuple):
    """Where a key style keeps the parts of the encoder; `{}` is the number of a convolution or block."""

    conv: str
    group_norm: str
    layer_norm: str
    projection_norm: str
    projection: str
    positional: str
    last_norm: str
    block: str
    q_k_v_out: tuple[str, str, str, str]
    attention_norm: str
    feed_forward: tuple[str, str]
    final_norm: str


_ATTENTION = ("attention.q_proj", "attention.k_proj", "attention.v_proj", "attention.out_proj")
_FEED = ("feed_forward.intermediate_dense", "feed_forward.output_dense")
_CONVS = "feature_extractor.conv_layers.{}"

STYLES: dict[str, Names] = {
    "torchaudio": Names(
        f"{_CONVS}.conv",
        f"{_CONVS}.layer_norm",
        f"{_CONVS}.layer_norm",
        "encoder.feature_projection.layer_norm",
        "encoder.feature_projection.projection",
        "encoder.transformer.pos_conv_embed.conv",
        "encoder.transformer.layer_norm",
        "encoder.transformer.layers.{}",
        _ATTENTION,
        "layer_norm",
        _FEED,
        "final_layer_norm",
    ),
    "huggingface": Names(
        f"{_CONVS}.conv",
        f"{_CONVS}.layer_norm",
        f"{_CONVS}.layer_norm",
        "feature_projection.layer_norm",
        "feature_projection.projection",
        "encoder.pos_conv_embed.conv",
        "encoder.layer_norm",
        "encoder.layers.{}",
        _ATTENTION,
        "layer_norm",
        _FEED,
        "final_layer_norm",
    ),
    "fairseq": Names(
        f"{_CONVS}.0",
        f"{_CONVS}.2",
        f"{_CONVS}.2.1",
        "layer_norm",
        "post_extract_proj",
        "encoder.pos_conv.0",
        "encoder.layer_norm",
        "encoder.layers.{}",
        ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.out_proj"),
        "self_attn_layer_norm",
        ("fc1", "fc2"),
        "final_layer_norm",
    ),
}
"""Key styles by the package that writes them."""

STYLE_IGNORE: dict[str, tuple[str, ...]] = {
    "torchaudio": (r"aux\.(weight|bias)",),
    "huggingface": (
        r"masked_spec_embed",
        r"lm_head\.(weight|bias)",
        r"(projector|classifier)\.(weight|bias)",
        "layer_weights",
    ),
    "fairseq": (r"mask_emb", r"label_embs_concat", r"final_proj\.(weight|bias)"),
}
"""Keys set aside by style: masks and heads of pre-training and speech recognition."""

WRAPPERS = ("hubert.", "wav2vec2.")
"""Prefixes under which a larger model of transformers or torchaudio keeps the encoder."""


PROJECTED = "projected_mean"
"""The kind of head that `HubertForSequenceClassification` has."""


def own_head(state: StateDict) -> tuple[dict[str, Any], int] | None:
    """The head in the file of an encoder and its number of classes, None where it has none."""
    if "projector.weight" not in state or "classifier.weight" not in state:
        return None
    return {"kind": PROJECTED, "features": state["projector.weight"].shape[0]}, state["classifier.weight"].shape[0]


def fused(depth: int) -> Transform:
    """Per block q, k and v (in this order) become one array side by side, the blocks a stack."""

    def there(arrays: list[np.ndarray]) -> list[np.ndarray]:
        turned = [a.T if a.ndim == 2 else a for a in arrays]
        return [np.stack([np.concatenate(turned[3 * i : 3 * i + 3], -1) for i in range(depth)])]

    def back(arrays: list[np.ndarray]) -> list[np.ndarray]:
        parts = [part for block in arrays[0] for part in np.split(block, 3, -1)]
        return [p.T if p.ndim == 2 else p for p in parts]

    return Transform(there, back)


_TAPS = Transform(lambda arrays: [a[0, 0] for a in arrays], lambda arrays: [a[None, None] for a in arrays])


def encoder_leaves(geometry: Mapping[str, Any], style: str) -> list[Leaf]:
    """The leaves of the encoder (a config's `geometry`), source keys without prefix."""
    names, ours, depth = STYLES[style], "encoder", geometry["depth"]
    leaves = []
    for i in range(len(geometry["convs"])):
        leaves += conv(f"{ours}/front_end/conv{i}", names.conv.format(i), geometry["conv_bias"])
        if geometry["conv_norm"] == "layer":
            leaves += norm(f"{ours}/front_end/layer_norm{i}", names.layer_norm.format(i))
        elif i == 0:
            leaves += norm(f"{ours}/front_end/group_norm0", names.group_norm.format(i))
    leaves += norm(f"{ours}/projection_layer_norm", names.projection_norm) + dense(
        f"{ours}/projection", names.projection
    )
    leaves += [
        leaf(f"params/{ours}/positional/g", f"{names.positional}.parametrizations.weight.original0", _TAPS),
        leaf(f"params/{ours}/positional/v", f"{names.positional}.parametrizations.weight.original1", CONV1D),
        leaf(f"params/{ours}/positional/bias", f"{names.positional}.bias"),
        *norm(f"{ours}/layer_norm", names.last_norm),
    ]
    blocks = [names.block.format(i) for i in range(depth)]
    for ending, name in (("weight", "kernel"), ("bias", "bias")):
        keys = tuple(f"{block}.{part}.{ending}" for block in blocks for part in names.q_k_v_out[:3])
        leaves.append(Leaf((("params", ours, "blocks", "qkv", name),), keys, fused(depth)))
    linear = {"out": names.q_k_v_out[3], "intermediate": names.feed_forward[0], "output": names.feed_forward[1]}
    for name, part in linear.items():
        path = f"params/{ours}/blocks/{name}"
        leaves.append(stack(f"{path}/kernel", [f"{block}.{part}.weight" for block in blocks], LINEAR))
        leaves.append(stack(f"{path}/bias", [f"{block}.{part}.bias" for block in blocks]))
    for name, part in (("attention_layer_norm", names.attention_norm), ("final_layer_norm", names.final_norm)):
        path = f"params/{ours}/blocks/{name}"
        leaves.append(stack(f"{path}/scale", [f"{block}.{part}.weight" for block in blocks]))
        leaves.append(stack(f"{path}/bias", [f"{block}.{part}.bias" for block in blocks]))
    return leaves


def own_head_leaves(config: ClassifierConfig) -> list[Leaf]:
    """What `HubertForSequenceClassification` has beside its encoder, in the encoder's file."""
    found = []
    if config.geometry.get("layer_sum", "none") != "none":
        found.append(leaf("params/encoder/layer_weights", "layer_weights"))
    if config.head["kind"] == PROJECTED:
        found += projected_leaves()
    return prefixed(found, "encoder/")


def projected_leaves() -> list[Leaf]:
    """The leaves of the head of `HubertForSequenceClassification`."""
    return dense("head/projector", "projector") + dense("head/classifier", "classifier")


def leaves(config: ClassifierConfig, style: str, head: bool) -> list[Leaf]:
    """The leaves of the classifier; source keys start with `encoder/` or, where the head has a file, `head/`."""
    parts = prefixed(encoder_leaves(config.geometry, style), "encoder/")
    return parts + (prefixed(head_leaves(config.head), "head/") if head else [])


def ignore(style: str) -> tuple[str, ...]:
    """Patterns of keys that are set aside on purpose."""
    return tuple(f"encoder/{pattern}" for pattern in STYLE_IGNORE[style]) + tuple(f"head/{p}" for p in IGNORE)


def unwrapped(state_dict: StateDict) -> tuple[dict[str, np.ndarray], str]:
    """The state dict under canonical names without the prefix of a larger model, and that prefix ("" if none)."""
    state = canonical(state_dict)
    for prefix in WRAPPERS:
        if any(key.startswith(f"{prefix}feature_extractor.") for key in state):
            return {key.removeprefix(prefix): value for key, value in state.items()}, prefix
    return state, ""


def style_of(state_dict: StateDict) -> str | None:
    """The key style of a state dict (canonical, unwrapped), None if it is no HuBERT."""
    for style, names in STYLES.items():
        if f"{names.projection}.weight" in state_dict and f"{names.conv.format(0)}.weight" in state_dict:
            return style
    return None


def inferred_geometry(state: StateDict, style: str) -> dict[str, Any]:
    """What the shapes of an encoder show of its geometry (strides by the published taps; not heads, order or dropouts).

    Raises:
      BadInput: a tensor that the inference needs is missing; it is named.
    """
    names = STYLES[style]

    def shape(key: str) -> tuple[int, ...]:
        if key not in state:
            raise BadInput(f"encoder: {key!r} is missing, expected it in a file of {style} names")
        return tuple(state[key].shape)

    convs = []
    while f"{names.conv.format(len(convs))}.weight" in state:
        channels, _, taps = shape(f"{names.conv.format(len(convs))}.weight")
        convs.append([channels, taps])
    depth = 0
    while f"{names.block.format(depth)}.{names.feed_forward[0]}.weight" in state:
        depth += 1
    width, inputs, taps = shape(f"{names.positional}.parametrizations.weight.original1")
    geometry: dict[str, Any] = {
        "conv_bias": f"{names.conv.format(0)}.bias" in state,
        "conv_norm": "layer" if f"{names.layer_norm.format(1)}.weight" in state else "group",
        "width": width,
        "depth": depth,
        "feed_forward": shape(f"{names.block.format(0)}.{names.feed_forward[0]}.weight")[0],
        "positional_taps": taps,
        "positional_groups": width // inputs,
    }
    if tuple(taps for _, taps in convs) == tuple(taps for taps, _ in WAV2VEC2_CONVS):
        geometry["convs"] = [[channels, *conv] for (channels, _), conv in zip(convs, WAV2VEC2_CONVS)]
    return geometry
