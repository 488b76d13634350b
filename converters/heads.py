"""The weight map of the classification heads, in the reference's names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from converters.mapping import CONV1D, Leaf, batch_norm, conv, dense, leaf, norm, weight_norm_dense

IGNORE = (r"(.*\.)?num_batches_tracked",)
"""Keys set aside: PyTorch's counter of BatchNorm updates, which a momentum of .1 does not use."""


def bottleneck(path: str, key: str, shortcut: bool) -> list[Leaf]:
    """A residual block; the reference calls its shortcut's norm `ds_gn` although it is a BatchNorm."""
    leaves = []
    for i in (1, 2, 3):
        leaves += conv(f"{path}/conv{i}", f"{key}.conv{i}") + batch_norm(f"{path}/batch_norm{i}", f"{key}.norm{i}")
    if shortcut:
        leaves += conv(f"{path}/shortcut", f"{key}.downsample")
        leaves += batch_norm(f"{path}/batch_norm_shortcut", f"{key}.ds_gn")
    return leaves


def stem(path: str, key: str) -> list[Leaf]:
    """The first convolution and its BatchNorm."""
    return conv(f"{path}/conv", f"{key}.0") + batch_norm(f"{path}/batch_norm", f"{key}.1")


def head_leaves(head: Mapping[str, Any]) -> list[Leaf]:
    """The leaves of a head (a config's `head`), source keys without prefix.

    Raises:
      ValueError: the kind has no PyTorch counterpart.
    """
    kind = head["kind"]
    if kind == "audio_classifier":
        return [
            *dense("head/expand", "fc1"),
            *dense("head/squeeze", "fc2"),
            *batch_norm("head/batch_norm", "bn2"),
            *weight_norm_dense("head/classifier", "fc3"),
        ]
    if kind == "hub_classifier":
        leaves, block = stem("head/stem", "root"), 0
        for blocks in head["stages"]:
            for i in range(1 + blocks):
                leaves += bottleneck(f"head/block{block}", f"layers.{block}", shortcut=i in (0, blocks))
                block += 1
        return [
            *leaves,
            *dense("head/squeeze", "fc1"),
            *norm("head/layer_norm", "norm1"),
            *dense("head/classifier", "fc2"),
        ]
    if kind == "fce":
        return [
            leaf("params/head/kernel", "merge.weight", CONV1D),
            leaf("params/head/bias", "merge.bias"),
            *norm("head/layer_norm", "norm"),
            *dense("head/classifier", "fc"),
        ]
    raise ValueError(f"head: kind {kind!r} has no PyTorch map, expected audio_classifier, hub_classifier or fce")
