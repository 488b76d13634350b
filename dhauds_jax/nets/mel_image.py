"""The front end of CoNMix: a log-mel spectrogram in decibels as a square image, and the statistics that normalise it.

The images are not normalised here: the network does it, with a mean and a deviation that stand in its variables
(`batch_stats/encoder/input_norm`) and that nothing updates. Whoever starts a run chooses them: those of the training
set, written into the checkpoint, or, as the reference does, those of the very set being evaluated (quirk 40).
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from dhauds_jax.dsp.mel import MelSpec, log_mel
from dhauds_jax.dsp.resize import bilinear_weights, resize
from dhauds_jax.errors import BadInput
from dhauds_jax.nets.config import constants, take
from dhauds_jax.types import Variables

KIND = "mel_image"
"""`front_end.kind` of a config with this front end."""

NAME = "input_norm"
"""The entry of `batch_stats` that holds the statistics."""

CLIPS = 256
"""Clips in a batch whose mean and deviation enter a set's statistics."""


class ImageSpec(NamedTuple):
    """Every constant of the front end.

    Attributes:
      mel: of the spectrogram.
      image: side of the image in pixels.
      resize: side of the image from which a random `image` by `image` piece is cut, in training and strong views.
      mean, deviation: dB, where a network's statistics start.
    """

    mel: MelSpec
    image: int
    resize: int
    mean: float
    deviation: float


class Statistics(NamedTuple):
    """What normalises images: `(x - mean) / deviation`, both (1,) in dB. The three channels are equal."""

    mean: Float[Array | np.ndarray, "1"]
    deviation: Float[Array | np.ndarray, "1"]


class Moments(NamedTuple):
    """Mean (dB) and biased variance (dB squared) of the pixels of each image, (images,)."""

    mean: Float[Array | np.ndarray, " images"]
    variance: Float[Array | np.ndarray, " images"]


def spec_of(front_end: Mapping[str, Any]) -> ImageSpec | None:
    """The constants of a config's `front_end`; None where it is of another kind.

    Raises:
      BadInput: a constant is missing, foreign or impossible.
    """
    if front_end["kind"] != KIND:
        return None
    own = ImageSpec._fields[1:]
    values = {**MelSpec._field_defaults, **constants(front_end)}
    values = take(values, (*MelSpec._fields, *own), "config front_end")
    spec = ImageSpec(MelSpec(**{key: values[key] for key in MelSpec._fields}), *(values[key] for key in own))
    if not 1 <= spec.image <= spec.resize:
        raise BadInput(f"config front_end: image is {spec.image}, expected 1 to resize = {spec.resize} pixels")
    if not spec.deviation > 0:
        raise BadInput(f"config front_end: deviation is {spec.deviation}, expected a number of dB above 0")
    return spec


def _spectrogram(wave: Float[Array, "batch time"], spec: ImageSpec) -> Float[Array, "batch mels frames"]:
    return jnp.swapaxes(log_mel(wave, spec.mel), 1, 2)


def images(wave: Float[Array, "batch time"], spec: ImageSpec) -> Float[Array, "batch rows columns"]:
    """The image of each clip in dB, low mel bands first, time along its columns."""
    return resize(_spectrogram(wave, spec), spec.image, spec.image)


def cropped_images(
    key: PRNGKeyArray,
    wave: Float[Array, "batch time"],
    index: Int[Array, " batch"],
    spec: ImageSpec,
    *,
    flip: bool = False,
) -> Float[Array, "batch rows columns"]:
    """A random piece of each clip's larger image, in half of the cases mirrored in time if `flip`.

    The piece is drawn from `fold_in(key, index[row])`. Since resizing is a matrix on each side, only the rows of these
    matrices that fall into the piece are multiplied.

    Args:
      key: random key.
      wave: (batch, time) samples at the spectrogram's rate.
      index: (batch,) position of each clip in its set.
      spec: the constants.
      flip: the horizontal flip of image recipes; of a spectrogram it is a reversal of time (quirk 42).

    Source: CoNMix of DHAuDS, CoNMix/SpeechCommandsV2/{train,STDA}.py.
    """
    spectrogram = _spectrogram(wave, spec)
    down, across = (jnp.asarray(bilinear_weights(size, spec.resize)) for size in spectrogram.shape[1:])

    def one(picture: Array, i: Array) -> Array:
        top_key, left_key, flip_key = jax.random.split(jax.random.fold_in(key, i), 3)
        starts = (jax.random.randint(k, (), 0, spec.resize - spec.image + 1) for k in (top_key, left_key))
        rows, columns = (jax.lax.dynamic_slice_in_dim(m, s, spec.image) for m, s in zip((down, across), starts))
        if flip:
            columns = jnp.where(jax.random.bernoulli(flip_key), columns[::-1], columns)
        return jnp.einsum("rm,mf,cf->rc", rows, picture, columns, precision=jax.lax.Precision.HIGHEST)

    return jax.vmap(one)(spectrogram, index)


def moments(pictures: Float[Array, "batch rows columns"]) -> Moments:
    """Mean and variance of each image's pixels."""
    mean = pictures.mean((1, 2))
    return Moments(mean, jnp.square(pictures - mean[:, None, None]).mean((1, 2)))


def pooled(each: Moments, clips: int = CLIPS) -> Statistics:
    """A set's statistics from those of its images: means over batches of the batches' means and deviations.

    Args:
      each: of the set's images, in its order.
      clips: images in a batch; the last one may be smaller, and counts as much as the others.

    Source: CoNMix of DHAuDS and of TTA-in-AC.
    """
    found = []
    for start in range(0, each.mean.shape[0], clips):
        mean, variance = (values[start : start + clips] for values in each)
        found.append((mean.mean(), jnp.sqrt(variance.mean() + jnp.square(mean - mean.mean()).mean())))
    return Statistics(*(jnp.stack(values).mean()[None] for values in zip(*found)))


@functools.lru_cache(maxsize=8)
def _image_moments(spec: ImageSpec) -> Any:
    return jax.jit(lambda wave: moments(images(wave, spec)))


def set_statistics(waves: Float[Array | np.ndarray, "clips time"], spec: ImageSpec) -> Statistics:
    """The statistics of a set of clips (see `pooled`), computed batch by batch. Pure; nothing is kept."""
    measure, found = _image_moments(spec), []
    for start in range(0, len(waves), CLIPS):
        batch = np.asarray(waves[start : start + CLIPS], np.float32)
        short = min(CLIPS, len(waves)) - len(batch)  # one shape, one compilation
        measured = measure(jnp.asarray(np.pad(batch, [(0, short), (0, 0)])))
        found.append([np.asarray(values)[: len(batch)] for values in measured])
    return pooled(Moments(*(jnp.asarray(np.concatenate(values)) for values in zip(*found))))


def statistics_of(variables: Variables) -> Statistics:
    """The statistics that a network's variables hold."""
    return Statistics(**variables["batch_stats"]["encoder"][NAME])


def has_statistics(variables: Variables) -> bool:
    """Whether a network normalises its images with statistics in its variables; one of a user's own need not."""
    return NAME in variables["batch_stats"].get("encoder", {})


def with_statistics(tree: Any, statistics: Statistics) -> Any:
    """Any tree of variables (a method's whole state too) with other statistics wherever it holds some."""

    def replaced(path: tuple[Any, ...], leaf: Any) -> Any:
        names = [str(getattr(part, "key", "")) for part in path[-2:]]
        return jnp.asarray(getattr(statistics, names[1])) if names[0] == NAME else leaf

    return jax.tree_util.tree_map_with_path(replaced, tree)


def as_if(
    pictures: Float[Array, "batch rows columns"], own: Statistics, network: Statistics
) -> Float[Array, "batch rows columns"]:
    """Images that a network with the statistics `network` normalises to `(x - own.mean) / own.deviation`."""
    own_mean, own_deviation, mean, deviation = (v[None, None] for v in (*own, *network))
    return (pictures - own_mean) / own_deviation * deviation + mean
