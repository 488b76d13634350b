"""What SSAST's fine-tuning does to a batch: clips mixed in pairs, masks, noise and shifts of the spectrogram.

Mixtures are for any network, masks for those on filter banks and log-mels.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, PRNGKeyArray

from dhauds_jax.dsp.views import roll
from dhauds_jax.errors import BadInput
from dhauds_jax.nets.config import ClassifierConfig
from dhauds_jax.parallel import own_rows, whole_batch
from dhauds_jax.train.request import LOSSES
from dhauds_jax.tta import losses

ROLL = (-10, 10)
"""Frames by which a noisy spectrogram is rolled: from the first, below the second."""


def masked_value(config: ClassifierConfig) -> float | None:
    """The value that a masked bin has in what the network takes.

    Of Kaldi filter banks 0 before their normalisation; None, the clip's own mean, of log-mels: these have no mean of
    the set, and no floor that is the same for all clips.

    Raises:
      BadInput: another front end.
    """
    front_end = config.front_end
    if front_end["kind"] == "log_mel":
        return None
    if front_end["kind"] != "kaldi_fbank":
        raise BadInput(
            f"--freq_mask and --time_mask are for nets on filter banks such as ssast_tiny and amaut_small, and the "
            f"front end of {config.net} is {front_end['kind']}: leave them out"
        )
    return -front_end["mean"] / (front_end["std_factor"] * front_end["std"])


def _masked(key: PRNGKeyArray, size: int, widest: int) -> Array:
    """(size,) whether a position lies in one band of U[0, `widest`) positions, anywhere."""
    width_draw, place_draw = jax.random.uniform(key, (2,))
    width = width_draw * widest
    start = jnp.floor(place_draw * jnp.maximum(size - width, 0.0)).astype(int)
    position = jnp.arange(size)
    return (position >= start) & (position < start + jnp.floor(width).astype(int))


def augment_spectrogram(
    key: PRNGKeyArray,
    features: Float[Array, "batch frames bins"],
    index: Int[Array, " batch"],
    *,
    fill: float | None,
    freq_mask: int = 0,
    time_mask: int = 0,
    noise: bool = False,
) -> Float[Array, "batch frames bins"]:
    """One mask over bins and one over frames of each clip; with `noise` also noise and a roll in time.

    `x + u v / 10` with u uniform on [0, 1) for each bin and v one for each clip (S15), then a circular roll by -10 to 9
    frames. Draws follow from `fold_in(key, index[row])`.

    Args:
      key: random key.
      features: (batch, frames, bins) normalised filter banks, or log-mels.
      index: (batch,) position of each clip in its set.
      fill: what a masked value becomes; None: the mean of its clip.
      freq_mask: bins, the mask over bins is narrower than this.
      time_mask: frames, the mask over frames is narrower than this.
      noise: whether noise and roll are added.

    Source: Gong et al., AAAI 2022, arXiv 2110.09784; SSAST, src/dataloader.py. The masks are torchaudio's, after Park
    et al., Interspeech 2019, arXiv 1904.08779.
    """

    def one(row: Array, i: Array) -> Array:
        keys = jax.random.split(jax.random.fold_in(key, i), 5)
        masked = _masked(keys[0], row.shape[1], freq_mask)[None] | _masked(keys[1], row.shape[0], time_mask)[:, None]
        row = jnp.where(masked, row.mean() if fill is None else fill, row)
        if not noise:
            return row
        row = row + jax.random.uniform(keys[2], row.shape) * jax.random.uniform(keys[3]) / 10
        return roll(row.T, jnp.full(row.shape[1], jax.random.randint(keys[4], (), *ROLL))).T

    return jax.vmap(one)(features, index)


def mix(
    key: PRNGKeyArray,
    wave: Float[Array, "batch time"],
    targets: Float[Array, "batch classes"],
    weights: Float[Array, " batch"],
    index: Int[Array, " batch"],
    share: float,
    axis_name: str | None = None,
) -> tuple[Float[Array, "batch time"], Float[Array, "batch classes"]]:
    """Mixup of waveforms: a `share` of the clips becomes `l x + (1 - l) x'`, their targets likewise, l of Beta(10, 10).

    x' is another clip of the batch, the next real one in a random order (in SSAST any clip of the set); both have their
    means taken off first.

    Args:
      key: random key.
      wave: (batch, time) samples.
      targets: (batch, classes) rows that sum to 1 for one label a clip.
      weights: (batch,) 0 for padded rows, which are never mixed in.
      index: (batch,) position of each clip in its set; what is drawn for a clip follows from it.
      share: of the clips, 0 to 1.
      axis_name: the mapped axis over which the batch is spread; partners come from the whole batch.

    Source: Tokozume et al., ICLR 2018, arXiv 1711.10282; SSAST, src/dataloader.py.
    """
    count = wave.shape[0]
    wave, targets, weights, index = whole_batch((wave, targets, weights, index), axis_name)
    draw = jax.vmap(lambda i: jax.random.uniform(jax.random.fold_in(key, i), (2,)))(index)
    order = jnp.argsort(draw[:, 0] + (weights == 0))  # real rows first, in a random order
    real = jnp.maximum(weights.astype(bool).sum(), 1)
    place = jnp.argsort(order)
    partner = order[(place + 1) % real]
    beta = jax.vmap(lambda i: jax.random.beta(jax.random.fold_in(jax.random.fold_in(key, i), 1), 10.0, 10.0))(index)
    l = jnp.where(draw[:, 1] < share, beta, 1.0)[:, None]
    centred = wave - wave.mean(-1, keepdims=True)
    mixed = (l * centred + (1 - l) * centred[partner], l * targets + (1 - l) * targets[partner])
    return tuple(own_rows(rows, count, axis_name) for rows in mixed)


def target_loss(
    logits: Float[Array, "batch classes"],
    targets: Float[Array, "batch classes"],
    weights: Float[Array, " batch"],
    axis_name: str | None = None,
    *,
    loss: str,
    smoothing: float,
) -> Float[Array, ""]:
    """Mean over clips of the cross-entropy against `(1 - smoothing) targets + smoothing / C`, or ("binary") mean over
    clips and classes of the binary cross-entropies against `targets` as they are (nats)."""
    if loss == "binary":
        return losses.weighted_mean(optax.sigmoid_binary_cross_entropy(logits, targets).mean(-1), weights, axis_name)
    soft = (1 - smoothing) * targets + smoothing / targets.shape[-1]
    return losses.weighted_mean(-(soft * jax.nn.log_softmax(logits, -1)).sum(-1), weights, axis_name)


def check_augmentation(options: Any, config: ClassifierConfig) -> None:
    """Raises `BadInput` in one sentence for options that cannot be, or that the network's front end cannot use."""
    if options.loss not in LOSSES:
        raise BadInput(f"--loss={options.loss}: expected one of {', '.join(LOSSES)}")
    if options.loss == "double_softmax" and options.mixup:
        raise BadInput("--loss=double_softmax takes one label a clip, expected it without --mixup")
    if not 0.0 <= options.mixup <= 1.0:
        raise BadInput(f"--mixup={options.mixup}: expected a share of the clips from 0 to 1")
    if options.freq_mask < 0 or options.time_mask < 0:
        raise BadInput(f"--freq_mask={options.freq_mask}, --time_mask={options.time_mask}: expected 0 or more")
    if options.spectrogram_noise and config.front_end["kind"] != "kaldi_fbank":
        raise BadInput(
            f"--spectrogram_noise is for nets on normalised Kaldi filter banks such as ssast_tiny, and the front end "
            f"of {config.net} is {config.front_end['kind']}: leave it out"
        )
    if options.freq_mask or options.time_mask:
        masked_value(config)


def make_augment(options: Any, config: ClassifierConfig) -> Callable[[Array, Array, Array], Array] | None:
    """`(key, features, index) -> features` of a recipe; None where it leaves spectrograms alone."""
    if not (options.freq_mask or options.time_mask or options.spectrogram_noise):
        return None
    settings = {name: getattr(options, name) for name in ("freq_mask", "time_mask")}
    fill = masked_value(config)

    def augment(key: Array, features: Array, index: Array) -> Array:
        return augment_spectrogram(key, features, index, fill=fill, noise=options.spectrogram_noise, **settings)

    return augment
