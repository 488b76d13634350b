"""What a learner reads of many clips, through `Classifier.tap`: batches of one shape, one compilation.

Each clip is read as in a prediction, row by row: which others lie beside it in a batch can show in the last digits
(relative 1e-6), never in more.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32

from dhauds_jax import names
from dhauds_jax.data.windows import Windows
from dhauds_jax.errors import BadInput
from dhauds_jax.progress import FIRST, progress_bar
from dhauds_jax.types import Classifier, Variables

WAVE = "wave"
"""What is read of no network: the laid-out clips themselves."""


def check(classifier: Classifier, what: str) -> None:
    """Raises `BadInput` for what is not one of `names.READS`, or a classifier that was made without a tap."""
    if what not in names.READS:
        raise BadInput(f"reads {what!r} of the network, expected one of {', '.join(names.READS)}")
    if what != WAVE and classifier.tap is None:
        raise BadInput(
            f"the classifier ({classifier.config.net}) was made without a tap, so its {what} cannot be read, expected "
            "one of nets.zoo.build"
        )


def shape_of(classifier: Classifier, variables: Variables, what: str) -> tuple[int, ...]:
    """What is read of one clip: (width,), (depth, width), (tokens, width) or (samples,); nothing is computed.

    Raises:
      BadInput: what `check` refuses, or the network has none of these.
    """
    check(classifier, what)
    length = classifier.config.length
    if what == WAVE:
        return (length,)
    clip = jax.ShapeDtypeStruct((1, length), jnp.float32)
    found = jax.eval_shape(lambda held, waves: _tapped(classifier, what, held, waves), variables, clip)
    return tuple(found.shape[1:])


@functools.lru_cache(maxsize=8)
def reader(classifier: Classifier, what: str) -> Callable[[Variables, Array], Array]:
    """The compiled function `(variables, waves (batch, samples)) -> float32 (batch, ...)`."""
    return jax.jit(functools.partial(_tapped, classifier, what))


def _tapped(
    classifier: Classifier, what: str, variables: Variables, waves: Float[Array, "batch samples"]
) -> Float32[Array, "batch ..."]:
    return classifier.tap(variables, classifier.features(waves), what).astype(jnp.float32)


def read(
    classifier: Classifier,
    variables: Variables,
    waves: Windows,
    what: str,
    *,
    batch_size: int = 32,
    out: Any = None,
    progress: str | None = None,
    tick: Callable[[], Any] | None = None,
) -> Float32[np.ndarray, "clips ..."]:
    """What a learner reads of clips, in their order.

    Args:
      classifier: the network.
      variables: its weights.
      waves: (clips, samples) laid out for it.
      what: of `names.READS`.
      batch_size: clips in a dispatch; the last batch is filled with silence.
      out: (clips, ...) array of float32, or one in a file, that takes them; None makes one in memory.
      progress: the text of a bar; None for none.
      tick: called after each batch, for a bar of the caller's.

    Raises:
      BadInput: what `shape_of` refuses. FloatingPointError: a number is not finite.
    """
    shape = (len(waves), *shape_of(classifier, variables, what))
    out = np.zeros(shape, np.float32) if out is None else out
    if out.shape != shape:
        raise ValueError(f"out is {out.shape}, expected {shape}")
    held = variables if what == WAVE else jax.device_put(variables)
    shown = {"unit": "batch", "disable": progress is None, "whole": True, "awaited": FIRST.format("batch")}
    with progress_bar(desc=progress, total=-(-len(waves) // batch_size), **shown) as bar:
        for first in range(0, len(waves), batch_size):
            rows = np.asarray(waves[first : first + batch_size], np.float32)
            found = rows if what == WAVE else _batch(reader(classifier, what), held, rows, batch_size)
            if not np.isfinite(found).all():
                place = f"clip {first + int(np.flatnonzero(~np.isfinite(found.reshape(len(found), -1)).all(1))[0])}"
                raise FloatingPointError(f"the {what} of {place} has numbers that are not finite")
            out[first : first + len(rows)] = found
            bar.update()
            if tick is not None:
                tick()
    return out


def _batch(function: Callable[..., Array], held: Variables, rows: np.ndarray, size: int) -> np.ndarray:
    filled = np.zeros((size, *rows.shape[1:]), np.float32)
    filled[: len(rows)] = rows
    return np.asarray(function(held, filled))[: len(rows)]
