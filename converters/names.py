"""The choices of `--family`, each with the place of its record and what its sources are: the one line of an addition.

Nothing is imported here, so `--help` can list them at once; `families.find` resolves a place when it is used.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Choice(NamedTuple):
    """Where a family's record is ("module:attribute"), and what its sources are, for `--help`."""

    place: str
    sources: str


FAMILIES: Mapping[str, Choice] = {
    "hubert": Choice("converters.hubert_plan:ENCODER", "encoder alone, or a Hugging Face folder with its own head"),
    "hubert_classifier": Choice("converters.hubert_plan:CLASSIFIER", "pair"),
    "amaut": Choice("converters.amaut:FAMILY", "pair"),
    "ast": Choice("converters.spectrogram_plan:FAMILY", "one file of the authors or a Hugging Face folder"),
    "ssast": Choice("converters.spectrogram_plan:FAMILY", "one file, self-supervised or fine-tuned"),
    "clap": Choice("converters.clap_plan:FAMILY", "LAION's .pt or a Hugging Face folder, both towers in one"),
    "vggish": Choice(
        "converters.vggish:ENCODER", "torchvggish's .pth or an .npz of Google's names; a PCA file after it"
    ),
    "tomofun": Choice("converters.vggish:DOG_SOUNDS", "Best1.ckpt of team ADEE"),
    "conmix": Choice("converters.conmix:IMAGENET", "R50+ViT-B_16.npz"),
    "conmix_classifier": Choice("converters.conmix:CLASSIFIER", "modelF, modelB, modelC"),
}
