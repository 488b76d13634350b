"""The clips that the plans of class-incremental runs have, read: unreadable, silent and too short ones left out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int

from dhauds_jax.cells import targets
from dhauds_jax.cells.targets import Loaded
from dhauds_jax.data import loading, sets
from dhauds_jax.data.layout import raw_clip
from dhauds_jax.data.loading import Clips
from dhauds_jax.data.mixdown import SILENT
from dhauds_jax.data.notices import to_say
from dhauds_jax.data.sets.base import ClipRef, DataSet
from dhauds_jax.errors import BadInput
from dhauds_jax.files import printable
from dhauds_jax.incremental import sessions
from dhauds_jax.nets.config import ClassifierConfig, reading
from dhauds_jax.runs.learn_clips import SHORTEST_S
from dhauds_jax.runs.requests.incremental import IncrementalRun
from dhauds_jax.wording import counted
from dhauds_jax.workdir.records import note_bad_files


class Listed(NamedTuple):
    """A set's clips before any is read: of each its split, and its file where it has one."""

    clips: sessions.Clips
    splits: tuple[str, ...]
    refs: tuple[ClipRef, ...] | None


def load(
    run: IncrementalRun,
    dataset: DataSet,
    config: ClassifierConfig,
    listed: Listed,
    rows: Int[np.ndarray, " rows"],
    first: bool,
) -> tuple[Loaded, set[str]]:
    """The clips of some rows in their order, and the names of those that were left out.

    Raises:
      BadInput: what `loading.load_split` refuses; with `--on_bad_file=stop` also a silent or too short clip.
    """
    read_as, parts, skipped = reading(config.front_end), [], []
    wanted = {listed.clips.ids[k] for k in rows}
    for split in dict.fromkeys(listed.splits[k] for k in rows):
        clips = loading.load_split(
            _only(dataset, wanted),
            run.data_dir,
            split,
            sample_rate=config.sample_rate,
            length=config.length + config.length // 8,  # as `targets.load`: room for a stretch
            resampler=read_as["resampler"],
            allow_partial=run.allow_partial,
            on_bad_file=run.on_bad_file,
        )
        parts.append(clips)
        nothing = unheard(clips, config.length)
        if nothing and run.on_bad_file == "stop":
            name, reason = nothing[0]
            raise BadInput(
                f"{dataset.name}: the clip {name} is {reason}, expected one that can be heard; mend it, or leave such "
                "clips out with --on_bad_file=skip"
            )
        skipped += [*clips.skipped, *nothing]
        if first:
            print(f"split {split} of {dataset.name}: {counted(len(clips.ids), 'clip')} of the plans")
            for line in to_say(clips.notices, of_set=not parts[:-1]):
                print(line)
        if nothing:
            few = counted(len(nothing), "clip")
            print(f"note: {few} left out (the first: {nothing[0][0]}: {nothing[0][1]}); the classes are counted again")
    note_bad_files(Path(run.workdir), skipped)
    ids = [name for part in parts for name in part.ids]
    place = {name: k for k, name in enumerate(ids)}
    order = [place[listed.clips.ids[k]] for k in rows if listed.clips.ids[k] in place]
    joined = parts[0]._replace(
        ids=tuple(ids[k] for k in order),
        **{
            name: np.concatenate([getattr(part, name) for part in parts])[order]
            for name in ("waves", "labels", "lengths")
        },
    )
    return Loaded(dataset, joined, config.length, **read_as), {name for name, _ in skipped}


def unheard(clips: Clips, length: int) -> list[tuple[str, str]]:
    """(name, reason) of clips that are silent in what the network hears of them, or too short to be heard."""
    found = []
    for name, wave, samples in zip(clips.ids, clips.waves, clips.lengths, strict=True):
        own = raw_clip(wave, int(samples))[:length]
        if len(own) < SHORTEST_S * clips.sample_rate:
            found.append((printable(name), f"{len(own) / clips.sample_rate:.3f} s, shorter than {SHORTEST_S} s"))
        elif float(np.ptp(own)) < SILENT:
            heard = f" in its first {length / clips.sample_rate:g} s, all that the network hears"
            found.append((printable(name), f"silent{heard if int(samples) > length else ''}"))
    return found


def _only(dataset: DataSet, wanted: set[str]) -> DataSet:
    """The set with these clips alone."""

    def listing(data_dir: Any, split: str, allow_partial: bool) -> tuple[list[ClipRef], tuple[str, ...]]:
        refs, notices = dataset.listing(data_dir, split, allow_partial)
        return [ref for ref in refs if ref.id in wanted], notices

    def generate(split: str, seed: int) -> sets.Generated:
        made = dataset.generate(split, seed)
        rows = np.array([k for k, name in enumerate(made.ids) if name in wanted], int)
        return sets.Generated(tuple(made.ids[k] for k in rows), made.waves[rows], made.labels[rows])

    if dataset.generate is not None:
        return dataset._replace(generate=generate)
    return dataset._replace(listing=listing)


def waves_of(
    loaded: Loaded,
    rows: Int[np.ndarray, " rows"],
    condition: tuple[str, str],
    run: IncrementalRun,
    noise: Callable[[], targets.Noise],
) -> targets.Corrupted:
    """Some clips under a corruption, laid out for the network; samples are made when they are asked for."""
    clips = loaded.clips
    some = clips._replace(
        ids=tuple(clips.ids[k] for k in rows),
        waves=clips.waves[rows],
        labels=clips.labels[rows],
        lengths=clips.lengths[rows],
    )
    return targets.corrupted(loaded._replace(clips=some), *condition, seed=DRAW_SEED, profile=run.profile, noise=noise)


DRAW_SEED = 0
"""Of corruptions: the same for all seeds of the sessions, so that what was read of the clips serves them all."""
