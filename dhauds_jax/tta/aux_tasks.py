"""Auxiliary tasks of test-time training on sounds: which way was the clip shifted in time, its spectrogram rotated?"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from dhauds_jax.dsp.views import roll
from dhauds_jax.errors import BadInput
from dhauds_jax.types import Classifier

TIME_SHIFTS = ("none", "left", "right")
"""Classes of the task "time_shift", in the order of the auxiliary head's logits."""

ROTATIONS = ("0", "90", "180", "270")
"""Classes of the task "rotation": degrees, anticlockwise with time to the right and mel bands downwards."""

SHIFT = 0.2625
"""Shift of TTA-in-AC, as a share of the clip."""


def time_shifted(
    wave: Float[Array, "batch time"], labels: Int[Array, " batch"], shift: float = SHIFT
) -> Float[Array, "batch time"]:
    """Rolls each clip circularly by its label: 0 not at all, 1 left and 2 right by `int(shift time)` samples.

    Args:
      wave: (batch, time) samples.
      labels: (batch,) of `TIME_SHIFTS`.
      shift: as a share of the clip; always this much, unlike the random shifts of training views.

    Source: TTA-in-AC, ttt/lib/time_shift_rotation.py.
    """
    by = int(shift * wave.shape[-1])
    return roll(wave, jnp.asarray([0, -by, by])[labels])


def rotations(features: Float[Array, "batch ..."]) -> Float[Array, "batch 4 ..."]:
    """Every spectrogram under each of `ROTATIONS`.

    Args:
      features: (batch, frames, mels), as many frames as mels: an image must fit its own place when it lies on its side.

    Raises:
      BadInput: spectrograms that are not square.

    Source: TTA-in-AC, ttt/lib/angle_shift_rotation.py (on (mels, frames), so that turns are the other way round).
    """
    if features.ndim != 3 or features.shape[1] != features.shape[2]:
        found = " x ".join(map(str, features.shape[1:]))
        raise BadInput(
            f"the task of rotations needs square spectrograms, and these are {found} (frames x mels): choose a net "
            "made for it, such as tta_in_ac_resnet26_rotation_am"
        )
    return jnp.stack([jnp.rot90(features, -turns, (1, 2)) for turns in range(len(ROTATIONS))], 1)


def _shifted_features(classifier: Classifier, wave: Array, shift: float) -> Array:
    rows, count = wave.shape[0], len(TIME_SHIFTS)
    views = time_shifted(jnp.repeat(wave, count, 0), jnp.tile(jnp.arange(count), rows), shift)
    features = classifier.features(views)
    return features.reshape(rows, count, *features.shape[1:])


def _rotated_features(classifier: Classifier, wave: Array, shift: float) -> Array:
    return rotations(classifier.features(wave))


def _shifted_feature(classifier: Classifier, wave: Array, labels: Array, shift: float) -> Array:
    return classifier.features(time_shifted(wave, labels, shift))


def _rotated_feature(classifier: Classifier, wave: Array, labels: Array, shift: float) -> Array:
    return rotations(classifier.features(wave))[jnp.arange(wave.shape[0]), labels]


class AuxTask(NamedTuple):
    """A question about a changed copy of a clip, whose answer is known without the clip's label.

    Attributes:
      classes: the answers, in the order of the auxiliary head's logits; the first is the clip as it is.
      views: `(classifier, wave, shift) -> (batch, classes, ...)`, features of each clip under every class.
      view: `(classifier, wave, labels, shift) -> (batch, ...)`, features of each clip under its label.
    """

    classes: tuple[str, ...]
    views: Callable[[Classifier, Array, float], Array]
    view: Callable[[Classifier, Array, Array, float], Array]


TASKS: dict[str, AuxTask] = {
    "time_shift": AuxTask(TIME_SHIFTS, _shifted_features, _shifted_feature),
    "rotation": AuxTask(ROTATIONS, _rotated_features, _rotated_feature),
}
"""The tasks by name; `shift` is a share of the clip, and nothing to rotations."""


def random_labels(
    key: PRNGKeyArray, index: Int[Array, " batch"], count: int, classes: int = len(TIME_SHIFTS)
) -> Int[Array, "batch {count}"]:
    """`count` labels for each clip, each class equally likely, from `fold_in(key, index[row])`.

    Args:
      key: random key.
      index: (batch,) position of each clip in its set.
      count: labels wanted of each clip.
      classes: of the task.
    """
    draw = lambda i: jax.random.randint(jax.random.fold_in(key, i), (count,), 0, classes)  # noqa: E731
    return jax.vmap(draw)(index)


def check_head(who: str, task: str, found: int) -> None:
    """Raises `BadInput` when an auxiliary head with `found` classes is not one for the task; `who` needs it."""
    classes = TASKS[task].classes
    if found != len(classes):
        raise BadInput(
            f"{who} needs an auxiliary head of {len(classes)} classes ({', '.join(classes)}), and this one has {found}"
        )
