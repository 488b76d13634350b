"""What is to be said of a user's own folder of classes: what in it is not used, and what was perhaps not meant."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from dhauds_jax.data import formats, walking
from dhauds_jax.files import printable
from dhauds_jax.wording import counted, plural

_NAMED = 5  # things that are named before the rest is counted


def none_of(sound: Sequence[Path], root: Path) -> list[str]:
    """Why recordings make no set, as parts of a sentence."""
    read = [path for path in sound if formats.can_be_read(path.name)]
    others = [path for path in sound if not formats.can_be_read(path.name)]
    if not read:
        return ["no folder in it has audio files that can be read", *formats.left_out(others, root)]
    lie, first = plural(len(read), "lies", "lie"), printable(read[0].relative_to(root))
    return [
        f"{counted(len(read), 'recording')} in it {lie} in no folder of a class (the first: {first})",
        *formats.left_out(others, root),
    ]


def same_inside(walked: walking.Walked, root: Path) -> tuple[str, ...]:
    """A sentence where folders of places or days seem to hold the folders of the classes, the wrong way round."""
    inside = defaultdict(set)
    for path in filter(formats.can_be_read, walked.files):
        names = parts_of(path, root)
        if len(names) == 2:  # a clip lies in the folder itself, which is a class
            return ()
        if len(names) > 2:
            inside[names[0]].add(names[1])
    shared = sorted(name for name, count in Counter(n for one in inside.values() for n in one).items() if count > 1)
    if len(shared) < 2 or any(map(str.isdecimal, "".join(shared))):  # numbered days and takes are no classes
        return ()
    return (
        f"the classes are {_some(sorted(inside))}, and folders of the same names lie in several of them "
        f"({_some(shared)}); if these are the classes, their folders come first: {printable(shared[0])}/"
        f"{printable(min(inside))}/*.wav",
    )


def unused(
    root: Path, walked: walking.Walked, splits: dict[str, str], clips: dict[str, list[tuple[str, str, Path]]]
) -> tuple[str, ...]:
    """What lies beside the clips, as sentences."""
    level = 2 if splits else 1  # parts of a class folder's path
    used = {parts_of(path, root)[:level] for part in clips.values() for _, _, path in part}
    holds = Counter(parts_of(path, root)[:level] for path in walked.files if formats.has_sound(path.name))
    beside, idle, unread, neither = [], [], [], []
    for path in walked.files:
        names = parts_of(path, root)
        if len(names) == 1 or (len(names) == 2 and names[0] in splits):
            beside.append("/".join(names))
    for path in walked.folders:
        names = parts_of(path, root)
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


def parts_of(path: Path, root: Path) -> tuple[str, ...]:
    """The names from the root on, of a path that was found below it."""
    return path.parts[len(root.parts) :]


def _relative(paths: Iterable[Path], root: Path) -> list[str]:
    return [path.relative_to(root).as_posix() for path in paths]


def _some(names: Sequence[str]) -> str:
    """The first names, and how many more there are."""
    more = len(names) - _NAMED
    return ", ".join(map(printable, names[:_NAMED])) + (f" and {more:,} more" if more > 0 else "")
