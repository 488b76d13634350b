"""A user's own data: one folder a class, with or without folders for the splits."""

from __future__ import annotations

import hashlib
import unicodedata
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from dhauds_jax.data import formats, walking
from dhauds_jax.data.audio import BadFile, measure
from dhauds_jax.data.notices import OfSet
from dhauds_jax.data.sets import folder_notices
from dhauds_jax.data.sets.base import ClipRef, DataSet, Order, check_split
from dhauds_jax.errors import BadInput
from dhauds_jax.files import printable
from dhauds_jax.wording import counted, plural

SPLITS = ("train", "val", "test")
SPLIT_NAMES = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "val"),
    **dict.fromkeys(("test", "testing", "eval", "evaluation"), "test"),
}
"""What folders of splits are called, in any case."""
VAL_PERCENT, TEST_PERCENT = 10, 10
_THREADS = 8
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


def find_clips(data_dir: Path | str | None, *, hold_back: bool = True) -> Found:
    """Finds every clip: all recordings below a class's folder are the class's.

    Names are taken in Unicode's composed form, so that a Mac's copy has the same ids.

    Args:
      data_dir: the folder.
      hold_back: whether, of a folder with train/ and without val/, a share of train is val, by the hash of `split_of`.

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
        if len(parts := folder_notices.parts_of(path, root)) > 1:
            depths[parts[0]].add(min(len(parts), 3))
    splits = _split_folders(root, depths)
    level = 1 if splits else 0  # of the class among the parts of a path
    parts = {split: [] for split in (splits.values() if splits else SPLITS)}
    unread = []
    for path in sound:
        names = folder_notices.parts_of(path, root)
        if len(names) < level + 2 or (splits and names[0] not in splits):
            continue
        if not formats.can_be_read(path.name):
            unread.append(path)
            continue
        name = _name("/".join(names))
        split = splits[names[0]] if splits else split_of(name)
        parts[split].append((name, _name(names[level]), path))
    if not any(parts.values()):
        raise BadInput(f"--data_dir={data_dir}: {'; '.join(folder_notices.none_of(sound, root))}, {_EXPECTED}")
    held = _held_back(parts) if splits and hold_back else ()
    clips = {split: sorted(parts[split]) for split in SPLITS if split in parts}
    said = (*formats.left_out(unread, root), *held, *folder_notices.unused(root, walked, splits, clips))
    said += () if splits else folder_notices.same_inside(walked, root)
    return Found(clips, tuple(map(OfSet, said)))


def _held_back(parts: dict[str, list[tuple[str, str, Path]]]) -> tuple[str, ...]:
    """Moves a share of train to a val that has no folder, and says so; nothing where either would be empty."""
    if "val" in parts or "train" not in parts:
        return ()
    held = [clip for clip in parts["train"] if split_of(clip[0]) == "val"]
    kept = [clip for clip in parts["train"] if split_of(clip[0]) != "val"]
    if not held or not kept:
        return ()
    parts["train"], parts["val"] = kept, held
    of, are = counted(len(held) + len(kept), "clip"), plural(len(held), "is", "are")
    return (f"{len(held):,} of the {of} of train/ {are} val, by a hash of the name, since no folder val/ has any",)


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
            "and a tenth into test: make these folders, or add clips"
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
{train,val,test}/<class>/**/*.wav     any of the three; without val/ it is a tenth of train/, by the same hash""",
    at=at,
)
"""Without a folder it has no classes; `at` finds them, with the rate and the length."""
DATA_SETS = (DATA_SET,)
