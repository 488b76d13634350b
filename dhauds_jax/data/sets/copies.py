"""A copy of a set against its lists: clips and groups of clips that it lacks, recordings that no list names."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from dhauds_jax.data import formats, walking
from dhauds_jax.data.notices import OfSet
from dhauds_jax.data.sets.base import ClipRef
from dhauds_jax.errors import BadInput
from dhauds_jax.files import printable
from dhauds_jax.wording import counted


def check_present(refs: list[ClipRef], source: Path, allow_partial: bool) -> tuple[list[ClipRef], tuple[str, ...]]:
    """Keeps the clips whose file exists.

    Args:
      refs: clips as a list file names them.
      source: the list file, for the message.
      allow_partial: go on without the absent ones and say how many they are.

    Raises:
      BadInput: files are absent and `allow_partial` is off (how many, the first five), or none is there.
    """
    absent = [ref for ref in refs if not ref.path.is_file()]
    if not absent:
        return refs, ()
    first = ", ".join(printable(ref.id) for ref in absent[:5])
    said = f"{printable(source)} names {len(refs)} files and {len(absent)} of them are absent (the first: {first})"
    if not allow_partial:
        raise BadInput(f"{said}; complete the copy, or give --allow_partial to go on without them")
    if len(absent) == len(refs):
        raise BadInput(f"{said}, so nothing is left; expected --data_dir to hold them")
    return [ref for ref in refs if ref.path.is_file()], (f"{said}; going on with {len(refs) - len(absent)}",)


def unlisted(folders: Sequence[Path], listed: Collection[str], source: Path) -> tuple[str, ...]:
    """A sentence about recordings in a set's `folders` that `source`, the list of all its clips, does not name."""
    paths = [path for folder in folders for path in walking.files_in(folder, formats.SOUND) if path.name not in listed]
    if not paths:
        return ()
    kinds = ", ".join(f"{count} {ending}" for ending, count in formats.kinds(paths).items())
    first = printable(paths[0].relative_to(paths[0].parents[1]).as_posix())
    are = counted(len(paths), "recording is", "recordings are")
    return (OfSet(f"{are} not named in {printable(source)} and not used: {kinds} (the first: {first})"),)


def check_groups(
    found: Collection[str], expected: Sequence[str], *, what: str, source: Path, allow_partial: bool
) -> tuple[str, ...]:
    """Looks for whole groups of clips (words, speakers, environments) that a copy without list files lacks.

    Args:
      found: groups that have clips.
      expected: the published groups.
      what: what they are called, in the plural.
      source: the folder, for the message.
      allow_partial: go on without the absent ones and say how many they are.

    Returns:
      Notices: recordings that are no wav, by kind, and one about absent groups.

    Raises:
      BadInput: groups are absent and `allow_partial` is off (how many, the first five), or none is there.
    """
    others = formats.not_wav(source if source.is_dir() else source.parent)
    absent = [group for group in expected if group not in found]
    if not absent:
        return others
    first = ", ".join(absent[:5])
    said = f"{printable(source)} has no clips of {len(absent)} of the {len(expected)} {what} (the first: {first})"
    said = ", and ".join((said, *others))
    if not allow_partial:
        raise BadInput(f"{said}; complete the copy, or give --allow_partial to go on without them")
    if len(absent) == len(expected):
        raise BadInput(f"{said}, so nothing is left; expected --data_dir to hold them")
    return (f"{said}; going on with {len(expected) - len(absent)}",)
