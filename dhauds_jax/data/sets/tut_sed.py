"""TUT Sound Events 2016 and 2017, development sets: recordings of three places, and their 10 s pieces with events.

As recordings (`DATA_SET.listing`) they are three classes of places. As pieces (`DATA_SET.chunks`) they have the events
that are annotated in them, none, one or several: what Acevedo et al. (arXiv 2506.04376) classify, with the pieces
without events of the same recording as its background.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from dhauds_jax import class_names
from dhauds_jax.data import walking
from dhauds_jax.data.audio import BadFile, measure
from dhauds_jax.data.sets.base import Chunk, Chunks, ClipRef, DataSet, Order, check_split, find_root, read_text
from dhauds_jax.data.sets.copies import check_present, unlisted
from dhauds_jax.errors import BadInput

SECONDS = 10.0
"""Of a piece; a recording's last one is what is left."""
EVENTS = class_names.TUT_SED
SCENES = {"2016": ("home", "residential_area"), "2017": ("street",)}
"""The places of each edition."""
COUNTS = {"home": 10, "residential_area": 12, "street": 24}
"""Published recordings of each place."""
FOLDS = ("1", "2", "3", "4")
"""Of each place, whose recordings are tested in one of them."""
OBJECT = "(object) "
"""Before some labels of 2016, which mean the sound alone."""

Listed = tuple[list[ClipRef], tuple[str, ...]]


class Event(NamedTuple):
    """An annotated event: onset and offset in seconds, and an index into `EVENTS`."""

    onset: float
    offset: float
    label: int


def folder_of(edition: str) -> str:
    """The published folder of an edition."""
    return f"TUT-sound-events-{edition}-development"


def read_annotation(path: Path) -> list[Event]:
    """The events of a recording, in their order; none for an empty file.

    Lines are `onset, offset, label`, or `file, scene, onset, offset, label` and what else there is, separated by tabs.

    Raises:
      BadInput: no UTF-8, a line of something else, an offset before its onset, or an unknown event.
    """
    events = []
    for number, line in enumerate(read_text(path).splitlines(), 1):
        if not line.strip():
            continue
        fields = [field.strip() for field in line.split("\t")]
        fields = fields[2:5] if len(fields) > 4 else fields
        name = fields[-1].removeprefix(OBJECT)
        times = []
        with contextlib.suppress(ValueError):
            times = [float(field) for field in fields[:-1]]
        if len(times) != 2 or not 0 <= times[0] <= times[1] < float("inf"):
            raise BadInput(f"{path}: line {number} is {line!r}, expected onset, offset and event separated by tabs")
        if name not in EVENTS:
            raise BadInput(f"{path}: line {number} has event {name!r}, expected one of {', '.join(EVENTS)}")
        events.append(Event(*times, EVENTS.index(name)))
    return events


def folds_of(root: Path, scene: str) -> dict[str, str]:
    """File name of a recording -> the fold that tests it, by `evaluation_setup/`; empty without its lists.

    Raises:
      BadInput: a list that is no UTF-8, or a recording that two folds test.
    """
    found: dict[str, str] = {}
    for fold in FOLDS:
        path = root / "evaluation_setup" / f"{scene}_fold{fold}_test.txt"
        lines = read_text(path).splitlines() if path.is_file() else []
        for name in dict.fromkeys(line.partition("\t")[0].strip().rpartition("/")[2] for line in lines):
            if name and found.setdefault(name, fold) != fold:
                raise BadInput(f"{path}: tests {name}, as fold {found[name]} does, expected each recording in one fold")
    return found


def chunks_of(recording: ClipRef, events: Sequence[Event], fold: str = "") -> list[Chunk]:
    """The pieces of a recording from its beginning on, each with the events that reach into it.

    One whose header cannot be read is one piece, so that whoever reads it says what is wrong.

    Source: scripts/process_tut.py of eacevedo1/AudioText-ContextDA (which writes them to files of their own).
    """
    try:
        rate, samples = measure(recording.path)
    except BadFile:
        rate, samples = 1, int(SECONDS)
    found, start = [], 0.0
    while start * rate < samples:
        end = min(start + SECONDS, samples / rate)
        labels = {event.label for event in events if event.onset < end and event.offset > start}
        name = f"{recording.id}#{start:.0f}"
        found.append(Chunk(name, recording.path, start, end - start, tuple(sorted(labels)), fold))
        start += SECONDS
    return found


def recording_of(chunk: str) -> str:
    """The recording of a piece."""
    return chunk.rpartition("#")[0]


def _annotations(root: Path, scene: str) -> list[Path]:
    return walking.files_in(root / "meta" / scene, (".ann",))


def _recordings(editions: tuple[str, ...], data_dir: Path | str | None, allow_partial: bool) -> Listed:
    """Lists the recordings that have annotations, place by place; ids are `audio/<place>/<file>`.

    Raises:
      BadInput: a folder is missing, a place has no annotations, absent recordings.
    """
    refs, notices, classes = [], (), _classes(editions)
    for edition in editions:
        first = SCENES[edition][0]
        root = find_root(data_dir, (folder_of(edition),), f"meta/{first}", f"tut_sed/{edition}")
        for scene in SCENES[edition]:
            names = [path.stem for path in _annotations(root, scene)]
            if not names:
                raise BadInput(f"{root / 'meta' / scene}: holds no .ann, expected the annotations of its recordings")
            here = [f"audio/{scene}/{name}.wav" for name in names]
            listed = [ClipRef(name, root / name, classes.index(scene)) for name in here]
            present, said = check_present(listed, root / "meta" / scene, allow_partial)
            refs += present
            others = unlisted([root / "audio" / scene], {ref.path.name for ref in listed}, root / "meta" / scene)
            notices = (*notices, *said, *others)
    return refs, notices


def _classes(editions: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(scene for edition in editions for scene in SCENES[edition])


def _chunks(editions: tuple[str, ...], data_dir: Path | str | None, allow_partial: bool):
    """Lists the pieces of all recordings; raises `BadInput` as what it reads does."""
    refs, notices = _recordings(editions, data_dir, allow_partial)
    found, folds = [], {}
    for ref in refs:
        root, scene = ref.path.parents[2], ref.path.parent.name
        if scene not in folds:
            folds[scene] = folds_of(root, scene)
        events = read_annotation(root / "meta" / scene / f"{ref.path.stem}.ann")
        found += chunks_of(ref, events, folds[scene].get(ref.path.name, ""))
    return found, notices


def _data_set(variant: str, editions: tuple[str, ...]) -> DataSet:
    def checked(listing: Callable, data_dir: Path | str | None, split: str, allow_partial: bool):
        check_split(made, split)
        return listing(editions, data_dir, allow_partial)

    classes = _classes(editions)
    made = DataSet(
        name=f"tut_sed{variant}",
        classes=classes,
        sample_rate=44_100,
        length=0,
        splits=("all",),
        metric="accuracy",
        order=Order(),
        licence="for non-commercial use (Tampere University of Technology)",
        citation="A. Mesaros, T. Heittola, T. Virtanen, TUT database for acoustic scene classification and sound event "
        "detection, EUSIPCO 2016",
        listing=functools.partial(checked, _recordings),
        homepage="https://zenodo.org/records/45759" if editions[0] == "2016" else "https://zenodo.org/records/814831",
        layout="""TUT-sound-events-2016-development/audio/{home,residential_area}/<name>.wav
TUT-sound-events-2016-development/meta/{home,residential_area}/<name>.ann      onset, offset, event; tabs
TUT-sound-events-2016-development/evaluation_setup/<place>_fold{1,2,3,4}_test.txt
TUT-sound-events-2017-development/audio/street/<name>.wav
TUT-sound-events-2017-development/meta/street/<name>.ann      file, scene, onset, offset, event, ...; tabs""",
        counts={"all": sum(COUNTS[scene] for scene in classes)},
        class_counts={"all": {scene: COUNTS[scene] for scene in classes}},
        chunks=Chunks(EVENTS, functools.partial(checked, _chunks), recording_of),
    )
    return made


DATA_SETS = (
    _data_set("", ("2016", "2017")),
    *(_data_set(f"/{edition}", (edition,)) for edition in SCENES),
)
