"""Which patches SSAST's pretraining hides: clusters of them, or single frames, as pure functions of a key.

Masks of one batch have one static number of hidden patches, so a step compiles once.
"""

from __future__ import annotations

import math
import random

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int, PRNGKeyArray

from dhauds_jax.errors import BadInput

SIDES = (3, 4, 5)
"""Side lengths of the squares, in patches; one is drawn for a clip."""


def check_hidden(grid: tuple[int, int], hidden: int, clusters: bool) -> None:
    """Raises `ValueError` when so many patches cannot be hidden: a cluster mask must always leave two."""
    most = math.prod(grid) - (2 if clusters else 1)
    if not 1 <= hidden <= most:
        raise BadInput(
            f"--mask_patches={hidden}: the spectrogram has {grid[0]} x {grid[1]} patches, expected from 1 to {most}"
        )


def _squares_drawn(patches: int, hidden: int) -> int:
    """Squares that all but surely cover more than `hidden` patches even if they are small."""
    return 16 + math.ceil(4 * patches / SIDES[0] ** 2 * math.log(patches / (patches - hidden - 1)))


def cluster_mask(
    key: PRNGKeyArray, grid: tuple[int, int], hidden: int, profile: str = "reference"
) -> Bool[Array, " patches"]:
    """Hides `hidden` patches under squares of 3, 4 or 5 patches a side, one size a clip.

    Squares are put down at random until more than `hidden` patches are covered; `hidden` of these are kept.

    Args:
      key: random key of one clip.
      grid: patches along (frequency, time); patch (f, t) is number `f * grid[1] + t`.
      hidden: patches to hide, at most two fewer than there are.
      profile: "reference" keeps three slips of the original (S4): patch 0 is never hidden, squares that cross the right
        edge go on one row down at the left, and of the covered patches those with the lowest numbers are kept.
        "corrected": every patch may be hidden, squares end at the edge, and the kept ones are drawn.

    Source: Gong et al., AAAI 2022, arXiv 2110.09784, section 2.2; SSAST, src/models/ast_models.py:222-236.
    """
    patches, columns = math.prod(grid), grid[1]
    squares = _squares_drawn(patches, hidden)
    size_key, start_key, keep_key = jax.random.split(key, 3)
    side = jax.random.randint(size_key, (), SIDES[0], SIDES[-1] + 1)
    start = jax.random.randint(start_key, (squares, 1), 0, patches)
    number = jnp.arange(patches)
    if profile == "reference":
        # Number start + columns i + j for some i, j below the side: one division would be wrong for narrow grids.
        rest = [number[None] - start - columns * i for i in range(SIDES[-1])]
        covered = jnp.stack([(r >= 0) & (r < side) & (i < side) for i, r in enumerate(rest)]).any(0)
        covered = covered & (number > 0)[None]
    else:
        down = number[None] // columns - start // columns
        right = number[None] % columns - start % columns
        covered = (down >= 0) & (down < side) & (right >= 0) & (right < side)
    # The first square over each patch; patches that none covers come after all squares.
    first = jnp.where(covered.any(0), covered.argmax(0), squares)
    last = jnp.sort(first)[hidden]  # the square with which more than `hidden` patches are covered
    candidate = first <= last
    rank = number if profile == "reference" else jax.random.uniform(keep_key, (patches,))
    rank = jnp.where(candidate, rank, patches + number)
    return _lowest(jnp.where((number > 0) | (profile != "reference"), rank, 2 * patches), hidden)


def frame_mask(key: PRNGKeyArray, patches: int, hidden: int) -> Bool[Array, " patches"]:
    """Hides `hidden` patches, any set of them equally likely."""
    return _lowest(jax.random.uniform(key, (patches,)), hidden)


def _lowest(rank: Array, count: int) -> Bool[Array, " patches"]:
    return jnp.zeros(rank.shape[0], bool).at[jnp.argsort(rank)[:count]].set(True)


def draw_masks(
    key: PRNGKeyArray,
    index: Int[Array, " batch"],
    grid: tuple[int, int],
    hidden: int,
    *,
    clusters: bool,
    profile: str = "reference",
) -> Bool[Array, "batch patches"]:
    """A mask of its own for every clip of a batch, from `fold_in(key, index[row])`."""

    def one(i: Array) -> Array:
        own = jax.random.fold_in(key, i)
        return cluster_mask(own, grid, hidden, profile) if clusters else frame_mask(own, math.prod(grid), hidden)

    return jax.vmap(one)(index)


def reference_cluster_ids(rng: random.Random, grid: tuple[int, int], hidden: int) -> np.ndarray:
    """The original's generator, patch by patch in Python: what `cluster_mask` is compared with in tests.

    Returns:
      (hidden,) numbers of the hidden patches. Its choice of `hidden` out of the covered ones follows the order of a
      Python set of small integers, which is that of their numbers.
    """
    patches, columns = math.prod(grid), grid[1]
    side = rng.randrange(3) + 3
    found: set[int] = set()
    while len(found) <= hidden:
        start = rng.randrange(patches)
        square = (start + columns * i + j for i in range(side) for j in range(side))
        found |= {number for number in square if 0 < number < patches}
    return np.array(sorted(found)[:hidden])
