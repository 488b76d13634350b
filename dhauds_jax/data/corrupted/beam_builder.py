"""A cell of a corrupted set as a TFDS data set, made by Apache Beam. Needs apache_beam and TensorFlow Datasets.

job = beam.Job("speech_commands_v2", data_dir, noise_dir, "ENQ", "L2", seed=123456)
builder = CorruptedCell(data_dir="cache", config=CorruptedConfig.of(job))
builder.download_and_prepare(download_config=tfds.download.DownloadConfig(beam_options=beam.pipeline_options([])))
builder.as_dataset(split="test")
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator
from typing import Any

import apache_beam
import numpy as np
import tensorflow_datasets as tfds

from dhauds_jax.data.clip_source import ClipSource, open_clips
from dhauds_jax.data.content import of_bank
from dhauds_jax.data.corrupted import beam
from dhauds_jax.data.pipeline import builders
from dhauds_jax.data.sets import base


@dataclasses.dataclass(eq=False)
class CorruptedConfig(tfds.core.BuilderConfig):
    """A configuration of the builder: the cell to make.

    Attributes:
      job: the cell, with the folders of clips and noises.
      allow_partial: go on when a list names absent files.
      batch: clips that a worker takes at a time.
    """

    job: beam.Job | None = None
    allow_partial: bool = False
    batch: int = beam.BATCH

    @classmethod
    def of(cls, job: beam.Job, **options: Any) -> CorruptedConfig:
        """The configuration of a job, named after all that decides its samples: lists the clips and reads the noises.

        Raises:
          BadInput: clips or noises that are not there.
        """
        dataset = job.cell.dataset
        copy = builders.copy_digest(dataset, job.data_dir, options.get("allow_partial", False))
        content = filter(None, (copy, of_bank(beam.bank_of(job))))
        parts = (job.dataset.replace("/", "_"), job.split, job.corruption, job.level, str(job.seed), job.profile)
        name = "-".join((*parts, *content)).replace("@", "_at_").replace("+", "_")
        return cls(name=name, description=f"{job.corruption}-{job.level} of {job.dataset}", job=job, **options)


class CorruptedCell(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Corrupted clips of one cell: int16 audio as it stands in the wav files of `experiments.corrupt`, label, id."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First release."}  # noqa: RUF012

    @property
    def job(self) -> beam.Job:
        """The cell to make; raises `ValueError` when the configuration has none."""
        if getattr(self.builder_config, "job", None) is None:
            raise ValueError("CorruptedCell has no job, expected config=CorruptedConfig.of(job)")
        return self.builder_config.job

    def _info(self) -> tfds.core.DatasetInfo:
        cell = self.job.cell
        dataset = cell.dataset
        return tfds.core.DatasetInfo(
            builder=self,
            description=f"{cell.corruption}-{cell.level} of {dataset.name}, {cell.length} samples a clip.",
            features=builders.features(dataset),
            supervised_keys=("audio", "label"),
            homepage=dataset.homepage,
            citation=dataset.citation,
            license=dataset.licence,
            metadata=tfds.core.MetadataDict(dataset=dataset.name, sample_rate=dataset.sample_rate, seed=cell.seed),
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
        job, partial = self.job, self.builder_config.allow_partial
        options = {"allow_partial": partial, "on_bad_file": job.on_bad_file}
        source = open_clips(job.cell.dataset, job.data_dir, job.split, **options)
        return {job.split: self._generate_examples(source)}

    def _generate_examples(self, source: ClipSource) -> Any:
        works = beam.batches(source, self.builder_config.batch)
        labelled = [(work, source.labels[list(work.rows)]) for work in works]
        make = functools.partial(_examples, self.job, len(source.ids))
        return apache_beam.Create(labelled) | apache_beam.Reshuffle() | apache_beam.FlatMap(make)


def _examples(job: beam.Job, clips: int, labelled: tuple[beam.Work, np.ndarray]) -> Iterator[tuple[int, Any]]:
    """A batch's examples; keys keep the order of the list (see `builders`)."""
    (work, labels), dataset = labelled, job.cell.dataset
    piece = beam.corrupt_work(job, work)
    for row, samples in zip(piece.rows, piece.samples, strict=True):
        ref = base.ClipRef(work.ids[row], None, int(labels[row]))
        yield work.rows[row] * (builders.KEYS // clips), builders.example(dataset, ref, samples)
