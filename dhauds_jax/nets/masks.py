"""Which leaves of the parameter tree may move: named groups over parameter paths.

Frozen leaves are taken out of the differentiated argument, so their gradients are never computed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from flax import traverse_util

from dhauds_jax.errors import BadInput

Path = tuple[str, ...]
Tree = Mapping[str, Any]
Group = str | Callable[[Path], bool]
"""A name of `GROUPS`, or a rule of a method's own: whether the leaf at a path moves."""


def _is_batch_norm(path: Path) -> bool:
    return any("batch_norm" in part for part in path)


def _is_norm(path: Path) -> bool:
    return any(kind in part for part in path for kind in ("batch_norm", "layer_norm", "group_norm"))


GROUPS: dict[str, Callable[[Path], bool]] = {
    "none": lambda path: False,
    "batch_norm": _is_batch_norm,
    "norm": _is_norm,
    "head": lambda path: path[0] == "head",
    "encoder": lambda path: path[0] == "encoder",
    "aux_path": lambda path: path[0] == "aux" or "extractor" in path,
    "front_end_frozen": lambda path: "front_end" not in path,
    "weights_and_biases": lambda path: path[-1] in ("kernel", "scale", "bias"),
    "all": lambda path: True,
}
"""Group name -> whether the leaf at a path of `variables["params"]` belongs to it; "aux_path" is the auxiliary head and
what it shares with the classifier, "weights_and_biases" what PyTorch's layers name so: no tokens, no weight norms."""


def check_group(group: str) -> None:
    """Raises `BadInput` with the valid names when `group` is unknown."""
    if group not in GROUPS:
        raise BadInput(f"unknown group of parameters {group!r}: expected one of {', '.join(GROUPS)}")


def rule_of(group: Group) -> Callable[[Path], bool]:
    """Whether a leaf moves, by its path."""
    if not isinstance(group, str):
        return group
    check_group(group)
    return GROUPS[group]


def name_of(group: Group) -> str:
    """A group's name in messages and records; a rule has its function's."""
    return group if isinstance(group, str) else getattr(group, "__name__", type(group).__name__)


def split(params: Tree, group: Group) -> tuple[dict[str, Any], dict[str, Any]]:
    """Splits a parameter tree into (moving, frozen), each without the other's leaves."""
    belongs = rule_of(group)
    moving, frozen = {}, {}
    for path, leaf in traverse_util.flatten_dict(params).items():
        (moving if belongs(path) else frozen)[path] = leaf
    return traverse_util.unflatten_dict(moving), traverse_util.unflatten_dict(frozen)


def merge(moving: Tree, frozen: Tree) -> dict[str, Any]:
    """The inverse of `split`."""
    return traverse_util.unflatten_dict({**traverse_util.flatten_dict(frozen), **traverse_util.flatten_dict(moving)})


def count(params: Tree, group: Group) -> int:
    """Number of parameters in a group."""
    moving, _ = split(params, group)
    return sum(leaf.size for leaf in traverse_util.flatten_dict(moving).values())


def has_batch_norm(variables: Tree) -> bool:
    """Whether the network has BatchNorm layers."""
    return any(_is_batch_norm(path) for path in traverse_util.flatten_dict(variables["params"]))
