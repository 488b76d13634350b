"""A user's own data: one folder a class, with or without folders for the splits."""

from __future__ import annotations

import hashlib
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from dhauds_jax.data import formats, walking
from dhauds_jax.data.audio import BadFile, measure
from dhauds_jax.data.notices import OfSet
from dhauds_jax.data.sets.base import ClipRef, DataSet, Order, check_split
from dhauds_jax.errors import BadInput
from dhauds_jax.files import printable
from dhauds_jax.wording import counted

SPLITS = ("train", "val", "test")
SPLIT_NAMES = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "val"),
    **dict.fromkeys(("test", "testing", "eval", "evaluation"), "test"),
}
"""What folders of splits are called, in any case."""
VAL_PERCENT, TEST_PERCENT = 10, 10
_THREADS = 8
_NAMED = 5  # things that are named before the rest is counted
_EXPECTED = "expected <class>/*.wav (or flac, ogg, mp3, ...), or train/, val/, test/ with such folders in each"


class Found(NamedTuple):
    """What a folder holds.

    Attributes:
      clips: `(id, class, path)` of every clip by split, sorted by id; only splits that there are.
      notices: what lies there and is not used.
    """

    clips: dict[str, list[tuple[str, str, Path]]]
    notices: tuple[str, ...]


def split_of(clip_id: str) -> str:
    """The split of a clip in a folder without split folders: h = SHA-1 of its id modulo 100, val, test or train.

    h < 10 is val, h < 20 test, the rest train: a clip stays in its split whatever is added or removed beside it.

    Args:
      clip_id: "<class>/<file>", with the folders between where there are any.
    """
    name = clip_id.encode("utf-8", "surrogateescape")  # names of files need not be Unicode
    digest = int.from_bytes(hashlib.sha1(name, usedforsecurity=False).digest(), "big") % 100
    if digest < VAL_PERCENT:
        return "val"
    return "test" if digest < VAL_PERCENT + TEST_PERCENT else "train"


def find_clips(data_dir: Path | str | None) -> Found:
    """Finds every clip: all recordings below a class's folder are the class's.

    Names are taken in Unicode's composed form, so that a Mac's copy has the same ids.

    Raises:
      BadInput: no folder given, it does not exist, no class folders, both layouts at once, two folders of one split, or
        one folder that holds the classes.
    """
    if not data_dir:
        raise BadInput(f"folder needs --data_dir, {_EXPECTED}")
    root = Path(data_dir)
    if not root.is_dir():
        raise BadInput(f"--data_dir={data_dir}: no such folder, {_EXPECTED}")
    walked = walking.below(root)
    sound = [path for path in walked.files if formats.has_sound(path.name)]
    depths = defaultdict(set)  # of the recordings in each folder of the root
    for path in filter(formats.can_be_read, sound):
        if len(parts := _parts(path, root)) > 1:
            depths[parts[0]].add(min(len(parts), 3))
    splits = _split_folders(root, depths)
    level = 1 if splits else 0  # of the class among the parts of a path
    parts = {split: [] for split in (splits.values() if splits else SPLITS)}
    unread = []
    for path in sound:
        names = _parts(path, root)
        if len(names) < level + 2 or (splits and names[0] not in splits):
            continue
        if not formats.can_be_read(path.name):
            unread.append(path)
            continue
        name = _name("/".join(names))
        split = splits[names[0]] if splits else split_of(name)
        parts[split].append((name, _name(names[level]), path))
    if not any(parts.values()):
        said = "; ".join(("no folder in it has audio files that can be read", *formats.left_out(sound, root)))
        raise BadInput(f"--data_dir={data_dir}: {said}, {_EXPECTED}")
    clips = {split: sorted(parts[split]) for split in SPLITS if split in parts}
    return Found(clips, tuple(map(OfSet, (*formats.left_out(unread, root), *_unused(root, walked, splits, clips)))))


def _split_folders(root: Path, depths: dict[str, set[int]]) -> dict[str, str]:
    """The split of each folder of a split; none where the folders are classes.

    Args:
      root: the set's folder.
      depths: for each folder in it with recordings, whether these lie in it (2) or in folders there (3).
    """
    classes = sorted(name for name, found in depths.items() if 2 in found)
    named = defaultdict(list)
    for folder in sorted(name for name, found in depths.items() if 3 in found):
        split = SPLIT_NAMES.get(folder.lower())
        if split and (folder.lower() == split or folder not in classes):
            named[split].append(folder)
    splits = {}
    for split in filter(named.get, SPLITS):
        folder = split if split in named[split] else named[split][0]
        if folder != split and len(named[split]) > 1:
            raise BadInput(
                f"--data_dir={root}: {'/ and '.join(named[split])}/ are folders of one split, {split}; expected one"
            )
        splits[folder] = split
    if classes and splits:
        raise BadInput(
            f"--data_dir={root}: audio files lie in {classes[0]}/ and also in class folders of {'/, '.join(splits)}/, "
            f"{_EXPECTED}"
        )
    if not classes and not splits and len(depths) == 1:
        (only,) = depths
        raise BadInput(
            f"--data_dir={root}: its only folder with audio files is {only}/, which has them in folders of its own, "
            f"{_EXPECTED}; give --data_dir={root / only} if these are the classes"
        )
    return splits


def _unused(
    root: Path, walked: walking.Walked, splits: dict[str, str], clips: dict[str, list[tuple[str, str, Path]]]
) -> tuple[str, ...]:
    """What lies beside the clips, as sentences."""
    level = 2 if splits else 1  # parts of a class folder's path
    used = {_parts(path, root)[:level] for part in clips.values() for _, _, path in part}
    holds = Counter(_parts(path, root)[:level] for path in walked.files if formats.has_sound(path.name))
    beside, idle, unread, neither = [], [], [], []
    for path in walked.files:
        names = _parts(path, root)
        if len(names) == 1 or (len(names) == 2 and names[0] in splits):
            beside.append("/".join(names))
    for path in walked.folders:
        names = _parts(path, root)
        if splits and len(names) == 1 and names[0] not in splits:
            inside = sum(count for place, count in holds.items() if place[0] == names[0])
            neither.append(f"{names[0]} ({counted(inside, 'recording')})")
        elif len(names) == level and names not in used and (not splits or names[0] in splits):
            (unread if holds[names] else idle).append("/".join(names))
    kept = defaultdict(set)  # names of classes by what they are without regard to case
    for part in clips.values():
        for _, name, _ in part:
            kept[name.casefold()].add(name)
    twins = [" and ".join(sorted(names)) for names in kept.values() if len(names) > 1]
    found = (
        ("names that differ in case alone are classes of their own", twins),
        ("files beside the class folders are not used", beside),
        ("folders without recordings are no classes", idle),
        ("folders without a recording that can be read are no classes", unread),
        ("folders beside those of the splits are not used", neither),
        ("links to folders that are read under another name are not followed", _relative(walked.again, root)),
    )
    return tuple(f"{what}: {_some(names)}" for what, names in found if names)


def _parts(path: Path, root: Path) -> tuple[str, ...]:
    """The names from the root on, of a path that was found below it."""
    return path.parts[len(root.parts) :]


def _relative(paths: Iterable[Path], root: Path) -> list[str]:
    return [path.relative_to(root).as_posix() for path in paths]


def _some(names: Sequence[str]) -> str:
    """The first names, and how many more there are."""
    more = len(names) - _NAMED
    return ", ".join(map(printable, names[:_NAMED])) + (f" and {more:,} more" if more > 0 else "")


def at(data_dir: Path | str) -> DataSet:
    """The set as it lies in a folder.

    `classes` are the folders' names, sorted, over all splits; `splits` those that there are; `sample_rate` (Hz) is the
    commonest native rate; `length` the longest clip at that rate (samples). Only headers are read, and files that
    cannot be read are left to the loader, which names them.

    Raises:
      BadInput: see `find_clips`; or no file is readable.
    """
    clips = find_clips(data_dir).clips
    paths = [path for part in clips.values() for _, _, path in part]
    with ThreadPoolExecutor(_THREADS) as pool:
        headers = [header for header in pool.map(_header, paths) if header]
    if not headers:
        raise BadInput(f"--data_dir={data_dir}: none of its {len(paths)} audio files can be read, {_EXPECTED}")
    rate = Counter(rate for rate, _ in headers).most_common(1)[0][0]
    length = max(-(-samples * rate // file_rate) for file_rate, samples in headers)
    classes = tuple(map(printable, _classes(clips)))
    return DATA_SET._replace(classes=classes, sample_rate=rate, length=length, splits=tuple(clips))


def listing(data_dir: Path | str | None, split: str, allow_partial: bool) -> tuple[list[ClipRef], tuple[str, ...]]:
    """Lists a split's clips, sorted by id; a label is the position of the class among all splits' classes, sorted.

    Args:
      data_dir: the folder itself.
      split: "train", "val" or "test".
      allow_partial: not used, there is no list that could name absent files.

    Raises:
      BadInput: see `find_clips`; or the split has no clips.
    """
    check_split(DATA_SET, split)
    clips, notices = find_clips(data_dir)
    if not clips.get(split):
        there = " and ".join(f"{len(part)} in {name}" for name, part in clips.items() if part)
        raise BadInput(
            f"--data_dir={data_dir}: none of its clips is in the split {split!r}, expected some (there are {there}, "
            "which --split may name); without the folders train/, val/, test/ a hash of the name puts a tenth into val "
            "and a tenth into test"
        )
    classes = _classes(clips)
    return [ClipRef(name, path, classes.index(label)) for name, label, path in clips[split]], notices


def _name(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def _classes(clips: dict[str, list[tuple[str, str, Path]]]) -> tuple[str, ...]:
    return tuple(sorted({label for part in clips.values() for _, label, _ in part}))


def _header(path: Path) -> tuple[int, int] | None:
    """Rate in Hz and samples of a file; None if it cannot be read."""
    try:
        return measure(path)
    except BadFile:
        return None


DATA_SET = DataSet(
    name="folder",
    classes=(),
    sample_rate=16_000,
    length=16_000,
    splits=SPLITS,
    metric="accuracy",
    order=Order(),
    licence="your own",
    citation="your own recordings",
    listing=listing,
    layout="""<class>/**/*.wav (or flac, mp3, ...)   split by a hash of the name: 80 % train, 10 % val, 10 % test
or
{train,val,test}/<class>/**/*.wav     any of the three""",
    at=at,
)
"""Without a folder it has no classes; `at` finds them, with the rate and the length."""
DATA_SETS = (DATA_SET,)
