"""A user's own data: one folder a class, with or without folders for the splits."""

from __future__ import annotations

import hashlib
import os
import unicodedata
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from dhauds_jax.data.sets.base import SUFFIXES, ClipRef, DataSet, Order, check_split, recordings
from dhauds_jax.errors import BadInput

SPLITS = ("train", "val", "test")
VAL_PERCENT, TEST_PERCENT = 10, 10
_THREADS = 8
_EXPECTED = "expected <class>/*.wav (or flac, ogg), or train/, val/, test/ with such folders in each"


def split_of(clip_id: str) -> str:
    """The split of a clip in a folder without split folders: h = SHA-1 of its id modulo 100, val, test or train.

    h < 10 is val, h < 20 test, the rest train: a clip stays in its split whatever is added or removed beside it.

    Args:
      clip_id: "<class>/<file>".
    """
    name = clip_id.encode("utf-8", "surrogateescape")  # names of files need not be Unicode
    digest = int.from_bytes(hashlib.sha1(name, usedforsecurity=False).digest(), "big") % 100
    if digest < VAL_PERCENT:
        return "val"
    return "test" if digest < VAL_PERCENT + TEST_PERCENT else "train"


def find_clips(data_dir: Path | str | None) -> dict[str, list[tuple[str, str, Path]]]:
    """Finds `(id, class, path)` of every clip by split, sorted by id; only splits that there are.

    Folders without audio files are no classes. Names are taken in Unicode's composed form, so that a Mac's copy has
    the same ids.

    Raises:
      BadInput: no folder given, it does not exist, no class folders, or both layouts at once.
    """
    if not data_dir:
        raise BadInput(f"folder needs --data_dir, {_EXPECTED}")
    root = Path(data_dir)
    if not root.is_dir():
        raise BadInput(f"--data_dir={data_dir}: no such folder, {_EXPECTED}")
    classes = _class_folders(root)
    splits = {split: found for split in SPLITS if (found := _class_folders(root / split))}
    if classes and splits:
        raise BadInput(
            f"--data_dir={data_dir}: audio files lie in {classes[0].name}/ and also in class folders of "
            f"{'/, '.join(splits)}/, {_EXPECTED}"
        )
    if splits:
        return {split: _clips_of(found, root) for split, found in splits.items()}
    if not classes:
        raise BadInput(f"--data_dir={data_dir}: no folder in it has audio files, {_EXPECTED}")
    parts: dict[str, list[tuple[str, str, Path]]] = {split: [] for split in SPLITS}
    for clip in _clips_of(classes, root):
        parts[split_of(clip[0])].append(clip)
    return parts


def at(data_dir: Path | str) -> DataSet:
    """The set as it lies in a folder.

    `classes` are the folders' names, sorted, over all splits; `splits` those that there are; `sample_rate` (Hz) is the
    commonest native rate; `length` the longest clip at that rate (samples). Only headers are read, and files that
    cannot be read are left to the loader, which names them.

    Raises:
      BadInput: see `find_clips`; or no file is readable.
    """
    clips = find_clips(data_dir)
    paths = [path for part in clips.values() for _, _, path in part]
    with ThreadPoolExecutor(_THREADS) as pool:
        headers = [header for header in pool.map(_header, paths) if header]
    if not headers:
        raise BadInput(f"--data_dir={data_dir}: none of its {len(paths)} audio files can be read, {_EXPECTED}")
    rate = Counter(rate for rate, _ in headers).most_common(1)[0][0]
    length = max(-(-samples * rate // file_rate) for file_rate, samples in headers)
    return DATA_SET._replace(classes=_classes(clips), sample_rate=rate, length=length, splits=tuple(clips))


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
    clips = find_clips(data_dir)
    if not clips.get(split):
        total = sum(map(len, clips.values()))
        raise BadInput(
            f"--data_dir={data_dir}: none of its {total} clips is in the split {split!r}; "
            f"without the folders train/, val/, test/ a hash of the name puts a tenth into val and a tenth into test"
        )
    classes = _classes(clips)
    return [ClipRef(name, path, classes.index(label)) for name, label, path in clips[split]], ()


def _class_folders(root: Path) -> list[Path]:
    """The visible folders in `root` that hold audio files themselves, sorted."""
    found = root.iterdir() if root.is_dir() else ()
    return sorted(path for path in found if not path.name.startswith(".") and recordings(path, SUFFIXES))


def _clips_of(folders: list[Path], root: Path) -> list[tuple[str, str, Path]]:
    paths = [path for folder in folders for path in recordings(folder, SUFFIXES)]
    return sorted((_name(path.relative_to(root).as_posix()), _name(path.parent.name), path) for path in paths)


def _name(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def _classes(clips: dict[str, list[tuple[str, str, Path]]]) -> tuple[str, ...]:
    return tuple(sorted({label for part in clips.values() for _, label, _ in part}))


def _header(path: Path) -> tuple[int, int] | None:
    """Rate in Hz and samples of a file; None if it cannot be read."""
    import soundfile

    try:
        info = soundfile.info(os.fsencode(path))
    except (soundfile.LibsndfileError, soundfile.SoundFileRuntimeError):
        return None
    return info.samplerate, info.frames


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
    layout="""<class>/*.wav (or flac, ogg)          split by a hash of the name: 80 % train, 10 % val, 10 % test
or
{train,val,test}/<class>/*.wav        any of the three""",
    at=at,
)
"""Without a folder it has no classes; `at` finds them, with the rate and the length."""
DATA_SETS = (DATA_SET,)
