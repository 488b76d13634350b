"""The weight map of AMAuT: a pair of files, encoder (`aut-*.pt`) and head (`clsf-*.pt`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from converters import by_map
from converters.families import Content, Family
from converters.heads import HEAD, IGNORE, bottleneck, head_leaves, head_of, stem
from converters.mapping import (
    CONV1D,
    Converted,
    Leaf,
    StateDict,
    Transform,
    dense,
    leaf,
    merge,
    norm,
    prefixed,
    split,
    to_flax,
    to_torch,
)
from dhauds_jax.nets import zoo
from dhauds_jax.nets.amaut_zoo import GEOMETRY
from dhauds_jax.nets.config import ClassifierConfig
from dhauds_jax.types import Variables

DEAD_NORMS = r"encoder/layers\.\d+\.ffn_norm\.(weight|bias)"
"""Each block's second LayerNorm, which the reference computes and throws away."""

_TOKEN = Transform(lambda arrays: [a[0, 0] for a in arrays], lambda arrays: [a[None, None] for a in arrays])
_POSITIONS = Transform(lambda arrays: [a[0] for a in arrays], lambda arrays: [a[None] for a in arrays])
_POINTWISE = Transform(
    lambda arrays: [CONV1D.there([a])[0][0] for a in arrays], lambda arrays: [CONV1D.back([a[None]])[0] for a in arrays]
)


def encoder_leaves(geometry: Mapping[str, Any]) -> list[Leaf]:
    """The leaves of the encoder (a config's `geometry`), source keys without prefix."""
    leaves = [
        leaf("params/encoder/positions", "pos_embed", _POSITIONS),
        leaf("params/encoder/cls_token", "cls_token", _TOKEN),
        leaf("params/encoder/tail_token", "tail_token", _TOKEN),
        *stem("encoder/stem", "embedding.restnet.root"),
        leaf("params/encoder/embed/kernel", "embedding.patch_embedding.weight", _POINTWISE),
        leaf("params/encoder/embed/bias", "embedding.patch_embedding.bias"),
        *norm("encoder/layer_norm", "tf_norm"),
    ]
    block = 0
    for blocks in geometry["stages"]:
        for i in range(1 + blocks):
            leaves += bottleneck(f"encoder/block{block}", f"embedding.restnet.layers.{block}", shortcut=i == 0)
            block += 1
    for i in range(geometry["depth"]):
        ours, theirs = f"encoder/layer{i}", f"layers.{i}"
        leaves += norm(f"{ours}/layer_norm1", f"{theirs}.attention_norm")
        for name in "qkvo":
            leaves += dense(f"{ours}/attention/{name}", f"{theirs}.attention.{name}")
        leaves += dense(f"{ours}/mlp1", f"{theirs}.ffn.fc1") + dense(f"{ours}/mlp2", f"{theirs}.ffn.fc2")
        if geometry["mlp_norm"] == "applied":
            leaves += norm(f"{ours}/layer_norm2", f"{theirs}.ffn_norm")
    return leaves


def leaves(config: ClassifierConfig) -> list[Leaf]:
    """The leaves of the whole classifier; source keys start with `encoder/` or `head/`."""
    return prefixed(encoder_leaves(config.geometry), "encoder/") + prefixed(head_leaves(config.head), "head/")


def ignore(config: ClassifierConfig) -> tuple[str, ...]:
    """Patterns of keys that are set aside on purpose."""
    dead = (DEAD_NORMS,) if config.geometry["mlp_norm"] == "discarded" else ()
    return tuple(f"(encoder|head)/{pattern}" for pattern in IGNORE) + dead


def from_torch(encoder: StateDict, head: StateDict, config: ClassifierConfig, where: str = "AMAuT files") -> Converted:
    """Variables from the pair of state dicts; `ignored` keeps what was set aside, for `to_pair`.

    Raises:
      BadInput: the full list of keys that are left over, missing or of another shape.
    """
    expected = zoo.shapes(zoo.build(config))
    return to_flax(merge(encoder=encoder, head=head), leaves(config), ignore(config), expected, where)


def to_pair(
    variables: Variables, config: ClassifierConfig, ignored: StateDict | None = None
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """The pair of state dicts (encoder, head) for PyTorch; `ignored` as `from_torch` gave it, else fresh values."""
    aside = {**fresh_ignored(config), **(ignored or {})}
    parts = split(to_torch(variables, leaves(config), aside))
    return parts["encoder"], parts["head"]


def fresh_ignored(config: ClassifierConfig) -> dict[str, np.ndarray]:
    """What PyTorch's modules start with where our tree has nothing: counters at 0, dead LayerNorms at 1 and 0."""
    made = {
        f"{key.removesuffix('running_mean')}num_batches_tracked": np.zeros((), np.int64)
        for each in leaves(config)
        for key in each.keys
        if key.endswith("running_mean")
    }
    sizes = config.geometry
    if sizes["mlp_norm"] == "discarded":
        for i in range(sizes["depth"]):
            made[f"encoder/layers.{i}.ffn_norm.weight"] = np.ones(sizes["embed"], np.float32)
            made[f"encoder/layers.{i}.ffn_norm.bias"] = np.zeros(sizes["embed"], np.float32)
    return made


def inferred_geometry(state: StateDict) -> dict[str, Any]:
    """What the shapes of an encoder show of its geometry (not heads, dropout or norms)."""
    stages: list[int] = []
    block = 0
    while f"embedding.restnet.layers.{block}.conv1.weight" in state:
        if f"embedding.restnet.layers.{block}.downsample.weight" in state or not stages:
            stages.append(0)
        else:
            stages[-1] += 1
        block += 1
    depth = 0
    while f"layers.{depth}.ffn.fc1.weight" in state:
        depth += 1
    found: dict[str, Any] = {
        "width": state["embedding.restnet.root.0.weight"].shape[0],
        "stages": stages,
        "embed": state["cls_token"].shape[-1],
        "depth": depth,
    }
    return {**found, "mlp": state["layers.0.ffn.fc1.weight"].shape[0]} if depth else found


def _style_of(state: StateDict) -> str | None:
    return "" if "cls_token" in state and "embedding.restnet.root.0.weight" in state else None


FAMILY = Family(
    net="amaut",
    files=("encoder", "head"),
    holds=(Content("AMAuT encoder", _style_of), HEAD),
    geometry=GEOMETRY,
    infer=lambda part: inferred_geometry(part.state),
    leaves=lambda config, style, held: leaves(config),
    ignore=lambda config, style: ignore(config),
    fresh=lambda config, held: fresh_ignored(config),
    plan=by_map.plan,
    head=head_of,
)
