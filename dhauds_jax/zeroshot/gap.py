"""The modality gap: sounds and sentences lie in two narrow cones, and the way between is shared by all classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from dhauds_jax.dsp.unit_rows import unit_rows
from dhauds_jax.zeroshot.unit_vectors import cosines

SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
"""How much of the gap is closed, in the figure's steps."""

Audio = Float[Array, "clips width"]
Text = Float[Array, "classes width"]


class Gap(NamedTuple):
    """What lies between sounds and sentences.

    Attributes:
      distance: between the two means.
      share: of the mean squared distance of a sound and a sentence, what the means' distance is of it, 0 to 1; the rest
        is spread around the means.
      direction: (width,) from the sentences' mean to the sounds', not of unit length.
    """

    distance: float
    share: float
    direction: Float[Array, " width"]


def gap(audio: Audio, text: Text) -> Gap:
    """The gap between unit vectors of sounds and of sentences.

    Source: Liang et al. 2022, arXiv 2203.02053 (distance of means).
    """
    direction = audio.mean(0) - text.mean(0)
    between = float(jnp.square(direction).sum())
    spread = sum(float(jnp.square(x - x.mean(0)[None]).sum(-1).mean()) for x in (audio, text))
    return Gap(between**0.5, between / max(between + spread, 1e-30), direction)


def closed(audio: Audio, text: Text, share: float) -> tuple[Audio, Text]:
    """Sounds and sentences with a share of the gap closed: each goes half the way, then back to unit length.

    At 1 the two means meet before the lengths are mended, at 0 nothing moves.

    Source: Liang et al. 2022, arXiv 2203.02053, section 5.
    """
    half = (share / 2) * gap(audio, text).direction
    return unit_rows(audio - half[None]), unit_rows(text + half[None])


def along(
    audio: Audio, text: Text, labels: Int[np.ndarray, " clips"], shares: Sequence[float] = SHARES
) -> list[tuple[float, float]]:
    """(share closed, accuracy of plain cosines) along the line that closes the gap, for the figure.

    The sounds' mean is that of the set, so this looks at the whole set, as `centre` does.
    """
    found = []
    for share in shares:
        scores = cosines(*closed(audio, text, share))
        found.append((float(share), float(np.mean(np.asarray(scores).argmax(-1) == labels))))
    return found
