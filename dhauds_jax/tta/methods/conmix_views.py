"""CoNMix's strong view: clips raised in pitch, rolled, and cut to a random piece where the network takes images."""

from __future__ import annotations

from collections.abc import Callable

from jaxtyping import Array, Float, PRNGKeyArray

from dhauds_jax.dsp.stretch import pitch_shift
from dhauds_jax.dsp.views import random_roll
from dhauds_jax.nets import mel_image
from dhauds_jax.types import Batch, Classifier


def _raised(wave: Float[Array, "batch time"], sample_rate: int, semitones: int) -> Float[Array, "batch time"]:
    """Pitch shift as torchaudio's; clips of 512 samples or fewer take a shorter transform than its 512."""
    n_fft = 512
    while n_fft >= wave.shape[-1] and n_fft > 16:
        n_fft //= 2
    return pitch_shift(wave, sample_rate, semitones, n_fft=n_fft, hop=n_fft // 4)


def strong_features(
    classifier: Classifier, semitones: int, shift: float
) -> Callable[[PRNGKeyArray, PRNGKeyArray, Batch], Array]:
    """`(key of the rolls, key of the pieces, batch) -> features` of the changed clips.

    Each clip's pitch is raised, then it is rolled by `int((2u - 1) shift time)` samples; nets over images take a random
    piece of the result's larger image (`mel_image.cropped_images`). Source: CoNMix/*/STDA.py of DHAuDS.
    """
    spec = mel_image.spec_of(classifier.config.front_end)

    def features(roll_key: PRNGKeyArray, piece_key: PRNGKeyArray, batch: Batch) -> Array:
        wave = _raised(batch.wave, classifier.config.sample_rate, semitones) if semitones else batch.wave
        wave = random_roll(roll_key, wave, batch.index, shift)
        if spec is None:
            return classifier.features(wave)
        return mel_image.cropped_images(piece_key, wave, batch.index, spec)

    return features
