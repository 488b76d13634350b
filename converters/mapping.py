"""A two-way map between a PyTorch state dict (names to NumPy arrays) and a tree of Flax variables.

A family gives a list of leaves; each says which source keys make which leaves of the tree, and how, there and back.
Every source key is either used or on the family's ignore list; anything else stops the conversion with the full list.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from dhauds_jax.errors import BadInput
from dhauds_jax.wording import counted

Path = tuple[str, ...]
StateDict = Mapping[str, np.ndarray]


class Transform(NamedTuple):
    """What happens to arrays on the way.

    Attributes:
      there: source arrays (in the order of `Leaf.keys`) -> our arrays (in the order of `Leaf.paths`).
      back: the exact inverse, bit for bit.
    """

    there: Callable[[list[np.ndarray]], list[np.ndarray]]
    back: Callable[[list[np.ndarray]], list[np.ndarray]]


class Leaf(NamedTuple):
    """Some leaves of the variables and the source keys that hold them (usually one and one)."""

    paths: tuple[Path, ...]
    keys: tuple[str, ...]
    transform: Transform


class Converted(NamedTuple):
    """What `to_flax` gives.

    Attributes:
      variables: nested dicts of NumPy arrays.
      used: source keys that were used, sorted.
      ignored: source keys on the ignore list with their arrays (`to_torch` can put them back).
    """

    variables: dict[str, Any]
    used: tuple[str, ...]
    ignored: dict[str, np.ndarray]


SAME = Transform(list, list)
"""One source array is one leaf, as it is."""


def permuted(*axes: int) -> Transform:
    """Axes in another order, e.g. `permuted(1, 0)` for a linear kernel, `permuted(2, 1, 0)` for a 1-D convolution's."""
    inverse = tuple(np.argsort(axes))
    return Transform(
        lambda arrays: [np.transpose(a, axes) for a in arrays],
        lambda arrays: [np.transpose(a, inverse) for a in arrays],
    )


def reshaped(source: tuple[int, ...], ours: tuple[int, ...]) -> Transform:
    """Another shape of the same values; `-1` once on each side. The source's rank must be that of `source`."""

    def there(arrays: list[np.ndarray]) -> list[np.ndarray]:
        if any(a.ndim != len(source) for a in arrays):
            raise ValueError(f"rank {arrays[0].ndim}, expected {len(source)}")
        return [a.reshape(ours) for a in arrays]

    return Transform(there, lambda arrays: [a.reshape(source) for a in arrays])


def stacked(each: Transform = SAME) -> Transform:
    """Several source arrays, each transformed, stacked along a new first axis (blocks under `nn.scan`)."""
    return Transform(
        lambda arrays: [np.stack([each.there([a])[0] for a in arrays])],
        lambda arrays: [each.back([a])[0] for a in arrays[0]],
    )


LINEAR = permuted(1, 0)
"""A linear kernel: (outputs, inputs) -> (inputs, outputs)."""
CONV1D = permuted(2, 1, 0)
"""A 1-D convolution's kernel: (outputs, inputs, taps) -> (taps, inputs, outputs)."""
COLUMN = reshaped((-1, 1), (-1,))
"""A column of weight-norm lengths: (outputs, 1) -> (outputs,)."""


def leaf(path: str | Path, key: str, transform: Transform = SAME) -> Leaf:
    """One leaf from one key; `path` may be written "params/encoder/stem/conv/kernel"."""
    return Leaf((tuple(path.split("/")) if isinstance(path, str) else path,), (key,), transform)


def stack(path: str, keys: Iterable[str], transform: Transform = SAME) -> Leaf:
    """One leaf whose first axis runs over several keys, each transformed."""
    return Leaf((tuple(path.split("/")),), tuple(keys), stacked(transform))


def dense(path: str, key: str, bias: bool = True) -> list[Leaf]:
    """A linear layer: `weight` -> `kernel` transposed, and `bias`. `path` is below "params"."""
    leaves = [leaf(f"params/{path}/kernel", f"{key}.weight", LINEAR)]
    return leaves + ([leaf(f"params/{path}/bias", f"{key}.bias")] if bias else [])


def conv(path: str, key: str, bias: bool = False) -> list[Leaf]:
    """A 1-D convolution."""
    leaves = [leaf(f"params/{path}/kernel", f"{key}.weight", CONV1D)]
    return leaves + ([leaf(f"params/{path}/bias", f"{key}.bias")] if bias else [])


def norm(path: str, key: str) -> list[Leaf]:
    """A LayerNorm or GroupNorm: `weight` -> `scale`, and `bias`."""
    return [leaf(f"params/{path}/scale", f"{key}.weight"), leaf(f"params/{path}/bias", f"{key}.bias")]


def batch_norm(path: str, key: str) -> list[Leaf]:
    """A BatchNorm with its running statistics."""
    return [
        *norm(path, key),
        leaf(f"batch_stats/{path}/mean", f"{key}.running_mean"),
        leaf(f"batch_stats/{path}/var", f"{key}.running_var"),
    ]


def weight_norm_dense(path: str, key: str) -> list[Leaf]:
    """A weight-normed linear layer: g, v and bias."""
    return [
        leaf(f"params/{path}/g", f"{key}.parametrizations.weight.original0", COLUMN),
        leaf(f"params/{path}/v", f"{key}.parametrizations.weight.original1", LINEAR),
        leaf(f"params/{path}/bias", f"{key}.bias"),
    ]


def prefixed(leaves: Iterable[Leaf], prefix: str) -> list[Leaf]:
    """The same leaves with `prefix` before every source key."""
    return [each._replace(keys=tuple(prefix + key for key in each.keys)) for each in leaves]


def canonical_name(key: str) -> str:
    """A source key in the one style that leaves use.

    A DataParallel prefix `module.` goes; `weight_g`, `weight_v` become `parametrizations.weight.original0`, `1`.
    """
    key = key.removeprefix("module.")
    key = re.sub(r"(^|\.)weight_g$", r"\1parametrizations.weight.original0", key)
    return re.sub(r"(^|\.)weight_v$", r"\1parametrizations.weight.original1", key)


def canonical(state_dict: StateDict) -> dict[str, np.ndarray]:
    """The state dict under canonical names.

    Raises:
      BadInput: two keys become one name.
    """
    result: dict[str, np.ndarray] = {}
    origin: dict[str, str] = {}
    for key, value in state_dict.items():
        name = canonical_name(key)
        if name in result:
            raise BadInput(f"state dict: {origin[name]!r} and {key!r} are both {name!r}, expected one of them")
        result[name], origin[name] = value, key
    return result


def merge(**parts: StateDict) -> dict[str, np.ndarray]:
    """Several state dicts as one: `merge(encoder=..., head=...)` has keys `encoder/<canonical name>`, `head/...`."""
    return {f"{part}/{name}": value for part, state in parts.items() for name, value in canonical(state).items()}


def split(state_dict: StateDict) -> dict[str, dict[str, np.ndarray]]:
    """The inverse of `merge`: part -> its state dict."""
    parts: dict[str, dict[str, np.ndarray]] = {}
    for key, value in state_dict.items():
        part, name = key.split("/", 1)
        parts.setdefault(part, {})[name] = value
    return parts


def to_flax(
    state_dict: StateDict,
    leaves: Sequence[Leaf],
    ignore: Sequence[str] = (),
    expected: Mapping[str, Any] | None = None,
    where: str = "state dict",
) -> Converted:
    """Turns a state dict into variables and uses every key.

    Args:
      state_dict: names to arrays, in any of the styles of `canonical_name`.
      leaves: the family's map.
      ignore: regular expressions of canonical keys (whole names) that are set aside on purpose.
      expected: variables or shapes (`jax.eval_shape`) to compare with, or None.
      where: the file or files, for messages.

    Raises:
      BadInput: the full list of keys that are left over, missing or of another shape.
    """
    source = canonical(state_dict)
    patterns = [re.compile(pattern) for pattern in ignore]
    wanted = {key for each in leaves for key in each.keys}
    ignored = {k: v for k, v in source.items() if k not in wanted and any(p.fullmatch(k) for p in patterns)}
    left_over = sorted(k for k in source if k not in wanted and k not in ignored)
    missing = sorted(k for k in wanted if k not in source)
    flat: dict[Path, np.ndarray] = {}
    wrong: list[str] = []
    shapes = None if expected is None else flatten(expected)
    for each in leaves:
        if any(key not in source for key in each.keys):
            continue
        arrays = [np.asarray(source[key]) for key in each.keys]
        arrays = [a.astype(np.float32) if a.dtype != np.float32 and a.dtype.kind in "fV" else a for a in arrays]
        found = _apply(each, arrays)
        problem = _shape_problem(each, arrays, found, shapes)
        if problem:
            wrong.append(problem)
        else:
            flat.update(zip(each.paths, found))
    if shapes is not None:
        made = {path for each in leaves for path in each.paths}
        wrong += [f"no key gives {'/'.join(path)}" for path in shapes if path not in made]
        wrong += [f"the network has no {'/'.join(path)}" for path in sorted(made - set(shapes))]
    if left_over or missing or wrong:
        raise BadInput(
            f"{where}: {counted(len(left_over), 'key')} left over {left_over}, {len(missing)} missing {missing}, "
            f"{len(wrong)} of another shape {wrong}; expected every key to be used"
        )
    return Converted(unflatten(flat), tuple(sorted(wanted)), ignored)


def to_torch(
    variables: Mapping[str, Any], leaves: Sequence[Leaf], ignored: StateDict | None = None
) -> dict[str, np.ndarray]:
    """The exact inverse of `to_flax`: variables (and what was set aside) as a state dict with canonical names.

    Raises:
      BadInput: the variables lack a leaf or have one that no source key holds.
    """
    flat = flatten(variables)
    paths = {path for each in leaves for path in each.paths}
    missing = sorted("/".join(p) for p in paths if p not in flat)
    left_over = sorted("/".join(p) for p in flat if p not in paths)
    if missing or left_over:
        raise BadInput(f"variables: leaves missing {missing}, left over {left_over}; expected those of the family")
    result: dict[str, np.ndarray] = dict(ignored or {})
    for each in leaves:
        arrays = each.transform.back([np.asarray(flat[path]) for path in each.paths])
        result.update((key, np.ascontiguousarray(a).reshape(a.shape)) for key, a in zip(each.keys, arrays))
    return result


def _apply(each: Leaf, arrays: list[np.ndarray]) -> list[np.ndarray] | None:
    try:
        found = each.transform.there(arrays)
    except ValueError:
        return None
    return [np.ascontiguousarray(a).reshape(a.shape) for a in found]


def _shape_problem(
    each: Leaf, arrays: list[np.ndarray], found: list[np.ndarray] | None, shapes: dict[Path, Any] | None
) -> str | None:
    """One phrase if the arrays are not of the expected shape, in the source's own shapes where that is possible."""
    if found is not None and (
        shapes is None or all(p in shapes and shapes[p].shape == a.shape for p, a in zip(each.paths, found))
    ):
        return None
    have = ", ".join(f"{key} is {tuple(a.shape)}" for key, a in zip(each.keys, arrays))
    if shapes is None or any(p not in shapes for p in each.paths):
        return None if found is not None else have
    want = each.transform.back([np.zeros(shapes[p].shape, np.float32) for p in each.paths])
    return f"{have}, expected {', '.join(str(tuple(a.shape)) for a in want)}"


def flatten(tree: Mapping[str, Any], above: Path = ()) -> dict[Path, Any]:
    """A nested dict as {path: leaf}."""
    flat: dict[Path, Any] = {}
    for name, value in tree.items():
        if isinstance(value, Mapping):
            flat.update(flatten(value, (*above, str(name))))
        else:
            flat[(*above, str(name))] = value
    return flat


def unflatten(flat: Mapping[Path, Any]) -> dict[str, Any]:
    """The inverse of `flatten`; always has "params" and "batch_stats"."""
    tree: dict[str, Any] = {"params": {}, "batch_stats": {}}
    for path, value in flat.items():
        node = tree
        for name in path[:-1]:
            node = node.setdefault(name, {})
        node[path[-1]] = value
    return tree
