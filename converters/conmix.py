"""CoNMix's weight maps: the ImageNet-21k checkpoint that its network starts from, and the three files it trains.

The start is `R50+ViT-B_16.npz`, in the names of the vision transformer's own JAX code, kernels in our layout already.
The trained files are `modelF` (everything up to the last linear layer of the encoder), `modelB` (a linear map and its
BatchNorm) and `modelC` (the weight-normed classifier).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from converters import by_map
from converters.families import Content, Family, Part, Planned, Request
from converters.heads import IGNORE
from converters.mapping import (
    LINEAR,
    SAME,
    Leaf,
    Path,
    StateDict,
    Transform,
    batch_norm,
    dense,
    leaf,
    norm,
    permuted,
    prefixed,
    reshaped,
    stack,
    weight_norm_dense,
)
from dhauds_jax.errors import BadInput
from dhauds_jax.nets import mel_image
from dhauds_jax.nets.config import ClassifierConfig
from dhauds_jax.nets.conmix import DECODER_CONVS
from dhauds_jax.nets.conmix_zoo import GEOMETRY
from dhauds_jax.nets.layers import Dense

WRAPPER = "feature_extractor."
"""Prefix under which a module around the network keeps it."""

DECODER = r"decoder\.blocks\.\d+\..*"
"""TransUNet's decoder, which the reference builds and never runs."""

NPZ_IGNORE = (r"cls", r"(pre_logits|head)/(kernel|bias)", r"Transformer/posembed_input/pos_embedding")
"""What the network does not take from the ImageNet checkpoint: class token, positions (quirk 41), its classifier."""

CONV2D = permuted(2, 3, 1, 0)
"""A 2-D convolution's kernel: (outputs, inputs, rows, columns) -> (rows, columns, inputs, outputs)."""

_POINTWISE = Transform(
    lambda arrays: [np.transpose(a[:, :, 0, 0]) for a in arrays],
    lambda arrays: [np.transpose(a)[:, :, None, None] for a in arrays],
)
_FLAT = Transform(
    lambda arrays: [a.reshape(-1) for a in arrays], lambda arrays: [a.reshape(1, 1, 1, -1) for a in arrays]
)


def style_of(state: StateDict) -> str:
    """ "npz" for the ImageNet checkpoint, "torch" for a trained encoder, "" for anything else."""
    if "conv_root/kernel" in state and "embedding/kernel" in state:
        return "npz"
    return "torch" if "transformer.embeddings.hybrid_model.root.conv.weight" in state else ""


def unwrapped(state: StateDict) -> tuple[dict[str, np.ndarray], str]:
    """An encoder's state dict (canonical names) without the prefix of a module around it, and that prefix."""
    bare = {key.removeprefix(WRAPPER): value for key, value in state.items()}
    return (bare, WRAPPER) if style_of(bare) == "torch" and not style_of(state) else (dict(state), "")


def _units(units: tuple[int, ...] | list[int]) -> list[tuple[int, int]]:
    """(block, unit) of every residual unit, counted from 1."""
    return [(b + 1, u + 1) for b, count in enumerate(units) for u in range(count)]


def _torch_encoder(sizes: Mapping[str, Any]) -> list[Leaf]:
    ours, hybrid, layers = "encoder", "transformer.embeddings.hybrid_model", "transformer.encoder"
    leaves = [
        leaf(f"params/{ours}/resnet/root/kernel", f"{hybrid}.root.conv.weight", CONV2D),
        *norm(f"{ours}/resnet/group_norm_root", f"{hybrid}.root.gn"),
        leaf(f"params/{ours}/embed/kernel", "transformer.embeddings.patch_embeddings.weight", _POINTWISE),
        leaf(f"params/{ours}/embed/bias", "transformer.embeddings.patch_embeddings.bias"),
        *norm(f"{ours}/layer_norm", f"{layers}.encoder_norm"),
        *dense(f"{ours}/expand", "decoder.fc"),
    ]
    for block, unit in _units(sizes["units"]):
        path, key = f"{ours}/resnet/block{block}_unit{unit}", f"{hybrid}.body.block{block}.unit{unit}"
        for i in (1, 2, 3):
            leaves.append(leaf(f"params/{path}/conv{i}/kernel", f"{key}.conv{i}.weight", CONV2D))
            leaves += norm(f"{path}/group_norm{i}", f"{key}.gn{i}")
        if unit == 1:
            leaves.append(leaf(f"params/{path}/shortcut/kernel", f"{key}.downsample.weight", CONV2D))
            leaves += norm(f"{path}/group_norm_shortcut", f"{key}.gn_proj")

    def blocks(path: str, name: str, names: Mapping[str, tuple[str, Transform]]) -> list[Leaf]:
        return [
            stack(
                f"params/{ours}/blocks/{path}/{ending}",
                [f"{layers}.layer.{i}.{name}.{theirs}" for i in range(sizes["depth"])],
                transform,
            )
            for ending, (theirs, transform) in names.items()
        ]

    linear = {"kernel": ("weight", LINEAR), "bias": ("bias", SAME)}
    scales = {"scale": ("weight", SAME), "bias": ("bias", SAME)}
    for mine, theirs in _ATTENTION.items():
        leaves += blocks(f"attention/{mine}", f"attn.{theirs}", linear)
    for mine, theirs in (("mlp1", "ffn.fc1"), ("mlp2", "ffn.fc2")):
        leaves += blocks(mine, theirs, linear)
    for mine, theirs in (("layer_norm1", "attention_norm"), ("layer_norm2", "ffn_norm")):
        leaves += blocks(mine, theirs, scales)
    return leaves


_ATTENTION = {"q": "query", "k": "key", "v": "value", "o": "out"}


def _npz_encoder(sizes: Mapping[str, Any]) -> list[Leaf]:
    """The ImageNet checkpoint holds all but the last linear layer. Scales of group norms may be (1, 1, 1, channels)."""
    width, heads, ours = sizes["width"], sizes["heads"], "params/encoder"
    leaves = [leaf(f"{ours}/resnet/root/kernel", "conv_root/kernel")]
    leaves += [leaf(f"{ours}/resnet/group_norm_root/{name}", f"gn_root/{name}", _FLAT) for name in ("scale", "bias")]
    for block, unit in _units(sizes["units"]):
        path, key = f"{ours}/resnet/block{block}_unit{unit}", f"block{block}/unit{unit}"
        for mine, theirs in [(str(i), str(i)) for i in (1, 2, 3)] + ([("_shortcut", "_proj")] if unit == 1 else []):
            conv = f"conv{mine}" if mine != "_shortcut" else "shortcut"
            leaves.append(leaf(f"{path}/{conv}/kernel", f"{key}/conv{theirs}/kernel"))
            leaves += [
                leaf(f"{path}/group_norm{mine}/{name}", f"{key}/gn{theirs}/{name}", _FLAT) for name in ("scale", "bias")
            ]
    leaves.append(leaf(f"{ours}/embed/kernel", "embedding/kernel", reshaped((1, 1, -1, width), (-1, width))))
    leaves.append(leaf(f"{ours}/embed/bias", "embedding/bias"))
    leaves += [leaf(f"{ours}/layer_norm/{name}", f"Transformer/encoder_norm/{name}") for name in ("scale", "bias")]

    def blocks(path: str, name: str, transform: Transform = SAME) -> Leaf:
        keys = [f"Transformer/encoderblock_{i}/{name}" for i in range(sizes["depth"])]
        return stack(f"{ours}/blocks/{path}", keys, transform)

    split = reshaped((width, heads, -1), (width, width))
    joined = reshaped((heads, -1, width), (width, width))
    for mine, theirs in _ATTENTION.items():
        key = f"MultiHeadDotProductAttention_1/{theirs}"
        leaves.append(blocks(f"attention/{mine}/kernel", f"{key}/kernel", joined if mine == "o" else split))
        leaves.append(blocks(f"attention/{mine}/bias", f"{key}/bias", SAME if mine == "o" else _biases(heads)))
    for mine, theirs in (("mlp1", "MlpBlock_3/Dense_0"), ("mlp2", "MlpBlock_3/Dense_1")):
        leaves += [blocks(f"{mine}/{name}", f"{theirs}/{name}") for name in ("kernel", "bias")]
    for mine, theirs in (("layer_norm1", "LayerNorm_0"), ("layer_norm2", "LayerNorm_2")):
        leaves += [blocks(f"{mine}/{name}", f"{theirs}/{name}") for name in ("scale", "bias")]
    return leaves


def _biases(heads: int) -> Transform:
    return reshaped((heads, -1), (-1,))


def leaves(config: ClassifierConfig, style: str) -> list[Leaf]:
    """The leaves that the files of a style hold; source keys start with `encoder/`, `bottleneck/`, `classifier/`."""
    if style == "npz":
        return prefixed(_npz_encoder(config.geometry), "encoder/")
    return [
        *prefixed(_torch_encoder(config.geometry), "encoder/"),
        *prefixed(dense("head/squeeze", "bottleneck") + batch_norm("head/batch_norm", "bn"), "bottleneck/"),
        *prefixed(weight_norm_dense("head/classifier", "fc"), "classifier/"),
    ]


def ignore(style: str) -> tuple[str, ...]:
    """Patterns of keys that are set aside on purpose."""
    aside = NPZ_IGNORE if style == "npz" else (DECODER, *IGNORE)
    return tuple(f"(encoder|bottleneck)/{pattern}" for pattern in aside)


def inferred_geometry(state: StateDict, style: str) -> dict[str, Any]:
    """What the shapes of an encoder show of its geometry (heads only in the ImageNet checkpoint; not groups, dropout).

    Raises:
      BadInput: a tensor that the inference needs is missing; it is named.
    """

    def shape(key: str) -> tuple[int, ...]:
        if key not in state:
            raise BadInput(f"encoder: {key!r} is missing, expected it in a file of a CoNMix network")
        return tuple(state[key].shape)

    def count(name: Callable[[int], str]) -> int:
        found = 0
        while name(found) in state:
            found += 1
        return found

    if style == "npz":
        blocks = "Transformer/encoderblock_{}/MlpBlock_3/Dense_0/kernel"
        width, heads, _ = shape("Transformer/encoderblock_0/MultiHeadDotProductAttention_1/query/kernel")
        return {
            "root": shape("conv_root/kernel")[-1],
            "units": [count(lambda u, b=b: f"block{b}/unit{u + 1}/conv1/kernel") for b in (1, 2, 3)],
            "width": width,
            "depth": count(blocks.format),
            "heads": heads,
            "mlp": shape(blocks.format(0))[1],
        }
    hybrid, blocks = "transformer.embeddings.hybrid_model", "transformer.encoder.layer.{}.ffn.fc1.weight"
    return {
        "root": shape(f"{hybrid}.root.conv.weight")[0],
        "units": [count(lambda u, b=b: f"{hybrid}.body.block{b}.unit{u + 1}.conv1.weight") for b in (1, 2, 3)],
        "width": shape(blocks.format(0))[1],
        "depth": count(blocks.format),
        "mlp": shape(blocks.format(0))[0],
        "features": shape("decoder.fc.weight")[0],
    }


def inferred_head(bottleneck: StateDict, classifier: StateDict) -> tuple[dict[str, Any], int]:
    """The head that modelB and modelC hold, and its number of classes."""
    features = bottleneck["bottleneck.weight"].shape[0]
    return {"kind": "bottleneck", "features": features}, classifier["fc.parametrizations.weight.original1"].shape[0]


def fresh(config: ClassifierConfig) -> dict[str, np.ndarray]:
    """What PyTorch's modules hold where our tree has nothing: a counter, and a decoder of zeros that nothing runs."""
    made = {"bottleneck/bn.num_batches_tracked": np.zeros((), np.int64)}
    for i, (inputs, outputs) in enumerate(DECODER_CONVS if config.geometry["root"] == 64 else ()):
        for conv, channels in (("conv1", inputs), ("conv2", outputs)):
            key = f"encoder/decoder.blocks.{i}.{conv}"
            made[f"{key}.0.weight"] = np.zeros((outputs, channels, 3, 3), np.float32)
            for name, value in (("weight", 1), ("bias", 0), ("running_mean", 0), ("running_var", 1)):
                made[f"{key}.1.{name}"] = np.full(outputs, value, np.float32)
            made[f"{key}.1.num_batches_tracked"] = np.zeros((), np.int64)
    return made


def statistics(config: ClassifierConfig, seed: int) -> dict[Path, np.ndarray]:
    """The input's statistics, which no file holds: the config's."""
    path = ("batch_stats", "encoder", mel_image.NAME)
    return {(*path, name): np.full((1,), config.front_end[name], np.float32) for name in ("mean", "deviation")}


def beyond_imagenet(config: ClassifierConfig, seed: int) -> dict[Path, np.ndarray]:
    """What the ImageNet checkpoint lacks: the encoder's last layer and the head, random, and the statistics."""
    width, features = config.geometry["width"], config.geometry["features"]
    last = Dense(features).init(jax.random.fold_in(jax.random.key(seed), 1), jnp.zeros((1, width)))["params"]
    expand = {("params", "encoder", "expand", name): np.asarray(array) for name, array in last.items()}
    return {**expand, **statistics(config, seed), **by_map.drawn_head(config, 1, features, seed)}


def _head(parts: Mapping[str, Part]) -> tuple[dict[str, Any], int]:
    return inferred_head(parts["bottleneck"].state, parts["classifier"].state)


def _plan(request: Request) -> Planned:
    planned = by_map.plan(request)
    mean, deviation = (planned.config.front_end[name] for name in ("mean", "deviation"))
    note = (
        f"the files hold no statistics of the input: images are normalised with the config's mean {mean} and "
        f"deviation {deviation} dB, or in profile reference with those of the evaluated set"
    )
    return planned._replace(notes=[*planned.notes, note])


_ENDS = {f"fc.{name}" for name in ("bias", *(f"parametrizations.weight.original{i}" for i in (0, 1)))}

CLASSIFIER = Family(
    net="conmix",
    files=("encoder", "bottleneck", "classifier"),
    holds=(
        Content("CoNMix encoder", lambda state: "torch" if style_of(state) == "torch" else None, unwrapped),
        Content("CoNMix bottleneck", lambda state: "" if {"bottleneck.weight", "bn.weight"} <= set(state) else None),
        Content("CoNMix classifier", lambda state: "" if set(state) == _ENDS else None),
    ),
    geometry=GEOMETRY,
    infer=lambda part: inferred_geometry(part.state, part.style),
    leaves=lambda config, style, held: leaves(config, "torch"),
    ignore=lambda config, style: ignore("torch"),
    fresh=lambda config, held: fresh(config),
    plan=_plan,
    fresh_leaves=statistics,
    head=_head,
)

IMAGENET = Family(
    net="conmix",
    files=("encoder",),
    holds=(Content("ImageNet-21k hybrid", lambda state: "npz" if style_of(state) == "npz" else None),),
    geometry=GEOMETRY,
    infer=CLASSIFIER.infer,
    leaves=lambda config, style, held: leaves(config, "npz"),
    ignore=lambda config, style: ignore("npz"),
    fresh=lambda config, held: {},
    plan=_plan,
    fresh_leaves=beyond_imagenet,
)
