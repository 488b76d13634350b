"""FSC-89 from FSD-MIX-SED: the annotations of FSD-MIX-CLIPS say what is heard where, soundscapes are cut to 1 s.

Soundscapes are Scaper's, made by the corpus's own scripts (`FSD_MIX_SED.annotations` and `.source`); they are not made
here.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dhauds_jax.data.audio import read_audio
from dhauds_jax.data.built.draws import in_drawn_order
from dhauds_jax.data.built.librispeech_100 import wav_of
from dhauds_jax.data.sets.base import read_rows
from dhauds_jax.data.sets.fsc_89 import BASE, CLASSES, COLUMNS, DRAWN, RATE, SIZES, clip_name
from dhauds_jax.errors import BadInput
from dhauds_jax.files import write_atomically, write_csv
from dhauds_jax.progress import progress_bar
from dhauds_jax.wording import counted

ANNOTATIONS = "FSD_MIX_CLIPS.annotations_revised"
AUDIO = "FSD_MIX_SED.audio"
_BASE_PARTS = {
    "train": ("base_train", "base/train"),
    "val": ("base_val", "base/val"),
    "test": ("base_test", "base/test"),
}
_LATER_PARTS = (("novel_val", "val"), ("novel_test", "test"))
"""Tables of annotations, and where the soundscapes of each lie."""


class Event(NamedTuple):
    """A second in which one class alone is heard: where its soundscape lies, its name, when it begins (s)."""

    folder: str
    soundscape: str
    start_time: str

    @property
    def source(self) -> str:
        """The soundscape's place among all."""
        return f"{self.folder}/{self.soundscape}"


def build(raw_dir: Path | str, data_dir: Path | str) -> tuple[str, ...]:
    """Draws the tables and cuts the clips that are not there yet.

    Args:
      raw_dir: holds `FSD_MIX_CLIPS.annotations_revised/` (base_train.csv ... novel_test.csv) and `FSD_MIX_SED.audio/`
        (base/train, base/val, base/test, val, test).
      data_dir: where clips and tables go.

    Returns:
      Which classes have fewer clips than published, as a sentence.

    Raises:
      BadInput: folders or tables missing, a label that there is not, a soundscape that cannot be read.
    """
    raw, output = Path(raw_dir), Path(data_dir)
    for folder in (ANNOTATIONS, AUDIO):
        if not (raw / folder).is_dir():
            raise BadInput(f"--build={raw_dir}: has no folder {folder}, expected {ANNOTATIONS} and {AUDIO} in it")
    rows, few = {split: [] for split in SIZES}, []
    for label, taken in sorted(_drawn(raw / ANNOTATIONS).items()):
        for split, events in taken.items():
            rows[split] += [(*event, label) for event in events]
            if len(events) < SIZES[split][label >= BASE]:
                few.append(label)
    cut = sorted({Event(*row[:3]) for part in rows.values() for row in part})
    for event in progress_bar(cut, total=len(cut), desc="fsc_89", unit="clip"):
        _cut(raw / AUDIO, event, output)
    for split, file in DRAWN.items():
        write_csv(output / file, [COLUMNS, *rows[split]], exact=True)
    few = list(dict.fromkeys(few))
    if not few:
        return ()
    return (f"{counted(len(few), 'class has', 'classes have')} fewer clips than published (the first: {few[0]})",)


def _drawn(annotations: Path) -> dict[int, dict[str, list[Event]]]:
    """For each label the events of each split: of base classes from the split's own table, of later ones from both."""
    found: dict[int, dict[str, list[Event]]] = defaultdict(dict)
    for split, part in _BASE_PARTS.items():
        for label, events in _events(annotations, *part).items():
            if label < BASE:
                found[label][split] = in_order(events)[: SIZES[split][0]]
    later: dict[int, list[Event]] = defaultdict(list)
    for part in _LATER_PARTS:
        for label, events in _events(annotations, *part).items():
            if label >= BASE:
                later[label] += events
    for label, events in later.items():
        found[label] = apart(events)
    return dict(found)


def _events(annotations: Path, table: str, folder: str) -> Mapping[int, list[Event]]:
    """The events of a table in which one class alone is heard, by label."""
    path, found = annotations / f"{table}.csv", defaultdict(list)
    for row in read_rows(path, ("filename", "start_time", "labels")) if path.is_file() else _missing(path):
        labels = row["labels"].strip("[] ").split(",")
        if len(labels) > 1:
            continue
        if labels[0].strip() not in CLASSES:
            raise BadInput(f"{path}: labels {row['labels']!r} of {row['filename']}, expected numbers from 0 to 88")
        found[int(labels[0])].append(Event(folder, row["filename"], row["start_time"]))
    return found


def _missing(path: Path) -> list[dict[str, str]]:
    raise BadInput(f"{path}: no such file, expected the annotations of FSD-MIX-CLIPS (base_train.csv and others)")


def in_order(events: Sequence[Event]) -> list[Event]:
    """Events in the order of a hash of where they are."""
    named = {f"{event.source}@{event.start_time}": event for event in events}
    return [named[name] for name in in_drawn_order(named)]


def apart(events: Sequence[Event]) -> dict[str, list[Event]]:
    """Train and test of a later class: whole soundscapes, drawn, go to test until it has enough, the rest to train.

    The published draw does not look at soundscapes: 2,643 of them give clips to both.
    """
    by_source = defaultdict(list)
    for event in in_order(events):
        by_source[event.source].append(event)
    test, train = [], []
    for source in in_drawn_order(by_source):
        (test if len(test) < SIZES["test"][1] else train).extend(by_source[source])
    return {"train": train[: SIZES["train"][1]], "test": test[: SIZES["test"][1]]}


def _cut(audio: Path, event: Event, output: Path) -> None:
    place = output / "audio" / event.folder / clip_name(event.soundscape, event.start_time)
    if place.is_file():
        return
    wave, _ = read_audio(audio / event.folder / event.soundscape, RATE)
    first = int(place.stem.rpartition("_")[2])
    piece = np.zeros(RATE, np.float32)  # one that begins in the last second has silence behind it
    piece[: max(0, min(RATE, len(wave) - first))] = wave[first : first + RATE]
    write_atomically(place, wav_of(piece, RATE))
