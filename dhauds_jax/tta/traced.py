"""What a function was traced for, to be compared with what it is given or gives later."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax


class Seen(NamedTuple):
    """What a function was traced for: the structure of a pytree, and the type and shape of each leaf by its name."""

    structure: Any
    leaves: Mapping[str, str]

    @classmethod
    def of(cls, tree: Any) -> Seen:
        """Of a tree of arrays; leaves are named like "batch.wave" or "state.variables.params.head.bias"."""
        leaves, structure = jax.tree_util.tree_flatten_with_path(tree)
        named = {jax.tree_util.keystr(path, simple=True, separator="."): jax.typeof(leaf) for path, leaf in leaves}
        return cls(structure, {n: f"{t.str_short()}{' (weak)' if t.weak_type else ''}" for n, t in named.items()})

    def difference(self, now: Seen) -> str | None:
        """What is not the same, in words; None where all is."""
        for leaf in [*self.leaves, *now.leaves]:
            was, has = (seen.leaves.get(leaf, "not there") for seen in (self, now))
            if was != has:
                return f"{leaf} was {was} and is {has}"
        return None if self.structure == now.structure else f"{self.structure} became {now.structure}"
