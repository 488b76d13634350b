"""The canary: labelled clips on which no session may lose accuracy."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from dhauds_jax.data import recordings
from dhauds_jax.errors import BadInput
from dhauds_jax.model.record import Model
from dhauds_jax.nets.config import reading
from dhauds_jax.serve import adaptation, guards
from dhauds_jax.serve.contracts import Served


class Canary(NamedTuple):
    """Labelled clips.

    Attributes:
      waves: float32 (clips, time), a window each.
      labels: (clips,) index of the reported class.
      source_right: (clips,) whether the source model has it right; `measured` fills it in.
    """

    waves: Float[np.ndarray, "clips time"]
    labels: Int[np.ndarray, " clips"]
    source_right: Bool[np.ndarray, " clips"]


def read(folder: Path | str, model: Model, classes: tuple[str, ...]) -> Canary:
    """Reads FOLDER/CLASS/*.wav (or flac, ogg, mp3, ...), the first window of each recording.

    Args:
      folder: with one folder a class.
      model: whose rate, length and layout the clips get.
      classes: names of what is reported (`Served.classes`).

    Raises:
      BadInput: a folder that is no class's, fewer clips than `guards.FEWEST_CANARIES`, or what cannot be read.
    """
    config = model.config
    found = recordings.load(
        folder,
        sample_rate=config.sample_rate,
        length=config.length,
        on_bad_file="stop",
        flag="canary",
        expected=f"CLASS/*.wav, a folder a class and at least {guards.FEWEST_CANARIES} recordings in all",
        **reading(config.front_end),
    )
    firsts = np.searchsorted(found.owner, np.arange(len(found.files)))
    names = [name.rpartition("/")[0].rpartition("/")[2] for name in found.files]
    for file, name in zip(found.files, names, strict=True):
        if name not in classes:
            raise BadInput(
                f"--canary={folder}: {file} lies in no class's folder, expected CLASS/*.wav with one of "
                f"{', '.join(classes)}"
            )
    labels = np.array([classes.index(name) for name in names], np.int32)
    return labelled(found.waves[firsts], labels, str(folder))


def labelled(waves: Float[np.ndarray, "clips time"], labels: Int[np.ndarray, " clips"], where: str) -> Canary:
    """A canary of clips at hand, which the source model has not heard yet.

    Raises:
      BadInput: too few of them; `where` says which.
    """
    if len(waves) < guards.FEWEST_CANARIES:
        raise BadInput(
            f"--canary={where}: {len(waves)} labelled clips, expected at least {guards.FEWEST_CANARIES}: with fewer, "
            "one that is lost weighs more than the drop that is allowed"
        )
    return Canary(np.asarray(waves, np.float32), labels, np.zeros(len(labels), bool))


def measured(canary: Canary, served: Served) -> Canary:
    """The canary with what the source model has right of it."""

    def predict(waves: np.ndarray) -> np.ndarray:
        return served.predict(waves, np.ones(len(waves), np.float32))

    said = adaptation.in_chunks(predict, canary.waves, served.shapes)
    return canary._replace(source_right=said.argmax(-1) == canary.labels)
