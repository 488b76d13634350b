"""NSynth-100's tables from the folders of NSynth: notes of each instrument drawn by a hash of their names."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from dhauds_jax.data.built.draws import in_drawn_order
from dhauds_jax.data.sets.nsynth_100 import BASE, CLASSES, COLUMNS, DRAWN, SIZES
from dhauds_jax.data.walking import files_in
from dhauds_jax.errors import BadInput
from dhauds_jax.files import write_csv
from dhauds_jax.wording import counted

_FOLDERS = ("nsynth-train", "nsynth-valid", "nsynth-val", "nsynth-test")


def build(raw_dir: Path | str, data_dir: Path | str) -> tuple[str, ...]:
    """Writes the tables into the folder that holds NSynth's folders; nothing is copied.

    Args:
      raw_dir: holds `nsynth-train/audio/` and, where they are, `nsynth-valid/audio/` and `nsynth-test/audio/`.
      data_dir: the same folder.

    Returns:
      Which instruments have fewer notes than published, as a sentence.

    Raises:
      BadInput: two folders, or no note of any of the instruments.
    """
    root = Path(raw_dir)
    if root.resolve() != Path(data_dir).resolve():
        raise BadInput(f"--build={raw_dir}: is not --data_dir={data_dir}, expected the same: notes stay where they are")
    notes = _notes(root)
    if not notes:
        raise BadInput(
            f"--build={raw_dir}: holds no notes of {CLASSES[0]} and others, expected nsynth-train/audio/*.wav"
        )
    rows = {split: [] for split in SIZES}
    few = []
    for label, instrument in enumerate(CLASSES):
        found = notes.get(instrument, {})
        taken = drawn(list(found), label)
        for split, names in taken.items():
            rows[split] += [(name, instrument, found[name]) for name in names]
        if sum(map(len, taken.values())) < sum(sizes[label >= BASE] for sizes in SIZES.values()):
            few.append(instrument)
    for split, file in DRAWN.items():
        write_csv(root / file, [COLUMNS, *rows[split]], exact=True)
    if not few:
        return ()
    return (
        f"{counted(len(few), 'instrument has', 'instruments have')} fewer notes than published (the first: {few[0]})",
    )


def drawn(names: Sequence[str], label: int) -> Mapping[str, list[str]]:
    """An instrument's notes of each split: the next ones in the order of their hash."""
    order, at, found = in_drawn_order(names), 0, {}
    for split, sizes in SIZES.items():
        size = sizes[label >= BASE]
        found[split] = order[at : at + size]
        at += size
    return found


def _notes(root: Path) -> dict[str, dict[str, str]]:
    """For each instrument its notes, name without ending -> the folder in which it lies."""
    wanted, found = set(CLASSES), defaultdict(dict)
    for folder in _FOLDERS:
        place = root / folder / "audio"
        for path in files_in(place) if place.is_dir() else ():
            instrument = path.stem.rsplit("-", 2)[0]
            if instrument in wanted:
                found[instrument].setdefault(path.stem, folder)
    return dict(found)
