"""The clips an experiment works on: loaded for a classifier, corrupted for a cell."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dhauds_jax.data import sets
from dhauds_jax.data.corruptions import (
    CORRUPTIONS,
    LEVELS,
    SHIFTS,
    check_cell,
    checksum,
    corrupt,
    example,
    needs_noise,
)
from dhauds_jax.data.corruptions.noise import NoiseBank, load_bank, synthetic_bank
from dhauds_jax.data.layout import lay_out, raw_clip
from dhauds_jax.data.loading import Clips, load_split
from dhauds_jax.data.sets.base import multi_hot
from dhauds_jax.nets.config import ClassifierConfig
from experiments.records import CLEAN, note_bad_files


class Loaded(NamedTuple):
    """A split for a classifier: its data set, and clips with room for a time stretch beyond the classifier's length."""

    dataset: sets.DataSet
    clips: Clips
    length: int

    @property
    def labels(self) -> np.ndarray:
        """What predictions are scored against: class indices, or 0/1 rows for sets with several labels a clip."""
        if self.dataset.label_rows is None:
            return self.clips.labels
        return multi_hot(self.dataset, self.clips.labels)


class Corrupted(NamedTuple):
    """A corrupted split: (clips, length) waves and what the record says of the draw."""

    waves: np.ndarray
    draw: tuple[tuple[str, Any], ...]


def check_fits(config: ClassifierConfig, dataset: sets.DataSet, checkpoint: str) -> None:
    """Raises `ValueError` in one sentence when a checkpoint's classes are not the data set's."""
    if config.classes == dataset.classes:
        return
    if sorted(config.classes) == sorted(dataset.classes):
        raise ValueError(
            f"{checkpoint}: its classes are those of {dataset.name} in another order, so labels would be mixed up; "
            f"expected the order {', '.join(dataset.classes[:4])}, ..."
        )
    raise ValueError(
        f"{checkpoint}: its config.json has {len(config.classes)} classes ({', '.join(config.classes[:4])}, ...), but "
        f"{dataset.name} has {len(dataset.classes)} ({', '.join(dataset.classes[:4])}, ...); expected one trained on it"
    )


def load(
    dataset: str,
    data_dir: str | None,
    split: str,
    config: ClassifierConfig,
    *,
    allow_partial: bool = False,
    on_bad_file: str = "stop",
    workdir: str | None = None,
) -> Loaded:
    """Loads a split at the classifier's rate; notices are printed.

    Args:
      dataset, data_dir, split: what to load.
      config: of the classifier.
      allow_partial: go on when a list names absent files.
      on_bad_file: "stop", or "skip" the clip.
      workdir: where skipped files are listed.

    Raises:
      ValueError: unknown names, missing folders or files, broken audio.
    """
    record = sets.get(dataset, data_dir)
    # A faster clip is shorter: an eighth more than the classifier's length feeds the fastest stretch (1.12).
    clips = load_split(
        record,
        data_dir,
        split,
        sample_rate=config.sample_rate,
        length=config.length + config.length // 8,
        allow_partial=allow_partial,
        on_bad_file=on_bad_file,
    )
    if workdir:
        note_bad_files(Path(workdir), clips.skipped)
    for notice in clips.notices:
        print(f"note: {notice}")
    return Loaded(record, clips, config.length)


def only(loaded: Loaded, subset: str) -> Loaded:
    """The clips that a file names, one id a line, in the file's order.

    Raises:
      ValueError: no such file, an empty one, or an id that the split does not have.
    """
    path = Path(subset)
    if not path.is_file():
        raise ValueError(f"--subset={subset}: no such file, expected one with a clip id on each line")
    wanted = [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    rows = {clip: row for row, clip in enumerate(loaded.clips.ids)}
    absent = [clip for clip in wanted if clip not in rows]
    if absent or not wanted:
        found = f"{len(absent)} ids that are not in the split, the first {absent[0]!r}" if absent else "no ids"
        raise ValueError(f"--subset={subset}: holds {found}, expected ids such as {loaded.clips.ids[0]!r}")
    keep = np.array([rows[clip] for clip in wanted])
    clips = loaded.clips
    kept = clips._replace(
        ids=tuple(wanted), waves=clips.waves[keep], labels=clips.labels[keep], lengths=clips.lengths[keep]
    )
    return loaded._replace(clips=kept)


def laid_out(loaded: Loaded) -> tuple[np.ndarray, np.ndarray]:
    """The clean clips (clips, length), centre-padded and cut, and how many samples of each are its own."""
    rows = zip(loaded.clips.waves, loaded.clips.lengths, strict=True)
    waves = np.stack([lay_out(raw_clip(row, int(length)), loaded.length) for row, length in rows])
    return waves, np.minimum(loaded.clips.lengths, loaded.length).astype(np.int32)


def expand(corruptions: Sequence[str], levels: Sequence[str]) -> list[tuple[str, str]]:
    """The cells of two lists of names; "all" stands for every corruption, "clean" for none.

    CODE:LEVEL is one cell whatever the levels: of a shift (SCN:running_tap@10dB), or of a corruption (WHN:L1).

    Raises:
      ValueError: an unknown name; the valid ones are listed.
    """
    cells = []
    for name in [c for c in corruptions for c in (CORRUPTIONS if c == "all" else (c,))]:
        if name == CLEAN:
            cells.append((CLEAN, "-"))
            continue
        code, colon, level = name.partition(":")
        if colon and code in (*CORRUPTIONS, *SHIFTS):
            check_cell(code, level)
            cells.append((code, level))
            continue
        if name in SHIFTS:
            raise ValueError(f"shift {name} has no level: expected it after a colon, as in {example(name)}")
        if name not in CORRUPTIONS:
            raise ValueError(
                f"unknown corruption {name!r}: expected some of {', '.join(CORRUPTIONS)}, all, {CLEAN}, or shifts such "
                f"as {', '.join(map(example, SHIFTS))}"
            )
        for level in levels:
            if level not in LEVELS:
                raise ValueError(f"unknown level {level!r}: expected some of {', '.join(LEVELS)}")
            cells.append((name, level))
    return cells


def bank_for(dataset: sets.DataSet, noise_dir: str | None, corruption: str, level: str, rate: int) -> NoiseBank | None:
    """The recordings a corruption needs: from `noise_dir`, or made in memory for a data set made in memory."""
    if not needs_noise(corruption):
        return None
    if not noise_dir and dataset.generate is not None:
        return synthetic_bank(corruption, level, sample_rate=rate)
    bank = load_bank(noise_dir, corruption, level, rate)
    for notice in bank.notices:
        print(f"note: {notice}")
    return bank


def corrupted(
    loaded: Loaded, corruption: str, level: str, *, seed: int, profile: str, noise_dir: str | None
) -> Corrupted:
    """A cell's corrupted set, drawn once from `seed`.

    Raises:
      ValueError: unknown names, missing noise recordings.
    """
    if corruption == CLEAN:
        return Corrupted(laid_out(loaded)[0], ())
    rate = loaded.clips.sample_rate
    waves, draws = corrupt(
        loaded.clips.waves,
        loaded.clips.ids,
        dataset=loaded.dataset,
        corruption=corruption,
        level=level,
        seed=seed,
        profile=profile,
        bank=bank_for(loaded.dataset, noise_dir, corruption, level, rate),
        sample_rate=rate,
        length=loaded.length,
        lengths=loaded.clips.lengths,
        progress=True,
    )
    digest = checksum(loaded.clips.ids, draws, corruption=corruption, level=level)
    return Corrupted(waves, (("draw", "single"), ("draw_seed", seed), ("draw_checksum", digest[:16])))


def read_corrupted(loaded: Loaded, folder: str, corruption: str, level: str) -> Corrupted:
    """A cell of a -C set on disk, its clips in the order of the clean ones.

    Raises:
      ValueError: the folder has no such cell, or not the clips of this split.
    """
    from dhauds_jax.data.corrupted.reading import load_cell

    rate = loaded.clips.sample_rate
    clips = load_cell(loaded.dataset, folder, corruption, level, sample_rate=rate, length=loaded.length)
    places = {clip: row for row, clip in enumerate(clips.ids)}
    absent = [clip for clip in loaded.clips.ids if clip not in places]
    if absent:
        raise ValueError(
            f"{folder}: {corruption}-{level} lacks {len(absent)} of {len(loaded.clips.ids)} clips (the first: "
            f"{absent[0]}), expected the -C set of {loaded.dataset.name}"
        )
    waves = np.stack([clips.waves[places[clip]] for clip in loaded.clips.ids])
    digest = hashlib.sha256(waves.tobytes()).hexdigest()
    return Corrupted(waves, (("draw", "single"), ("draw_seed", "read"), ("draw_checksum", f"samples:{digest[:16]}")))


def training_noise(dataset: sets.DataSet, noise_dir: str | None, kind: str, rate: int) -> np.ndarray | None:
    """One recording for the noise view of training: a SpeechCommands background noise, or a synthetic pink one.

    Returns None when there is no noise folder and the data set is not made in memory.
    """
    if not noise_dir:
        if dataset.generate is None:
            return None
        from dhauds_jax.data.synthetic_noises import make_noise

        return make_noise("pink", seed=7, samples=60 * rate, sample_rate=rate)
    bank = load_bank(noise_dir, "ENSC", "L2", rate)
    names = [Path(name).stem for name in bank.names]
    if kind not in names:
        raise ValueError(f"--train_noise={kind}: expected one of {', '.join(names)}")
    return bank.waves[names.index(kind)]
