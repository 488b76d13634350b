"""The clips of a folder of classes as `experiments.learn` takes them: read, checked, and counted again."""

from __future__ import annotations

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from dhauds_jax.data import formats, recordings, walking
from dhauds_jax.data.mixdown import SILENT
from dhauds_jax.data.sets import folder_per_class
from dhauds_jax.digests import of_arrays
from dhauds_jax.errors import BadInput
from dhauds_jax.files import printable
from dhauds_jax.nets.config import ClassifierConfig, reading
from dhauds_jax.wording import counted

SHORTEST_S = 0.02
"""Seconds that a clip must have: a window of a spectrogram."""

_NAMED = 5  # things that are named before the rest is counted


class Clips(NamedTuple):
    """Labelled clips in windows.

    Attributes:
      waves: float32 (windows, samples).
      owner: (windows,) clip of each window.
      weights: (windows,) 1, or 0 for a window without sound in a clip that has some.
      names: of the clips, from the folder on.
      labels: class of each clip.
      digests: of each clip's windows.
      skipped: (clip, reason) of those that are left out.
      notices: what else is to be said, as sentences.
    """

    waves: Float[np.ndarray, "windows samples"]
    owner: Int[np.ndarray, " windows"]
    weights: Float[np.ndarray, " windows"]
    names: tuple[str, ...]
    labels: tuple[str, ...]
    digests: tuple[str, ...]
    skipped: tuple[tuple[str, str], ...]
    notices: tuple[str, ...]


def read(
    folder: str,
    config: ClassifierConfig,
    *,
    flag: str,
    known: Sequence[str] = (),
    least: int = 1,
    most: int = 0,
    max_classes: int = 0,
    only: Sequence[str] = (),
    on_bad_file: str = "skip",
) -> Clips:
    """Reads a folder of classes.

    Args:
      folder: CLASS/*.wav; with folders for the splits, train alone.
      config: of the network, to whose rate and length clips are brought; longer ones are cut into windows.
      flag: that names the folder.
      known: classes that there are already: no new one may differ from these by case alone.
      least: clips that a class must have that is not known, after those are left out that cannot be used.
      most: clips of a class at most, evenly taken from their names in order; 0: all.
      max_classes: known and new ones together that there may be; 0: any number.
      only: classes of interest, of which each must be there; none: all.
      on_bad_file: "skip" or "stop".

    Raises:
      BadInput: no folder, no classes, an empty one, names that a reader would take for one, too few clips.
    """
    listed, notices = _listed(folder, flag, known)
    if only:
        missing = [name for name in only if name not in listed]
        if missing:
            raise BadInput(
                f"--{flag}={folder}: has no clips of {_some(missing)}, expected a folder for each of the checkpoint's "
                f"{counted(len(only), 'class', 'classes')}, or another --keep"
            )
        others = sorted(set(listed) - set(only))
        notices += [f"{_some(others)} in {folder}: no class of the checkpoint, not read"] if others else []
        listed = {name: listed[name] for name in only}
    _check_classes(folder, flag, {*listed, *known}, max_classes)
    wanted = {name: 1 if name in known else least for name in listed}
    for name, paths in listed.items():
        _check_count(folder, flag, name, len(paths), 0, wanted[name])
    chosen = {name: _evenly(paths, most) for name, paths in listed.items()}
    found = _read(folder, config, chosen, flag, on_bad_file)
    counts = Counter(found.labels)
    for name, paths in chosen.items():
        _check_count(folder, flag, name, counts[name], len(paths) - counts[name], wanted[name])
    return found._replace(notices=(*notices, *found.notices))


def _check_classes(folder: str, flag: str, names: set[str], most: int) -> None:
    if len(names) < 2:
        raise BadInput(
            f"--{flag}={folder}: {printable(next(iter(names)))} would be the only class, expected at least two to tell "
            "apart: add a folder of another class, or of other sounds"
        )
    if most and len(names) > most:
        raise BadInput(
            f"--{flag}={folder}: {len(names):,} classes with the known ones, expected at most {most:,}; a larger "
            "--max_classes takes them"
        )


def _check_count(folder: str, flag: str, name: str, found: int, lost: int, least: int) -> None:
    if found >= least:
        return
    after = f" after {lost} that cannot be used" if lost else ""
    smaller = ", or a smaller --min_clips" if found else ""
    raise BadInput(
        f"--{flag}={folder}: class {printable(name)} has {counted(found, 'clip')}{after}, expected at least {least}: "
        f"record more, or take the folder away{smaller}"
    )


def _listed(folder: str, flag: str, known: Sequence[str]) -> tuple[dict[str, list[Path]], list[str]]:
    """The recordings of every class, by its name in composed form, and what is to be said."""
    try:
        clips, said = folder_per_class.find_clips(folder, hold_back=False)
    except BadInput as error:
        raise BadInput(str(error).replace("--data_dir", f"--{flag}")) from None
    root = Path(folder)
    split = next(iter(clips.values()), [])
    nested = any(name.split("/")[0] != label for part in clips.values() for name, label, _ in part)
    notices = []
    if nested:
        split = clips.get("train", [])
        if not split:
            raise BadInput(f"--{flag}={folder}: has folders of splits and no clip in train/, expected CLASS/*.wav")
        left = {name: len(part) for name, part in clips.items() if name != "train" and part}
        notices += [f"{' and '.join(f'{n} of {s}' for s, n in left.items())} are not learnt"] if left else []
        parts = split
    else:
        parts = sorted(clip for part in clips.values() for clip in part)
    level = 1 if nested else 0
    _check_names(root, flag, level, [path for _, _, path in parts], known)
    found = defaultdict(list)
    for _, label, path in parts:
        found[printable(label)].append(path)
    idle = [text for text in map(str, said) if "not used" in text or "cannot be read" in text]
    return dict(sorted(found.items())), [*notices, *idle]


def _check_names(root: Path, flag: str, level: int, paths: Iterable[Path], known: Sequence[str]) -> None:
    """Raises `BadInput` for an empty class folder, and names that differ by case or Unicode form alone."""
    above = next(iter(paths)).relative_to(root).parts[:level]
    own = root.joinpath(*above)
    raw = defaultdict(set)
    walked = walking.below(own)
    sound = {path.relative_to(own).parts[0] for path in walked.files if formats.can_be_read(path.name)}
    for folder in walking.folders_in(own):
        if not walking.is_visible(folder.name):
            continue
        if folder.name not in sound:
            raise BadInput(
                f"--{flag}={root}: class folder {printable(folder.name)} has no recording that can be read, expected "
                "clips in it, or no such folder"
            )
        raw[_alike(folder.name)].add(folder.name)
    for twins in raw.values():
        if len(twins) > 1:
            shown = " and ".join(ascii(name) if not name.isascii() else name for name in sorted(twins))
            raise BadInput(
                f"--{flag}={root}: folders {shown} are one class's name but for case or Unicode form, expected one "
                "folder a class: put their clips into one, or give other names"
            )
    check_alike(
        f"--{flag}={root}", known, [unicodedata.normalize("NFC", name) for names in raw.values() for name in names]
    )


def check_alike(where: str, known: Sequence[str], names: Iterable[str]) -> None:
    """Raises `BadInput` where a name is that of a known class but for its case; `where` says whose names they are."""
    before = {_alike(name): name for name in known}
    for name in sorted(map(printable, names)):
        there = before.get(_alike(name))
        if there is not None and name != there:
            raise BadInput(
                f"{where}: class {name} differs from the known class {there} by case or Unicode form alone, expected "
                f"{there}, which adds its clips to that class, or another name"
            )


def _alike(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _evenly(paths: list[Path], most: int) -> list[Path]:
    if not most or len(paths) <= most:
        return paths
    return [paths[k] for k in np.round(np.linspace(0, len(paths) - 1, most)).astype(int)]


def _read(folder: str, config: ClassifierConfig, chosen: dict[str, list[Path]], flag: str, on_bad_file: str) -> Clips:
    root = Path(folder)
    label_of = {printable(path.as_posix()): name for name, paths in chosen.items() for path in paths}
    called = {printable(path.as_posix()): path for paths in chosen.values() for path in paths}
    try:
        found = recordings.load(
            list(called.values()),
            sample_rate=config.sample_rate,
            length=config.length,
            on_bad_file=on_bad_file,
            flag=flag,
            **reading(config.front_end),
        )
    except BadInput as error:  # which names the list of files
        error.args = (str(error).replace(str(list(called.values())), folder),)
        raise

    def short(name: str) -> str:
        return f"{label_of[name]}/{printable(called[name].relative_to(root).as_posix()).partition('/')[2]}"

    skipped = [(short(name), reason) for name, reason in found.skipped]
    waves = np.asarray(found.waves[0 : len(found.waves)], np.float32)
    silent, stays, first = set(found.silent), [], {}
    digests = []
    for number, name in enumerate(found.files):
        digest = of_arrays(waves[found.owner == number])
        if name in silent:
            skipped.append((short(name), "silent"))
        elif found.seconds[number] < SHORTEST_S:
            skipped.append((short(name), f"{found.seconds[number]:.3f} s, shorter than {SHORTEST_S} s"))
        elif digest in first and label_of[first[digest]] != label_of[name]:
            raise BadInput(
                f"--{flag}={folder}: {short(first[digest])} and {short(name)} are the same recording in two classes, "
                "expected it in one"
            )
        elif digest in first:
            skipped.append((short(name), f"the same recording as {short(first[digest])}"))
        else:
            first[digest] = name
            stays.append(number)
            digests.append(digest)
    if not stays:
        return Clips(waves[:0], found.owner[:0], np.zeros(0, np.float32), (), (), (), tuple(sorted(skipped)), ())
    windows = np.isin(found.owner, stays)
    waves = waves[windows]
    heard = (waves.max(1) - waves.min(1) >= SILENT).astype(np.float32)
    names = [found.files[number] for number in stays]
    notices = [str(text) for text in found.notices if "silent" not in text]
    owner, labels = np.searchsorted(stays, found.owner[windows]).astype(np.int32), [label_of[name] for name in names]
    notices += _quiet(heard, owner, labels)
    return Clips(
        waves,
        owner,
        heard,
        tuple(map(short, names)),
        tuple(labels),
        tuple(digests),
        tuple(sorted(skipped)),
        tuple(notices),
    )


def _quiet(heard: np.ndarray, owner: np.ndarray, labels: Sequence[str]) -> list[str]:
    """The sentence on silent windows of clips that have sound: how many of how many, class by class."""
    clips = np.unique(owner[heard == 0])
    if not len(clips):
        return []
    silent, windows = Counter(), Counter()
    for clip in clips:
        mine = heard[owner == clip]
        silent[labels[clip]] += int((mine == 0).sum())
        windows[labels[clip]] += len(mine)
    named = [f"{silent[name]} of {windows[name]} of {printable(name)}" for name in sorted(silent)[:_NAMED]]
    more = f", and of {len(silent) - _NAMED:,} more classes" if len(silent) > _NAMED else ""
    return [
        f"silent windows of clips that have sound elsewhere are not learnt: {silent.total():,} of the "
        f"{windows.total():,} windows of {counted(len(clips), 'clip')} ({', '.join(named)}{more})"
    ]


def without(clips: Clips, there: Mapping[str, tuple[str, str]], where: str) -> Clips:
    """Without clips that were learnt before, which are listed as skipped.

    So a class loses clips only where it is known already, and a new one has as many as were counted.

    Args:
      clips: that were read.
      there: digest -> (name, class) of each clip that was learnt.
      where: the flag and its value.

    Raises:
      BadInput: a clip that was learnt as one of another class.
    """
    for name, label, digest in zip(clips.names, clips.labels, clips.digests, strict=True):
        before, known = there.get(digest, ("", label))
        if known != label:
            raise BadInput(
                f"{where}: {name} is the same recording as {before}, which was learnt as {known}, expected it in one "
                f"class: take it away, or --remove={known} first"
            )
    stays = [number for number, digest in enumerate(clips.digests) if digest not in there]
    if len(stays) == len(clips.names):
        return clips
    again = [
        (name, "learnt before") for name, digest in zip(clips.names, clips.digests, strict=True) if digest in there
    ]
    windows = np.isin(clips.owner, stays)
    return clips._replace(
        waves=clips.waves[windows],
        owner=np.searchsorted(stays, clips.owner[windows]).astype(np.int32),
        weights=clips.weights[windows],
        names=tuple(clips.names[k] for k in stays),
        labels=tuple(clips.labels[k] for k in stays),
        digests=tuple(clips.digests[k] for k in stays),
        skipped=tuple(sorted((*clips.skipped, *again))),
    )


def _some(names: Sequence[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(map(printable, names[:_NAMED])) + (f" and {more:,} more" if more > 0 else "")
