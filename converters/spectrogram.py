"""The weight maps of AST and SSAST: the original files (timm's names under `v.`) and Hugging Face's, old and new.

One file holds all: encoder, head where there is one (`mlp_head`, `classifier`), and in self-supervised files the mask's
embedding and two predictors. A DataParallel prefix `module.` may be there or not.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from converters.hubert import fused
from converters.mapping import LINEAR, Leaf, StateDict, Transform, dense, leaf, norm, prefixed, stack
from dhauds_jax.errors import BadInput
from dhauds_jax.nets.config import ClassifierConfig


class Names(NamedTuple):
    """Where a key style keeps the parts; `{}` is the number of a block, `top` comes before all but the head."""

    top: str
    tokens: tuple[str, str]
    positions: str
    patch: str
    block: str
    norms: tuple[str, str]
    qkv: tuple[str, ...]
    out: str
    mlp: tuple[str, str]
    last_norm: str
    head: tuple[str, str]


_FACE = Names(
    "audio_spectrogram_transformer.",
    ("embeddings.cls_token", "embeddings.distillation_token"),
    "embeddings.position_embeddings",
    "embeddings.patch_embeddings.projection",
    "layers.{}",
    ("layernorm_before", "layernorm_after"),
    ("attention.q_proj", "attention.k_proj", "attention.v_proj"),
    "attention.o_proj",
    ("mlp.fc1", "mlp.fc2"),
    "layernorm",
    ("classifier.layernorm", "classifier.dense"),
)
_FACE4 = _FACE._replace(
    block="encoder.layer.{}",
    qkv=tuple(f"attention.attention.{name}" for name in ("query", "key", "value")),
    out="attention.output.dense",
    mlp=("intermediate.dense", "output.dense"),
)

STYLES: dict[str, Names] = {
    "original": Names(
        "v.",
        ("cls_token", "dist_token"),
        "pos_embed",
        "patch_embed.proj",
        "blocks.{}",
        ("norm1", "norm2"),
        ("attn.qkv",),
        "attn.proj",
        ("mlp.fc1", "mlp.fc2"),
        "norm",
        ("mlp_head.0", "mlp_head.1"),
    ),
    "huggingface": _FACE,
    "huggingface_4": _FACE4,
    "huggingface_bare": _FACE._replace(top=""),
    "huggingface_4_bare": _FACE4._replace(top=""),
}
"""Key styles by the package that writes them. transformers has new names in memory since version 5, its files keep the
old ones ("huggingface_4")."""

IGNORE = (r"v\.(head|head_dist)\.(weight|bias)", r"p_input_[ft]dim")
"""Keys set aside: timm's two ImageNet heads, which nothing reads, and the size of pretraining's spectrogram."""

PREDICTORS = {"contrast": "cpredlayer", "generate": "gpredlayer"}
"""The two predictors of pretraining, by our names."""

_VECTOR = Transform(lambda arrays: [a[0, 0] for a in arrays], lambda arrays: [a[None, None] for a in arrays])
_TABLE = Transform(lambda arrays: [a[0] for a in arrays], lambda arrays: [a[None] for a in arrays])


def _patch(patch: tuple[int, int]) -> Transform:
    """A convolution's kernel (width, 1, bins, frames) as a linear one (bins * frames, width)."""
    return Transform(
        lambda arrays: [a.reshape(a.shape[0], -1).T for a in arrays],
        lambda arrays: [a.T.reshape(-1, 1, *patch) for a in arrays],
    )


def encoder_leaves(geometry: Mapping[str, Any], style: str) -> list[Leaf]:
    """The leaves of the encoder (a config's `geometry`), source keys as in the file without `module.`."""
    names, ours, depth = STYLES[style], "params/encoder", geometry["depth"]
    leaves = [
        *([leaf(f"{ours}/cls_token", names.tokens[0], _VECTOR)] if geometry["prefix"] else []),
        *([leaf(f"{ours}/dist_token", names.tokens[1], _VECTOR)] if geometry["prefix"] == 2 else []),
        leaf(f"{ours}/positions", names.positions, _TABLE),
        leaf(f"{ours}/patch_embed/kernel", f"{names.patch}.weight", _patch(tuple(geometry["patch"]))),
        leaf(f"{ours}/patch_embed/bias", f"{names.patch}.bias"),
        *norm("encoder/layer_norm", names.last_norm),
    ]
    blocks, ours = [names.block.format(i) for i in range(depth)], f"{ours}/blocks"
    linear = {"out": names.out, "mlp1": names.mlp[0], "mlp2": names.mlp[1]}
    if len(names.qkv) == 1:
        linear["qkv"] = names.qkv[0]
    else:
        for ending, name in (("weight", "kernel"), ("bias", "bias")):
            keys = tuple(f"{block}.{part}.{ending}" for block in blocks for part in names.qkv)
            leaves.append(Leaf((tuple(f"{ours}/qkv/{name}".split("/")),), keys, fused(depth)))
    for name, part in linear.items():
        leaves.append(stack(f"{ours}/{name}/kernel", [f"{block}.{part}.weight" for block in blocks], LINEAR))
        leaves.append(stack(f"{ours}/{name}/bias", [f"{block}.{part}.bias" for block in blocks]))
    for name, part in zip(("layer_norm1", "layer_norm2"), names.norms):
        leaves.append(stack(f"{ours}/{name}/scale", [f"{block}.{part}.weight" for block in blocks]))
        leaves.append(stack(f"{ours}/{name}/bias", [f"{block}.{part}.bias" for block in blocks]))
    return prefixed(leaves, names.top)


def head_leaves(style: str) -> list[Leaf]:
    """The leaves of the head."""
    before, last = STYLES[style].head
    return norm("head/layer_norm", before) + dense("head/classifier", last)


def leaves(config: ClassifierConfig, style: str, pretraining: bool) -> list[Leaf]:
    """The leaves of a file whose keys start with `encoder/`: encoder and pretraining's, or encoder and head.

    A bare encoder of Hugging Face's has no head.
    """
    found = encoder_leaves(config.geometry, style)
    if pretraining:
        found += pretraining_leaves()
    elif not style.endswith("_bare"):
        found += head_leaves(style)
    return prefixed(found, "encoder/")


def pretraining_leaves() -> list[Leaf]:
    """The leaves of pretraining alone; their paths start with "pretraining"."""
    leaves = [leaf("pretraining/mask_embed", "mask_embed", _VECTOR)]
    for ours, theirs in PREDICTORS.items():
        for place, name in ((0, "hidden"), (2, "output")):
            leaves.append(leaf(f"pretraining/{ours}/{name}/kernel", f"{theirs}.{place}.weight", LINEAR))
            leaves.append(leaf(f"pretraining/{ours}/{name}/bias", f"{theirs}.{place}.bias"))
    return leaves


def style_of(state: StateDict) -> str | None:
    """The key style of a state dict (without `module.`), None if it is no spectrogram transformer."""
    for style, names in STYLES.items():
        first = f"{names.top}{names.block.format(0)}.{names.qkv[0]}.weight"
        if first in state and f"{names.top}{names.patch}.weight" in state:
            return style
    return None


def classes_of(state: StateDict, style: str) -> int | None:
    """Outputs of the head in the file, None where it has none."""
    weight = state.get(f"{STYLES[style].head[1]}.weight")
    return None if weight is None else weight.shape[0]


def has_predictors(state: StateDict) -> bool:
    """Whether the file is one of self-supervised pretraining."""
    return "mask_embed" in state or any(f"{name}.0.weight" in state for name in PREDICTORS.values())


def inferred_geometry(state: StateDict, style: str) -> dict[str, Any]:
    """What the shapes show of the geometry (not heads, stride or epsilon).

    Raises:
      BadInput: a tensor that the inference needs is missing; it is named.
    """
    names = STYLES[style]

    def shape(key: str) -> tuple[int, ...]:
        if names.top + key not in state:
            raise BadInput(f"encoder: {names.top + key!r} is missing, expected it in a file of {style} names")
        return tuple(np.shape(state[names.top + key]))

    depth = 0
    while f"{names.top}{names.block.format(depth)}.{names.qkv[0]}.weight" in state:
        depth += 1
    width, _, bins, frames = shape(f"{names.patch}.weight")
    return {
        "width": width,
        "depth": depth,
        "mlp": shape(f"{names.block.format(0)}.{names.mlp[0]}.weight")[0],
        "patch": [bins, frames],
        "prefix": sum(names.top + token in state for token in names.tokens),
    }


def fresh_ignored(config: ClassifierConfig, pretraining: bool) -> dict[str, np.ndarray]:
    """What the authors' modules have and our tree has not: two unread heads (zeros), pretraining's spectrogram size."""
    files = config.source.get("files", [])
    if files and files[0].get("style", "original") != "original":
        return {}
    width, made = config.geometry["width"], {}
    for name in ("head", "head_dist") if config.geometry["prefix"] == 2 else ("head",):
        made[f"encoder/v.{name}.weight"] = np.zeros((1000, width), np.float32)
        made[f"encoder/v.{name}.bias"] = np.zeros(1000, np.float32)
    if pretraining and config.geometry["stride"] == config.geometry["patch"] and config.front_end["frames"]:
        made["encoder/p_input_fdim"] = np.asarray(config.front_end["n_mels"], np.int64)
        made["encoder/p_input_tdim"] = np.asarray(config.front_end["frames"], np.int64)
    return made


def patches_of(state: StateDict, style: str, prefix: int) -> int:
    """Patches that the position table is made for."""
    names = STYLES[style]
    return int(np.shape(state[names.top + names.positions])[1]) - prefix
