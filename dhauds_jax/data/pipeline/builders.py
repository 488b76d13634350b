"""TFDS builders: one class a data set on disk, made from its record. Needs TensorFlow Datasets.

builder = builders.builder_class("audio_mnist")(data_dir="cache", config="16000")     # or builders.AudioMnist(...)
manual = tfds.download.DownloadConfig(manual_dir="where/AudioMNIST/lies")
builder.download_and_prepare(download_config=manual)
builder.as_dataset(split="test")
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from dhauds_jax.data import sets
from dhauds_jax.data.pipeline.decoding import decode_files
from dhauds_jax.data.pipeline.tfrecord import listing_state
from dhauds_jax.data.sets.base import DataSet, draw_name, list_split, multi_hot
from dhauds_jax.errors import BadInput
from dhauds_jax.registry import nearest

RATES = ("native", 16_000)
"""Rates in Hz that every builder offers by name; others through an `AudioConfig` of one's own."""
KEYS = 1 << 128  # TFDS sorts examples by a key of 128 bits


@dataclasses.dataclass(eq=False)
class AudioConfig(tfds.core.BuilderConfig):
    """A configuration of a builder.

    Attributes:
      variant: what follows the "/" in the data set's name, "" for the set itself.
      sample_rate: Hz, or "native" for the rate of the set's record (files at another rate are resampled to it).
      allow_partial: go on when a list names absent files.
    """

    variant: str = ""
    sample_rate: int | str = "native"
    allow_partial: bool = False


def features(dataset: DataSet) -> tfds.features.FeaturesDict:
    """What an example holds: `audio` int16 (time,), `label`, `id`; with several labels a clip also `labels`, uint8."""
    several = {"labels": tfds.features.Tensor(shape=(len(dataset.classes),), dtype=np.uint8)}
    return tfds.features.FeaturesDict(
        {
            # Raw bytes: the Audio feature stores a varint a sample, three times the size and fifteen times slower.
            "audio": tfds.features.Tensor(shape=(None,), dtype=np.int16, encoding="bytes"),
            "label": tfds.features.ClassLabel(names=list(dataset.classes) or None),
            "id": tfds.features.Text(),
            **(several if dataset.label_rows else {}),
        }
    )


def example(dataset: DataSet, ref: sets.ClipRef, wave: np.ndarray) -> dict[str, Any]:
    """A clip as an example of `features`."""
    several = {"labels": multi_hot(dataset, np.array([ref.label]))[0].astype(np.uint8)} if dataset.label_rows else {}
    clip_id = ref.id.encode("utf-8", "surrogateescape")  # names of files need not be Unicode
    return {"audio": wave, "label": ref.label, "id": clip_id, **several}


def copy_digest(dataset: DataSet, data_dir: Path | str | None, allow_partial: bool = False) -> str:
    """Twelve digits for the copy of a set in a folder: its classes, and names, sizes, times of change of all its files.

    A cache is found by the name of its configuration; with these digits in it, the cache of another copy is not.

    Args:
      dataset: the set, as `sets.get` finds it in the folder.
      data_dir: the folder.
      allow_partial: go on when a list names absent files.

    Raises:
      BadInput: a split that cannot be listed.
    """
    digest = hashlib.sha256(json.dumps([dataset.name, dataset.classes]).encode())
    for split in dataset.splits if dataset.listing else ():
        digest.update(split.encode())
        for state in listing_state(list_split(dataset, data_dir, split, allow_partial)[0]):
            digest.update(state)
    return digest.hexdigest()[:12]


def split_name(split: str) -> str:
    """A split's name for TFDS, which calls the only split of a set "train" and has other plans for the word "all"."""
    return "train" if split == "all" else split


class AudioBuilder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """The base of all builders. Clips are stored whole: mixed down, resampled, int16, in the order of the lists.

    The rate in Hz is `info.metadata["sample_rate"]`.
    """

    VERSION = tfds.core.Version("1.0.0")
    SET: str
    """The data set's name, without a variant."""

    @property
    def dataset(self) -> DataSet:
        """The record of the builder's variant."""
        variant = self.builder_config.variant
        return sets.REGISTRY[f"{self.SET}/{variant}" if variant else self.SET]

    def _rate(self, dataset: DataSet) -> int:
        rate = self.builder_config.sample_rate
        return dataset.sample_rate if rate == "native" else int(rate)

    def _info(self) -> tfds.core.DatasetInfo:
        dataset = self.dataset
        return tfds.core.DatasetInfo(
            builder=self,
            description=f"{dataset.name}, as laid out by its authors:\n{dataset.layout}",
            features=features(dataset),
            supervised_keys=("audio", "label"),
            homepage=dataset.homepage,
            citation=dataset.citation,
            license=dataset.licence,
            metadata=tfds.core.MetadataDict(dataset=dataset.name, sample_rate=self._rate(dataset)),
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
        try:
            folder = Path(dl_manager.manual_dir)
        except AssertionError as error:
            found = str(error).partition(". ")[0]  # instructions follow, a page of them
            raise BadInput(
                f"{self.SET}: {found}, expected DownloadConfig(manual_dir=FOLDER) with a copy of the set "
                f"(see {self.dataset.homepage or 'its layout'})"
            ) from error
        dataset = self.dataset
        if dataset.at is not None:
            dataset = dataset.at(folder)
            self.info.features["label"].names = list(dataset.classes)
            self.info.metadata["sample_rate"] = self._rate(dataset)
        return {split_name(split): self._generate_examples(dataset, folder, split) for split in dataset.splits}

    def _generate_examples(self, dataset: DataSet, folder: Path, split: str) -> Iterator[tuple[int, dict[str, Any]]]:
        refs, _ = list_split(dataset, folder, split, self.builder_config.allow_partial)
        for i, decoded in enumerate(decode_files([ref.path for ref in refs], self._rate(dataset))):
            # TFDS sorts by key in buckets of the whole range: keys 0, 1, 2 would all share one, and be held at once.
            yield i * (KEYS // len(refs)), example(dataset, refs[i], decoded.wave)


def names() -> tuple[str, ...]:
    """Names of the data sets that have a builder, without variants."""
    return tuple(name for name, dataset in sets.REGISTRY.items() if dataset.listing and draw_name(dataset) == name)


@functools.cache
def builder_class(name: str) -> type[AudioBuilder]:
    """The builder of a data set; its variants and rates are configurations, "native", "16000", "fold1-native", ...

    Args:
      name: of the data set, without a variant.

    Raises:
      BadInput: no such set, or one that is made in memory.
    """
    if name not in names():
        raise BadInput(f"no builder for {name!r}: expected {nearest(name, names())}")
    dataset = sets.REGISTRY[name]
    found = [other for other in sets.REGISTRY.values() if draw_name(other) == name]
    attributes = {
        "__doc__": f"{name}: {dataset.citation}. Licence: {dataset.licence}.",
        "__module__": __name__,
        "name": name,
        "SET": name,
        "BUILDER_CONFIGS": [_config(other, rate) for other in found for rate in RATES],
        "RELEASE_NOTES": {"1.0.0": "First release."},
        "MANUAL_DOWNLOAD_INSTRUCTIONS": f"{dataset.homepage or name}\nThe folder, or a parent of it, holds\n"
        f"{dataset.layout}",
    }
    return type(AudioBuilder)(_class_name(name), (AudioBuilder,), attributes)


def _config(dataset: DataSet, rate: int | str) -> AudioConfig:
    variant = dataset.name.partition("/")[2]
    hertz = f"{dataset.sample_rate} Hz, the set's own" if rate == "native" else f"{rate} Hz"
    return AudioConfig(
        name=f"{variant}-{rate}" if variant else str(rate),
        description=f"{dataset.name} at {hertz}",
        variant=variant,
        sample_rate=rate,
    )


def _class_name(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_"))


def __getattr__(attribute: str) -> type[AudioBuilder]:
    for name in names():
        if _class_name(name) == attribute:
            return builder_class(name)
    raise AttributeError(f"module {__name__} has no attribute {attribute!r}")
