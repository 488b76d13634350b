"""The text side of a conversion: the tokenizer that is copied in, and whether the tower tells sentences apart."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from dhauds_jax.errors import BadInput
from dhauds_jax.nets import clap_prompts, clap_tokenizer
from dhauds_jax.types import AudioText

PHRASES = (
    "a dog barks",
    "heavy rain on a tin roof",
    "someone plays the piano",
    "glass breaks",
    "a crowd laughs and claps",
    "an engine starts",
    "a siren far away",
    "waves roll onto a beach",
)
"""Sentences that have nothing in common."""

COLLAPSED = 0.95
"""Mean cosine of `PHRASES` above which a tower tells nothing apart."""


def examined(
    model: AudioText, variables: Mapping[str, Any], tokenizer: Path | None, source: Path
) -> tuple[list[str], Callable[[Path], object] | None]:
    """What to say of the text tower, and what writes the tokenizer's files beside the checkpoint.

    Args:
      model: the converted one.
      variables: its.
      tokenizer: folder of `--tokenizer`; None takes a Hugging Face folder's own where it has one.
      source: of the conversion.

    Raises:
      BadInput: a folder without a tokenizer, another model's, or `tokenizers` is not installed.
    """
    folder = source if tokenizer is None and clap_tokenizer.files_of(source) else tokenizer
    if folder is None:
        return [
            f"no tokenizer: sentences cannot be embedded before {clap_tokenizer.EXPECTED} lies in the checkpoint's "
            f"{clap_prompts.TOKENIZER}/"
        ], None
    write = lambda place: clap_prompts.copy_tokenizer(folder, place)  # noqa: E731
    names = " and ".join(path.name for path in clap_tokenizer.files_of(folder))
    if tokenizer is None and importlib.util.find_spec("tokenizers") is None:
        return [f"tokenizer of {source.name} ({names}), not tried: {clap_tokenizer.EXTRA_HINT}"], write
    apart = mean_cosine(_phrases(model, variables, folder))
    said = [
        f"tokenizer of {Path(folder).name} ({names}): the mean cosine of {len(PHRASES)} unlike sentences is {apart:.2f}"
    ]
    if apart > COLLAPSED:
        said.append(
            f"the text tower tells sentences hardly apart (above {COLLAPSED}): its vectors have collapsed, and classes "
            "cannot be named; take another checkpoint, or the tokenizer that it was trained with"
        )
    return said, write


def _phrases(model: AudioText, variables: Mapping[str, Any], folder: Path) -> Float[np.ndarray, "phrases width"]:
    sizes = model.config.text
    most = min(clap_tokenizer.MOST, sizes["positions"] - 2)
    read = clap_tokenizer.Tokenizer(folder, most)
    if read.size > sizes["vocabulary"]:
        raise BadInput(
            f"--tokenizer: {folder} numbers {read.size:,} tokens, but the text tower has {sizes['vocabulary']:,}; "
            "expected the one that the model was trained with"
        )
    return clap_prompts.embed_tokens(model, variables, read(PHRASES).rows, most)


def mean_cosine(vectors: Float[np.ndarray, "rows width"]) -> float:
    """Mean over all pairs of the cosines of unit vectors."""
    rows = len(vectors)
    return float((np.sum(vectors @ vectors.T) - rows) / (rows * (rows - 1)))
