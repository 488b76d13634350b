"""A pass over windows, under a bar."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float

from dhauds_jax.data.windows import Windows
from dhauds_jax.progress import FIRST, progress_bar
from dhauds_jax.tta import protocols
from dhauds_jax.tta.evaluation import check_finite_logits, watched
from dhauds_jax.types import AdaptState


def passed(
    predict: Callable[..., Any],
    state: AdaptState,
    waves: Windows,
    batch_size: int,
    progress: str | None,
    order: Any = None,
) -> Float[np.ndarray, "windows numbers"]:
    """What a compiled function says of windows, batch by batch; a bar of the text `progress`, None for none.

    Raises:
      FloatingPointError: a number is not finite.
    """
    shown = {"unit": "batch", "disable": progress is None, "whole": True, "awaited": FIRST.format("batch")}
    with progress_bar(desc=progress, total=-(-len(waves) // batch_size), **shown) as bar:
        seen = predict if progress is None else watched(predict, bar.update)
        found = protocols.evaluate(seen, state, waves, batch_size, order)
        bar.update()
    return check_finite_logits(found, "; expected a checkpoint of finite weights")
