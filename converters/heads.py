"""The classification heads in the reference's names: what keys tell of them, and their weight maps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from converters.families import Content, Part
from converters.mapping import CONV1D, Leaf, StateDict, batch_norm, conv, dense, leaf, norm, weight_norm_dense
from dhauds_jax.errors import BadInput

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


class HeadMap(NamedTuple):
    """One kind of head in the reference's names.

    Attributes:
      fits: state dict (canonical names) -> whether it holds such a head.
      infer: state dict -> the sizes of the config's `head`, and the number of classes.
      leaves: a config's `head` -> its leaves, source keys without prefix.
    """

    fits: Callable[[StateDict], bool]
    infer: Callable[[StateDict], tuple[dict[str, Any], int]]
    leaves: Callable[[Mapping[str, Any]], list[Leaf]]


def _has(*keys: str) -> Callable[[StateDict], bool]:
    return lambda state: all(key in state for key in keys)


def _audio_sizes(state: StateDict) -> tuple[dict[str, Any], int]:
    last = state["fc3.parametrizations.weight.original1"]
    return {"hidden": state["fc1.weight"].shape[0], "features": last.shape[1]}, last.shape[0]


def _audio_leaves(head: Mapping[str, Any]) -> list[Leaf]:
    return [
        *dense("head/expand", "fc1"),
        *dense("head/squeeze", "fc2"),
        *batch_norm("head/batch_norm", "bn2"),
        *weight_norm_dense("head/classifier", "fc3"),
    ]


def _hub_sizes(state: StateDict) -> tuple[dict[str, Any], int]:
    """Blocks after the first of each stage: a stage begins and ends with a block that has a shortcut convolution."""
    stages, start, block = [], None, 0
    while f"layers.{block}.conv1.weight" in state:
        if f"layers.{block}.downsample.weight" in state:
            if start is None:
                start = block
            else:
                stages.append(block - start)
                start = None
        block += 1
    return {"stages": stages}, state["fc2.weight"].shape[0]


def _hub_leaves(head: Mapping[str, Any]) -> list[Leaf]:
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


def _fce_leaves(head: Mapping[str, Any]) -> list[Leaf]:
    return [
        leaf("params/head/kernel", "merge.weight", CONV1D),
        leaf("params/head/bias", "merge.bias"),
        *norm("head/layer_norm", "norm"),
        *dense("head/classifier", "fc"),
    ]


HEADS: dict[str, HeadMap] = {
    "audio_classifier": HeadMap(
        _has("fc3.parametrizations.weight.original1", "bn2.weight"), _audio_sizes, _audio_leaves
    ),
    "hub_classifier": HeadMap(_has("root.0.weight", "norm1.weight", "fc2.weight"), _hub_sizes, _hub_leaves),
    "fce": HeadMap(_has("merge.weight", "fc.weight"), lambda state: ({}, state["fc.weight"].shape[0]), _fce_leaves),
}
"""Head kind -> its map."""


def head_leaves(head: Mapping[str, Any]) -> list[Leaf]:
    """The leaves of a head (a config's `head`), source keys without prefix.

    Raises:
      BadInput: the kind has no PyTorch counterpart.
    """
    if head["kind"] not in HEADS:
        raise BadInput(f"head: kind {head['kind']!r} has no PyTorch map, expected {', '.join(HEADS)}")
    return HEADS[head["kind"]].leaves(head)


def head_kind(state: StateDict) -> str | None:
    """The kind of head that a state dict (canonical names) holds, None if it is none."""
    return next((kind for kind, each in HEADS.items() if each.fits(state)), None)


def inferred_head(state: StateDict) -> tuple[dict[str, Any], int]:
    """The head that a state dict (canonical names) holds and its number of classes.

    Raises:
      BadInput: the keys are those of no known head.
    """
    kind = head_kind(state)
    if kind is None:
        raise BadInput(
            f"head: its keys {sorted(state)[:6]} are of no known head, expected one of the PyTorch benchmark's"
        )
    sizes, classes = HEADS[kind].infer(state)
    return {"kind": kind, **sizes}, classes


def head_of(parts: Mapping[str, Part]) -> tuple[dict[str, Any], int]:
    """The `Family.head` of a family whose file "head" holds one of these."""
    return inferred_head(parts["head"].state)


HEAD = Content("head", lambda state: None if head_kind(state) is None else "")
"""A file that holds a head alone."""
