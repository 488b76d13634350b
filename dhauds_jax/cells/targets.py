"""The clips an experiment works on: loaded for a classifier, corrupted for a cell."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np

from dhauds_jax.cells.request import AdaptRun
from dhauds_jax.data import content, sets
from dhauds_jax.data.corruptions import (
    CORRUPTIONS,
    check_cell,
    check_places,
    checksum,
    corrupt,
    draw_clips,
    is_own,
    made_with,
    needs_noise,
    parse_cell,
    records,
)
from dhauds_jax.data.corruptions.noise import NoiseBank, find_recordings, load_bank, synthetic_bank
from dhauds_jax.data.layout import lay_out, raw_clip
from dhauds_jax.data.loading import Clips, load_split
from dhauds_jax.data.notices import to_say
from dhauds_jax.data.sets.base import draw_name, multi_hot
from dhauds_jax.digests import of_texts
from dhauds_jax.errors import BadInput
from dhauds_jax.names import CLEAN
from dhauds_jax.nets.config import ClassifierConfig, reading
from dhauds_jax.wording import counted
from dhauds_jax.workdir.records import note_bad_files


class Loaded(NamedTuple):
    """A split for a classifier: its data set, and clips with room for a time stretch beyond the classifier's length.

    `layout` and `resampler` are those of the classifier's config; the clips lie centred whatever its layout.
    """

    dataset: sets.DataSet
    clips: Clips
    length: int
    layout: str = "centre"
    resampler: str = "sinc"

    @property
    def labels(self) -> np.ndarray:
        """What predictions are scored against: class indices, or 0/1 rows for sets with several labels a clip."""
        if self.dataset.label_rows is None:
            return self.clips.labels
        return multi_hot(self.dataset, self.clips.labels)


class Noise(NamedTuple):
    """The recordings that a corruption mixes in (None: it takes none) and their digest."""

    bank: NoiseBank | None
    digest: str | None


class Corrupted(NamedTuple):
    """A corrupted split: what it is called is known at once, its samples are made when they are asked for.

    Attributes:
      waves: makes the samples (clips, length), once.
      draw: what the record says of the draw; it names the cell.
      noise: digest of the recordings that are mixed in, where there are some.
      each: makes the digest of each clip's own draw, once; () where nothing is drawn.
    """

    waves: Callable[[], np.ndarray]
    draw: tuple[tuple[str, Any], ...]
    noise: str | None = None
    each: Callable[[], tuple[str, ...]] = tuple


T = TypeVar("T")


def once(make: Callable[[], T]) -> Callable[[], T]:
    """`make` called at the first call alone; what it holds on to is let go then."""
    waiting, made = [make], []

    def get() -> T:
        if not made:
            made.append(waiting[0]())
            waiting.clear()
        return made[0]

    return get


def check_fits(config: ClassifierConfig, dataset: sets.DataSet, checkpoint: str) -> None:
    """Raises `BadInput` in one sentence when a checkpoint's classes are not the data set's."""
    if config.classes == dataset.classes:
        return
    if sorted(config.classes) == sorted(dataset.classes):
        raise BadInput(
            f"{checkpoint}: its classes are those of {dataset.name} in another order, so labels would be mixed up; "
            f"expected the order {', '.join(dataset.classes[:4])}, ..."
        )
    own, classes = set(config.classes), counted(len(config.classes), "class", "classes")
    shared = sum(name in own for name in dataset.classes)
    raise BadInput(
        f"{checkpoint}: knows {classes} ({', '.join(config.classes[:4])}, ...), but {dataset.name} has "
        f"{len(dataset.classes)} ({', '.join(dataset.classes[:4])}, ...), {shared or 'none'} of them the same; "
        "expected a checkpoint of these classes: give another --checkpoint, or train one with experiments.train "
        f"--dataset={dataset.name}"
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
    first: bool = True,
) -> Loaded:
    """Loads a split at the classifier's rate; its name and size and notices are printed.

    Args:
      dataset: what to load.
      data_dir: where it lies.
      split: of it.
      config: of the classifier.
      allow_partial: go on when a list names absent files.
      on_bad_file: "stop", or "skip" the clip.
      workdir: where skipped files are listed.
      first: whether to print notices about all of the set.

    Raises:
      BadInput: unknown names, missing folders or files, broken audio.
    """
    record, read_as = sets.get(dataset, data_dir), reading(config.front_end)
    # A faster clip is shorter: an eighth more than the classifier's length feeds the fastest stretch (1.12).
    clips = load_split(
        record,
        data_dir,
        split,
        sample_rate=config.sample_rate,
        length=config.length + config.length // 8,
        resampler=read_as["resampler"],
        allow_partial=allow_partial,
        on_bad_file=on_bad_file,
    )
    print(f"split {split} of {record.name}: {counted(len(clips.ids), 'clip')}")
    if workdir:
        note_bad_files(Path(workdir), clips.skipped)
    for line in to_say(clips.notices, of_set=first):
        print(line)
    return Loaded(record, clips, config.length, **read_as)


def laid_out(loaded: Loaded) -> tuple[np.ndarray, np.ndarray]:
    """The clean clips (clips, length), laid out and cut, and how many samples of each are its own."""
    rows = zip(loaded.clips.waves, loaded.clips.lengths, strict=True)
    own = (raw_clip(row, int(length)) for row, length in rows)
    waves = np.stack([lay_out(clip, loaded.length, layout=loaded.layout) for clip in own])
    return waves, np.minimum(loaded.clips.lengths, loaded.length).astype(np.int32)


def expand(corruptions: Sequence[str], levels: Sequence[str]) -> list[tuple[str, str]]:
    """The cells of two lists of names; "all" stands for every corruption of ours with levels, "clean" for none.

    CODE:LEVEL is one cell whatever the levels: of a shift (SCN:running_tap@10dB), or of a corruption (WHN:L1). A user's
    own corruption is "module:attribute", or "module:attribute:LEVEL". What is named twice is one cell.

    Raises:
      BadInput: an unknown name (the nearest ones are given), a level that a corruption does not have, or two
        places of noises that are called the same.
    """
    cells = []
    for name in [c for c in corruptions for c in (CORRUPTIONS if c == "all" else (c,))]:
        if name == CLEAN:
            cells.append((CLEAN, "-"))
            continue
        code, level = parse_cell(name, ("all", CLEAN))
        if level is not None:
            cells.append((code, level))
            continue
        for level in levels:
            check_cell(code, level)
            cells.append((code, level))
    check_places(code for code, _ in cells)
    return list(dict.fromkeys(cells))


def check_noise(dataset: sets.DataSet, noise_dir: str | None, corruption: str, level: str, rate: int) -> None:
    """Raises `BadInput` if the recordings that `bank_for` would read are not there; none is read."""
    if needs_noise(corruption) and not stood_in_for(dataset, noise_dir, corruption):
        find_recordings(noise_dir, corruption, level, rate)


def stood_in_for(dataset: sets.DataSet, noise_dir: str | None, corruption: str) -> bool:
    """Whether recordings are made in memory; those of one's own never are."""
    return not noise_dir and dataset.generate is not None and not is_own(corruption)


def bank_for(dataset: sets.DataSet, noise_dir: str | None, corruption: str, level: str, rate: int) -> NoiseBank | None:
    """The recordings a corruption needs: from `noise_dir`, or made in memory for a data set made in memory."""
    if not needs_noise(corruption):
        return None
    if stood_in_for(dataset, noise_dir, corruption):
        return synthetic_bank(corruption, level, sample_rate=rate)
    bank = load_bank(noise_dir, corruption, level, rate)
    for notice in bank.notices:
        print(f"note: {notice}")
    return bank


def noise_for(loaded: Loaded, noise_dir: str | None, corruption: str, level: str) -> Noise:
    """The recordings a corruption needs, as `bank_for` finds them, and their digest."""
    bank = bank_for(loaded.dataset, noise_dir, corruption, level, loaded.clips.sample_rate)
    return Noise(bank, content.of_bank(bank))


def corrupted(
    loaded: Loaded, corruption: str, level: str, *, seed: int, profile: str, noise: Callable[[], Noise]
) -> Corrupted:
    """A cell's corrupted set, drawn from `seed` now and applied when its samples are asked for.

    `noise` gives the recordings, now and then again: `once(...)` holds them in between, a plain function reads anew.

    Raises:
      BadInput: unknown names, missing noise recordings.
    """
    if corruption == CLEAN:
        return Corrupted(once(lambda: laid_out(loaded)[0]), ())
    clips, same = loaded.clips, {"corruption": corruption, "level": level, "seed": seed, "profile": profile}
    both_ways = loaded.dataset.order.stretch_both_ways
    drawn_from = {"dataset": draw_name(loaded.dataset), "length": loaded.length, "stretch_both_ways": both_ways}
    bank, digest = noise()
    draws = draw_clips(clips.ids, bank, **drawn_from, **same)

    def samples() -> np.ndarray:
        applied_to = {"sample_rate": clips.sample_rate, "length": loaded.length, "lengths": clips.lengths}
        applied_to |= {"layout": loaded.layout}
        bank = noise().bank
        of_set = {"dataset": loaded.dataset, "bank": bank, "progress": True}
        waves = corrupt(clips.waves, clips.ids, **of_set, **applied_to, **same)[0]
        for notice in bank.later_notices() if bank else ():
            print(f"note: {notice}")
        return waves

    named = checksum(clips.ids, draws, corruption=corruption, level=level)[:16]

    def each() -> tuple[str, ...]:
        return tuple(of_texts(one) for one in records(clips.ids, draws, corruption=corruption, level=level))

    drawn = (("draw", "single"), ("draw_seed", seed), ("draw_checksum", named), *made_with(corruption, "draw_"))
    return Corrupted(once(samples), drawn, digest, once(each))


def load_for(run: AdaptRun, split: str, config: ClassifierConfig, first: bool = True) -> Loaded:
    """A split as the run wants it; notices about all of the set are printed with the `first` split alone."""
    return load(
        run.dataset,
        run.data_dir,
        split,
        config,
        allow_partial=run.allow_partial,
        on_bad_file=run.on_bad_file,
        workdir=run.workdir,
        first=first,
    )


class Target(NamedTuple):
    """The corrupted set of a cell.

    Attributes:
      waves: (domains * clips, time), domain after domain.
      labels: of every row, for scoring and for label-ordered streams only: class indices, or 0/1 rows of classes.
      metric: name of the data set's metric.
      domains: (corruption, level) of each domain; one for most protocols.
      evaluation: (clips, time) the evaluation draw of the same clips, or None where one draw serves both.
      clean: (clips, time) the uncorrupted clips, for protocols that watch forgetting.
      view: (clips, time) a second view of `waves`, for criteria of agreement (offline only).
    """

    waves: np.ndarray
    labels: np.ndarray
    metric: str
    domains: tuple[tuple[str, str], ...] = ()
    evaluation: np.ndarray | None = None
    clean: np.ndarray | None = None
    view: np.ndarray | None = None

    @property
    def clips(self) -> int:
        """Clips of one domain."""
        return len(self.waves) // max(1, len(self.domains))
