"""A quirk of the dog-sound classifier: examples that a shift leaves no samples for count as log-mel values of 0."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float

from dhauds_jax.dsp import vggish
from dhauds_jax.dsp.shifts import lose_rows
from dhauds_jax.errors import BadInput
from dhauds_jax.types import Classifier


def with_lost_rows(classifier: Classifier) -> Classifier:
    """The classifier as the published code feeds it: its front end gives `lost(...)`, and no mask leaves them out.

    The published buffer of five examples a clip is filled as far as the shifted clip reaches; the rest stays 0, which
    is louder than silence (ln 0.01), and takes part in the attention and the mean (quirks T16, T20).

    Raises:
      BadInput: a network whose front end gives no examples.
    """
    config = classifier.config
    if config.front_end["kind"] != "vggish":
        raise BadInput(
            f"--lost_rows: the front end of {config.net} is {config.front_end['kind']}, which has no examples to lose, "
            "expected a net such as vggish or vggish_small: leave the flag out"
        )

    def features(wave: Float[Array, "batch time"]) -> Float[Array, "batch examples 96 64"]:
        return lost(classifier.features(wave), wave)

    def apply(variables, wave, **how):
        return classifier.apply_features(variables, features(wave), **how)

    return classifier._replace(features=features, apply=apply)


def lost(
    examples: Float[Array, "batch examples 96 64"], wave: Float[Array, "batch time"]
) -> Float[Array, "batch examples 96 64"]:
    """Log-mel examples, those of 0 that are not wholly within their clip, which ends with its last sample but 0.

    Source: Tomofun challenge, team ADEE, src/mydataset.py (`all_melfeatures{i}.tensor`).
    """
    samples = wave.shape[-1] - jnp.argmax(wave[:, ::-1] != 0, axis=-1)  # of each clip; a silent one keeps all
    whole = (1 + (samples - vggish.FRAME) // vggish.HOP) // vggish.EXAMPLE
    return lose_rows(examples, whole)
