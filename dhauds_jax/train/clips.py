"""The clips of a source training or a pretraining, their width, the noise of the noise view."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from dhauds_jax.data import pipeline, sets
from dhauds_jax.data.corruptions import is_own
from dhauds_jax.data.corruptions.noise import load_bank
from dhauds_jax.data.loading import load_split
from dhauds_jax.data.notices import absent_classes, to_say
from dhauds_jax.data.sets.base import list_split
from dhauds_jax.errors import BadInput
from dhauds_jax.nets.config import ClassifierConfig, reading
from dhauds_jax.train.request import ClipsOfRun, TrainOptions
from dhauds_jax.train.selection import BY_VALIDATION
from dhauds_jax.wording import counted
from dhauds_jax.workdir import records


def training_noise(dataset: sets.DataSet, noise_dir: str | None, kind: str, rate: int) -> np.ndarray | None:
    """One recording for the noise view of training: a SpeechCommands background noise, or a synthetic pink one.

    Of noises of one's own (ENU:PLACE), all recordings one after the other.

    Returns None when there is no noise folder and the data set is not made in memory.
    """
    if not noise_dir and not is_own(kind):
        if dataset.generate is None:
            return None
        from dhauds_jax.data.synthetic_noises import make_noise

        return make_noise("pink", seed=7, samples=60 * rate, sample_rate=rate)
    if is_own(kind):
        return np.concatenate(load_bank(noise_dir, kind, "L2", rate).waves)
    bank = load_bank(noise_dir, "ENSC", "L2", rate)
    names = [Path(name).stem for name in bank.names]
    if kind not in names:
        raise BadInput(f"--train_noise={kind}: expected one of {', '.join(names)}")
    return bank.waves[names.index(kind)]


def train_width(dataset: sets.DataSet, config: ClassifierConfig, options: TrainOptions) -> int:
    """Samples of a training row: the network's, or the data set's own when a random piece of longer clips is wanted."""
    if options.crop == "head":
        return config.length
    longest = max(dataset.length / dataset.sample_rate, dataset.seconds[1] if dataset.seconds else 0.0)
    return max(config.length, math.ceil(longest * config.sample_rate))


def check_splits(run: ClipsOfRun, dataset: sets.DataSet, validation: str = "val") -> None:
    """Raises `BadInput` unless there are clips to train on and others to validate on, before any is read."""
    for split in ("train", validation):
        if split not in dataset.splits:
            place = f"--data_dir={run.data_dir}" if run.data_dir else f"--dataset={run.dataset}"
            raise BadInput(
                f"{place}: there is no split {split!r} of {dataset.name}, only {' and '.join(dataset.splits)}; "
                "expected train, to train on, and val, to be scored after each epoch"
            )
    if dataset.listing is not None:
        list_split(dataset, run.data_dir, validation, run.allow_partial)


def validation_split(dataset: sets.DataSet, selection: str) -> str:
    """The split that is scored after each epoch: val, or test of a published set that has no val, with a notice.

    Raises:
      BadInput: there is no val, and the epoch would be chosen by the test clips.
    """
    if "val" in dataset.splits or "test" not in dataset.splits or not dataset.counts:
        return "val"
    if selection in BY_VALIDATION:
        raise BadInput(
            f"--selection={selection}: no validation split of {dataset.name} is published, and an epoch chosen by "
            "its test clips would flatter; give --selection=last"
        )
    print(f"note: no validation split of {dataset.name} is published: its test split is scored after each epoch")
    return "test"


def open_clips(
    run: ClipsOfRun,
    dataset: sets.DataSet,
    split: str,
    config: ClassifierConfig,
    width: int,
    budget_mb: float,
    first: bool = True,
) -> pipeline.ClipSplit:
    """A split in memory or streamed, at the network's rate, clips centred in their rows whatever its layout.

    Its size and notices are printed, skipped files listed in the workdir.
    Notices about all of the set are printed with the `first` split alone.
    Without TensorFlow the split is read into memory whatever the budget, to the same bits.
    """
    rate, resampler = config.sample_rate, reading(config.front_end)["resampler"]
    options = {
        "sample_rate": rate,
        "resampler": resampler,
        "allow_partial": run.allow_partial,
        "on_bad_file": run.on_bad_file,
    }
    if dataset.generate is not None or pipeline.available():
        options |= {"budget_mb": budget_mb, "cache_dir": run.cache_dir or Path(run.workdir) / "cache"}
        clips = pipeline.open_split(dataset, run.data_dir, split, width=width, **options)
    else:
        if first:
            print("note: TensorFlow is not installed (pip install dhauds_jax[data]): all clips are held in memory")
        read = load_split(dataset, run.data_dir, split, length=width, **options)
        rows = pipeline.to_int16(read.waves)
        clips = pipeline.from_arrays(read.ids, rows, read.labels, read.lengths, classes=read.classes, sample_rate=rate)
        clips = clips._replace(notices=read.notices, skipped=read.skipped)
    print(f"split {split} of {dataset.name}: {counted(len(clips.ids), 'clip')}")
    records.note_bad_files(Path(run.workdir), clips.skipped)
    for line in to_say(clips.notices, of_set=first):
        print(line)
    return clips


def say_length(longest: int, length: int, sample_rate: int) -> None:
    """Prints a note where the network takes at least twice as many samples as the longest clip has."""
    if length >= 2 * longest:
        took, has = length / sample_rate, longest / sample_rate
        print(
            f"note: the network takes {took:g} s and the longest clip has {has:.3g} s; the rest is silence, which "
            f"costs as much as sound (--length={math.ceil(100 * has) / 100:g} fits)",
            flush=True,
        )


def say_absent_classes(splits: Mapping[str, pipeline.ClipSplit]) -> None:
    """Prints a note about each of these splits that lacks classes: those are not learned, or not scored."""
    for split, clips in splits.items():
        for sentence in absent_classes(split, clips.classes, clips.labels):
            print(f"note: {sentence}")
