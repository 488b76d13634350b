"""From one spectrogram transformer to another: clips of another length, other classes, pretraining's patches.

The one route for converted and for self-made weights: all leaves are kept, the position table is cut or interpolated to
the new grid, and a head that does not fit starts afresh.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, PRNGKeyArray

from dhauds_jax.errors import BadInput
from dhauds_jax.nets.config import ClassifierConfig
from dhauds_jax.nets.heads import build_head
from dhauds_jax.nets.normalisers import EVAL
from dhauds_jax.nets.spectrogram_zoo import config_grid
from dhauds_jax.types import Variables

FAMILY = "spectrogram_transformer"
SHARED = ("width", "depth", "heads", "mlp", "patch", "prefix", "epsilon")
"""What must be equal in two geometries; strides may differ, and the target may have no prefix."""


class Cut(NamedTuple):
    """Two mistakes of the published cut (SSAST, src/models/ast_models.py:197 and 199).

    Attributes:
      eight_rows: tables that are not cut in time go through 8 rows of frequency, whatever they had (harmless for the
        8 rows of 128 bins and for the 1 row of frames).
      crop_by_columns: a cut in frequency keeps as many rows as there are columns of time.
    """

    eight_rows: bool
    crop_by_columns: bool


CUTS = {"reference": Cut(True, True), "corrected": Cut(False, False)}
"""Profile -> whether the mistakes are made."""


def _interpolated(grid: np.ndarray, axis: int, size: int) -> np.ndarray:
    """One axis of PyTorch's bilinear `interpolate` without aligned corners, in float32 as there.

    Places are rounded once, after product and difference: PyTorch's compilers fuse the two.
    """
    length = grid.shape[axis]
    if length == size:
        return grid
    scale = np.float32(length) / np.float32(size)
    place = np.maximum((np.arange(size) + 0.5) * np.float64(scale) - 0.5, 0.0).astype(np.float32)
    low = np.minimum(place.astype(np.int64), length - 1)
    share = (place - low.astype(np.float32)).reshape([-1 if a == axis else 1 for a in range(grid.ndim)])
    high = np.minimum(low + 1, length - 1)
    return np.take(grid, low, axis) * (1 - share) + np.take(grid, high, axis) * share


def fit_grid(
    grid: Float[np.ndarray, "rows columns width"], rows: int, columns: int, cut: Cut
) -> Float[np.ndarray, "found_rows found_columns width"]:
    """A position table for another grid: first time, then frequency; the middle is cut out, or all of it interpolated.

    Args:
      grid: (frequency rows, time columns, width) table.
      rows: wanted.
      columns: wanted.
      cut: which mistakes to make; with `crop_by_columns` the result may have another number of rows than wanted.

    Source: Gong et al. 2022 (arXiv 2110.09784), src/models/ast_models.py:185-205.
    """
    had_rows, had_columns, _ = grid.shape
    if columns < had_columns:
        start = had_columns // 2 - columns // 2
        grid = grid[:, start : start + columns]
    else:
        grid = _interpolated(_interpolated(grid, 1, columns), 0, 8 if cut.eight_rows else had_rows)
    if rows < had_rows:
        start = had_rows // 2 - rows // 2
        return grid[start : start + (columns if cut.crop_by_columns else rows)]
    return _interpolated(grid, 0, rows)


def fit_positions(
    table: Float[np.ndarray, "tokens width"], prefix: int, had: tuple[int, int], wanted: tuple[int, int], cut: Cut
) -> Float[np.ndarray, "new_tokens width"]:
    """A whole position table for another grid; the first `prefix` rows stay, and all of them where the grids are equal.

    Args:
      table: (prefix + had[0] * had[1], width).
      prefix: tokens before the patches.
      had: patches along (frequency, time) of the source.
      wanted: those of the result.
      cut: which mistakes of the published cut to make.

    Raises:
      BadInput: `crop_by_columns` gives another number of rows than there are patches.
    """
    grid = table[prefix:].reshape(*had, -1)
    if had != wanted:
        grid = fit_grid(grid, *wanted, cut)
    if grid.shape[0] != wanted[0]:
        raise BadInput(
            f"positions: the reference cuts {grid.shape[0]} rows of frequency out of {had[0]} where the clip has "
            f"{wanted[0]} (it counts columns of time, and stops here too), expected profile 'corrected' for such clips"
        )
    return np.concatenate([table[:prefix], grid.reshape(-1, table.shape[1])]).astype(table.dtype)


def for_clips(
    variables: Mapping[str, Any],
    source: ClassifierConfig,
    target: ClassifierConfig,
    key: PRNGKeyArray,
    profile: str = "reference",
) -> Variables:
    """Weights of one spectrogram transformer as the start of another: other clips, strides or classes.

    Args:
      variables: of the source; of `params` only `encoder` and, where kept, `head` are read, so a pretraining tree will
        do (`nets.ssast_pretrain`).
      source: its config.
      target: the config wanted.
      key: for the new head; the old one is kept where head and class names are equal.
      profile: "reference" or "corrected", see `CUTS`. Only tables of pretraining (stride = patch) come to the
        reference's cut; those that fine-tuning made are always cut correctly.

    Returns:
      `{"params": {"encoder", "head"}, "batch_stats": {}}`, NumPy leaves.

    Raises:
      BadInput: another family, sizes that differ (they are named), an unknown profile, or a cut that the reference
        cannot make.
    """
    if profile not in CUTS:
        raise BadInput(f"profile is {profile!r}, expected one of {', '.join(CUTS)}")
    for config in (source, target):
        if config.family != FAMILY:
            raise BadInput(f"net {config.net!r} is of family {config.family!r}, expected {FAMILY!r}")
    differing = [
        f"{name} {source.geometry[name]} there and {target.geometry[name]} here"
        for name in SHARED
        if source.geometry[name] != target.geometry[name] and not (name == "prefix" and target.geometry[name] == 0)
    ]
    if differing:
        raise BadInput(f"weights of {source.net!r} do not fit {target.net!r}: {'; '.join(differing)}")
    made_by_pretraining = source.geometry["stride"] == source.geometry["patch"]
    cut = CUTS[profile if made_by_pretraining else "corrected"]
    encoder = jax.tree.map(np.asarray, dict(variables["params"]["encoder"]))
    grids = config_grid(source), config_grid(target)
    prefix = source.geometry["prefix"]
    encoder["positions"] = fit_positions(encoder["positions"], prefix, *grids, cut)
    if prefix and not target.geometry["prefix"]:
        encoder = {name: leaf for name, leaf in encoder.items() if name not in ("cls_token", "dist_token")}
        encoder["positions"] = encoder["positions"][prefix:]
    if keeps_head(variables, source, target):
        head = jax.tree.map(np.asarray, dict(variables["params"]["head"]))
    else:
        head = new_head(target, key)
    return {"params": {"encoder": encoder, "head": head}, "batch_stats": {}}


def keeps_head(variables: Mapping[str, Any], source: ClassifierConfig, target: ClassifierConfig) -> bool:
    """Whether `for_clips` keeps the head: there is one, of the same kind, for the same classes in the same order."""
    same = source.head == target.head and source.classes == target.classes
    return "head" in variables["params"] and same


def new_head(config: ClassifierConfig, key: PRNGKeyArray) -> dict[str, Any]:
    """Random weights of a config's head, NumPy leaves."""
    head = build_head(config.head, len(config.classes))
    tokens = jnp.zeros((1, config.geometry["prefix"] + 1, config.geometry["width"]))
    drawn = jax.jit(lambda k: head.init({"params": k}, tokens, mode=EVAL))(key)
    return jax.tree.map(np.asarray, drawn["params"])
