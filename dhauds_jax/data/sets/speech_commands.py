"""Speech Commands, version 1 (30 words) and version 2 (35): test and validation are lists, train is all the rest."""

from __future__ import annotations

import functools
from pathlib import Path

from dhauds_jax import class_names
from dhauds_jax.data.sets.base import ClipRef, DataSet, Order, check_split, find_root, read_text
from dhauds_jax.data.sets.copies import check_groups, check_present
from dhauds_jax.data.walking import files_in, folders_in
from dhauds_jax.errors import BadInput

BACKGROUND = "_background_noise_"
LISTS = {"test": "testing_list.txt", "val": "validation_list.txt"}
V1, V2 = "speech_commands_v0.01", "speech_commands_v0.02"
V1_COUNTS = {"train": 51_088, "val": 6_798, "test": 6_835}
V2_COUNTS = {"train": 84_843, "val": 9_981, "test": 11_005}
_V1_TABLE = """bed 1713 197 176  bird 1731 162 158  cat 1733 168 166  dog 1746 170 180  down 2359 264 253
eight 2352 243 257  five 2357 242 271  four 2372 280 253  go 2372 260 251  happy 1742 189 180  house 1750 173 150
left 2353 247 267  marvin 1746 160 162  nine 2364 230 259  no 2375 270 252  off 2357 256 262  on 2367 257 246
one 2370 230 248  right 2367 256 259  seven 2377 263 239  sheila 1734 176 186  six 2369 262 244  stop 2380 246 249
three 2356 248 267  tree 1733 166 193  two 2373 236 264  up 2375 260 272  wow 1745 166 165  yes 2377 261 256
zero 2376 260 250"""
"""Of each word of version 1: clips in all, in the validation list, in the testing list."""


def folders(release: str) -> tuple[str, ...]:
    """Where a release's folder lies in its parent and in that one's: unpacked by hand or by torchaudio."""
    return (release, f"{release}/{release}", f"SpeechCommands/{release}")


def listing(
    release: str,
    classes: tuple[str, ...],
    data_dir: Path | str | None,
    split: str,
    allow_partial: bool,
) -> tuple[list[ClipRef], tuple[str, ...]]:
    """Lists a split: test and val in the order of their list, train every other clip, sorted by word and file name.

    Args:
      release: name of the release's folder, "speech_commands_v0.01" or "speech_commands_v0.02".
      classes: the words, in the order of the labels.
      data_dir: the folder that holds the lists, its parent or that one's.
      split: "train", "val" or "test".
      allow_partial: go on when words have no folder, or the list names absent files.

    Raises:
      BadInput: unknown split, folder or list missing, an unknown word, words without clips, absent files.
    """
    root = find_root(data_dir, folders(release), LISTS["test"], release)
    words = _words(root, classes)
    said = check_groups(words, classes, what=f"words of {release}", source=root, allow_partial=allow_partial)
    if split == "train":
        elsewhere = {name for part in LISTS for name in read_list(root, part, classes)}
        names = (f"{word}/{path.name}" for word, paths in words.items() for path in paths)
        return [_clip(root, name, classes) for name in names if name not in elsewhere], said
    refs = [_clip(root, name, classes) for name in read_list(root, split, classes)]
    refs, absent = check_present(refs, root / LISTS[split], allow_partial)
    return refs, (*said, *absent)


def read_list(root: Path, split: str, classes: tuple[str, ...]) -> list[str]:
    """The lines "<word>/<file>.wav" of a split's list; raises `BadInput` for a missing list and unknown words."""
    table = root / LISTS[split]
    if not table.is_file():
        raise BadInput(f"{table}: no such file, expected the list of the {split} split")
    names = [line.strip() for line in read_text(table).splitlines() if line.strip()]
    if not names:
        raise BadInput(f"{table}: no lines, expected one <word>/<file>.wav for each clip")
    for name in names:
        word, slash, _ = name.partition("/")
        if not slash or word not in classes:
            raise BadInput(f"{table}: unknown word in {name!r}, expected <word>/<file>.wav with {_one_of(classes)}")
    return names


def _words(root: Path, classes: tuple[str, ...]) -> dict[str, list[Path]]:
    """The clips in each word's folder, words and files sorted; raises `BadInput` for clips of an unknown word."""
    folders_here = [folder for folder in folders_in(root) if folder.name != BACKGROUND]
    found = {folder.name: paths for folder in folders_here if (paths := files_in(folder))}
    for word in found:
        if word not in classes:
            raise BadInput(f"{root / word}: holds clips of an unknown word, expected {_one_of(classes)}")
    return found


def _one_of(classes: tuple[str, ...]) -> str:
    return f"one of the {len(classes)} words {', '.join(sorted(classes))}"


def _clip(root: Path, name: str, classes: tuple[str, ...]) -> ClipRef:
    return ClipRef(name, root / name, classes.index(name.partition("/")[0]))


def group_of(clip: str) -> str:
    """The speaker of a clip's id `<word>/<speaker>_nohash_<take>.wav`."""
    return clip.rpartition("/")[2].partition("_nohash_")[0]


def _data_set(name: str, release: str, classes: tuple[str, ...], counts: dict[str, int], class_counts: dict) -> DataSet:
    def checked(data_dir: Path | str | None, split: str, allow_partial: bool):
        check_split(made, split)
        return listing(release, classes, data_dir, split, allow_partial)

    made = DataSet(
        name=name,
        classes=classes,
        sample_rate=16_000,
        length=16_000,
        splits=("train", "val", "test"),
        metric="accuracy",
        order=Order(stretch_both_ways=False),
        licence="CC BY 4.0",
        citation="P. Warden, Speech Commands: a dataset for limited-vocabulary speech recognition, 2018, "
        "arXiv:1804.03209",
        listing=checked,
        homepage=f"http://download.tensorflow.org/data/{release}.tar.gz",
        layout="""<word>/<speaker>_nohash_<take>.wav
testing_list.txt  validation_list.txt   lines <word>/<file>.wav; every other clip is train
_background_noise_/<kind>.wav           no word""",
        counts=counts,
        class_counts=class_counts,
        seconds=(0.2, 1.0),
        group=group_of,
    )
    return made


def _v1_class_counts() -> dict[str, dict[str, int]]:
    """Clips of each word of version 1 by split, in label order."""
    fields = _V1_TABLE.split()
    table = {fields[i]: tuple(map(int, fields[i + 1 : i + 4])) for i in range(0, len(fields), 4)}
    rows = {word: table[word] for word in class_names.SPEECH_COMMANDS_V1}
    return {
        "train": {word: total - val - test for word, (total, val, test) in rows.items()},
        "val": {word: val for word, (_, val, _) in rows.items()},
        "test": {word: test for word, (_, _, test) in rows.items()},
    }


_v2 = functools.partial(_data_set, release=V2, counts=V2_COUNTS, class_counts={})
DATA_SETS = (
    _data_set("speech_commands_v1", V1, class_names.SPEECH_COMMANDS_V1, V1_COUNTS, _v1_class_counts()),
    _v2("speech_commands_v2", classes=class_names.SPEECH_COMMANDS_V2),
    _v2("speech_commands_v2/amaut", classes=class_names.SPEECH_COMMANDS_V2_AMAUT),
)
