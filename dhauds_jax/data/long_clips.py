"""Recordings of any length, read block by block at a network's rate: no more than a block and a window are held."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Float

from dhauds_jax.data.audio import Reading, read_blocks
from dhauds_jax.dsp.clip_layout import cut
from dhauds_jax.errors import check_number


def windows(
    path: Path | str,
    *,
    sample_rate: int,
    length: int,
    overlap: float = 0.0,
    layout: str = "centre",
    resampler: str = "sinc",
) -> tuple[Iterator[Float[np.ndarray, " {length}"]], Reading]:
    """The windows of a file, one by one; the last ends with it, and a shorter file is one (`clip_layout.cut`).

    Args:
      path: the file.
      sample_rate: of the windows, in Hz; several channels are mixed down to their mean.
      length: samples of a window.
      overlap: share of a window that the next one repeats, 0 up to below 1.
      layout: of a file shorter than a window, see `clip_layout.lay_out`.
      resampler: see `data.resampling`.

    Returns:
      `(windows, reading)`: float32 (length,) each; what is known of the file, its `notices` after the last window.

    Raises:
      BadInput: an overlap out of range. BadFile: as `Reading`, some only while the windows are taken.
    """
    check_number("overlap", overlap, 0.0, 1.0, below=True)
    blocks, reading = read_blocks(path, sample_rate, resampler)
    return cut(blocks, length, overlap, layout), reading


def rereadable(
    path: Path | str, sample_rate: int, resampler: str = "sinc"
) -> Callable[[], Iterator[Float[np.ndarray, " _"]]]:
    """What gives the blocks of a file from its beginning whenever it is called, for rules that need its length first.

    `nets.clap_layout.rows_of` takes it. Arguments as for `windows`.
    """
    return lambda: read_blocks(path, sample_rate, resampler)[0]
