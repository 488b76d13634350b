"""The augmented views of source training: noise, random place or piece, random roll; for images a random piece."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from dhauds_jax.data.pipeline import ClipBatch as TrainBatch
from dhauds_jax.data.pipeline import ClipSplit
from dhauds_jax.dsp.mixing import add_noise
from dhauds_jax.dsp.views import random_fit, random_pad, random_roll, repeat_pad, roll
from dhauds_jax.nets import mel_image
from dhauds_jax.nets.config import ClassifierConfig, reading
from dhauds_jax.types import Classifier

VIEWS = ("shift", "noise", "clean")
"""Names of views; `train.request.TrainOptions` says what they are."""


def _fitted(key: Array, batch: TrainBatch, length: int, last_start: bool, layout: str) -> Array:
    """Clips (centred in their rows) brought to `length`: shorter ones put anywhere in it, of longer ones any piece.

    With the layout "repeat_pad" shorter ones are repeated, with "start" they come first.
    """
    width = batch.wave.shape[-1]
    left = roll(batch.wave, -((width - batch.lengths) // 2))
    if layout != "centre":
        first = jnp.pad(left, [(0, 0), (0, max(0, length - width))])[:, :length]
        placed = repeat_pad(left, batch.lengths, length) if layout == "repeat_pad" else first
        if width <= length:
            return placed
        pieces = random_fit(key, left, batch.lengths, batch.index, length, last_start=last_start)
        return jnp.where((batch.lengths > length)[:, None], pieces, placed)
    if width > length:
        return random_fit(key, left, batch.lengths, batch.index, length, last_start=last_start)
    return random_pad(key, left, batch.lengths, batch.index, length)


def make_view(
    name: str,
    options: Any,
    noise: Array | None,
    short: bool,
    length: int | None = None,
    layout: str = "centre",
) -> Callable[[Array, TrainBatch], Array]:
    """The augmentation `(key, batch) -> wave` of one view.

    Args:
      name: of `VIEWS`.
      options: the recipe, a `train.request.TrainOptions`.
      noise: (samples,) of the noise view.
      short: whether some rows are padded.
      length: samples of the result (None: of the rows); noise comes before a longer clip is cut.
      layout: the network's, for clips shorter than that.
    """

    def view(key: Array, batch: TrainBatch) -> Array:
        pad_key, own_key = jax.random.split(key)
        if name == "noise":
            width = batch.wave.shape[-1]
            starts = jax.vmap(
                lambda i: jax.random.randint(jax.random.fold_in(own_key, i), (), 0, noise.shape[0] - width + 1)
            )(batch.index)
            crops = jax.vmap(lambda start: jax.lax.dynamic_slice(noise, (start,), (width,)))(starts)
            # The SNR is that of the clip alone: its padding holds neither speech nor noise.
            position = jnp.arange(width)[None]
            head = ((width - batch.lengths) // 2)[:, None]
            inside = (position >= head) & (position < head + batch.lengths[:, None])
            batch = batch._replace(wave=add_noise(batch.wave, crops * inside, jnp.float32(options.noise_snr_db)))
        wanted = length or batch.wave.shape[-1]
        fits = not short and wanted == batch.wave.shape[-1]
        wave = batch.wave if fits else _fitted(pad_key, batch, wanted, options.crop_last_start, layout)
        return random_roll(own_key, wave, batch.index, options.shift) if name == "shift" else wave

    return view


def clean_view(config: ClassifierConfig, clips: ClipSplit, options: Any) -> Callable[[Array, TrainBatch], Array]:
    """The view without noise and roll, of a split's clips at the network's length and in its layout."""
    short = bool(np.any(clips.lengths < clips.width))
    return make_view("clean", options, None, short, config.length, reading(config.front_end)["layout"])


def make_features(classifier: Classifier, options: Any) -> Callable[[Array, Array, Array], Array]:
    """The front end in training, `(key, wave, index) -> features`: nets over images take a random piece of each image.

    With `options.time_flip` half of the pieces are mirrored in time (quirk 42).
    """
    spec = mel_image.spec_of(classifier.config.front_end)
    if spec is None:
        return lambda key, wave, index: classifier.features(wave)
    return lambda key, wave, index: mel_image.cropped_images(key, wave, index, spec, flip=options.time_flip)
