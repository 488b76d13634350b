"""An audio-text model in Python: its sentences' vectors, and itself as a model of classes that are given by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from dhauds_jax.errors import BadInput
from dhauds_jax.model.record import Model
from dhauds_jax.nets import checkpoint, clap_prompts
from dhauds_jax.nets import precision as precisions
from dhauds_jax.nets.audio_text_config import AudioTextConfig
from dhauds_jax.nets.clap_classifier import as_classifier
from dhauds_jax.nets.clap_zoo import build_audio_text
from dhauds_jax.types import AudioText, Variables
from dhauds_jax.zeroshot import prototypes, templates


class Towers(NamedTuple):
    """An audio-text model with its weights.

    Attributes:
      model: the towers as pure functions.
      variables: their weights.
      config: their record.
      extra: what else the checkpoint holds.
      folder: of the checkpoint, where sentences' vectors are kept.
      precision: of the products.
    """

    model: AudioText
    variables: Variables
    config: AudioTextConfig
    extra: Mapping[str, Any]
    folder: Path
    precision: str

    def sentences(self, texts: Sequence[str]) -> Float[np.ndarray, "texts width"]:
        """Unit vectors of sentences (`nets.clap_prompts.embed_texts`), in float32 whatever the precision of sounds."""
        return clap_prompts.embed_texts(build_audio_text(self.config), self.variables, texts, self.folder)

    def classifier(self, anchors: Float[np.ndarray, "classes width"], classes: Sequence[str]) -> Model:
        """The audio tower as a model whose logits are scaled cosines with unit anchors."""
        options = precisions.compute_options(self.precision)
        zeros = np.zeros(len(classes), np.float32)
        made, own = as_classifier(self.config, self.variables, np.asarray(anchors).T, zeros, classes, **options)
        return Model(made, jax.tree.map(jnp.asarray, own), made.config, self.extra)


def towers(place: str | Path, *, precision: str = "float32") -> Towers:
    """The audio-text model in a checkpoint's folder.

    Raises:
      BadInput: no checkpoint, a damaged one, or that of a classifier.
    """
    precisions.check_precision(precision)
    variables, config, extra = checkpoint.load_audio_text(place)
    model = build_audio_text(config, **precisions.compute_options(precision))
    return Towers(model, variables, config, extra, Path(place), precision)


def load_named(
    place: str | Path, class_names: Sequence[str], *, template: str = "laion", precision: str = "float32"
) -> Model:
    """A model of classes that are given by name, of an audio-text model's checkpoint.

    Args:
      place: folder of `converters.convert --family=clap`.
      class_names: at least two; underscores are read as spaces.
      template: a name of `zeroshot.templates.TEMPLATES`, or lines with `{}` for the name; several are averaged.
      precision: of the products.

    Raises:
      BadInput: no such checkpoint, class names that are said alike, sentences that need a tokenizer that is not there.
    """
    if isinstance(class_names, str) or not all(isinstance(name, str) for name in class_names):
        raise BadInput(f"class_names: {class_names!r}, expected a list of names such as ['dog bark', 'rain']")
    classes = templates.class_names("\n".join(class_names), "class_names")
    lines = templates.templates(template)
    found = towers(place, precision=precision)
    vectors = found.sentences(templates.sentences(classes, lines)).reshape(len(lines), len(classes), -1)
    return found.classifier(np.asarray(prototypes.text(jnp.asarray(vectors))), classes)
