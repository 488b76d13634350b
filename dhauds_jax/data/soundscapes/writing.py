"""A scene's soundscapes on disk: each written whole or not at all, what is there is kept, all of it verified.

Below the output folder a scene has `<scene>/<class>/...wav` with a `.jams` beside each, `<scene>/index.csv` once it is
complete, `<scene>.json` (what it is made from) and, on request, `<scene>.parts/`.
"""

from __future__ import annotations

import functools
import hashlib
import io
import itertools
import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int32

from dhauds_jax import digests, json_texts
from dhauds_jax.data import content, walking
from dhauds_jax.data.audio import BadFile
from dhauds_jax.data.soundscapes import record, reverb
from dhauds_jax.data.soundscapes.scene import OFF_LU, Made, Scene, Settings, file_name
from dhauds_jax.data.soundscapes.sources import Sound
from dhauds_jax.errors import BadInput
from dhauds_jax.files import printable, write_atomically, write_csv
from dhauds_jax.processors import available_cores
from dhauds_jax.wording import counted

INDEX = "index.csv"
"""A scene's soundscapes, a row each."""
COLUMNS = ("file", "label", "fold", "group", "background", "background_start", "snr", "onset", "snr_measured", "peak")
"""Of an index. All soundscapes of a clip, and of what is cut from one recording, have one `group`."""
THREADS = available_cores()
"""Soundscapes that are made at a time."""


class Task(NamedTuple):
    """One soundscape to make: a clip, the number among the clip's, where it lies below the scene's folder."""

    clip: Sound
    number: int
    file: str


class Work(NamedTuple):
    """A scene to write.

    Attributes:
      scene: makes the soundscapes.
      tasks: all of them.
      root: the output folder.
      parts: whether foreground and background are written too.
      skip_bad: whether clips that cannot be used are left out.
    """

    scene: Scene
    tasks: tuple[Task, ...]
    root: Path
    parts: bool = False
    skip_bad: bool = False

    @property
    def folder(self) -> Path:
        """The scene's."""
        return self.root / self.scene.name

    def path(self, task: Task) -> Path:
        """A soundscape's wav."""
        return self.folder / task.file

    def annotation(self, task: Task) -> Path:
        """Its annotation, the last of its files to be written."""
        return self.path(task).with_suffix(record.ENDING)

    def is_there(self, task: Task) -> bool:
        """Whether a soundscape is written."""
        return self.annotation(task).is_file() and self.path(task).is_file()

    def part(self, task: Task, name: str) -> Path:
        """A part of it, outside the scene's folder: that would be taken for clips."""
        beside = self.root / f"{self.scene.name}.parts" / task.file
        return beside.with_name(f"{beside.stem}.{name}.wav")


class Written(NamedTuple):
    """What became of a task: the soundscape's notices, or why its clip was left out."""

    task: Task
    notices: tuple[str, ...] = ()
    bad: BadFile | None = None


def tasks_of(clips: Sequence[Sound], count: int, scene: str) -> tuple[Task, ...]:
    """`count` soundscapes of every clip; raises `BadInput` where two would be one file."""
    found, owners = [], {}
    for clip in clips:
        for number in range(count):
            file = file_name(clip.id, clip.label, scene, number).as_posix()
            if (other := owners.setdefault(file, clip.id)) != clip.id:
                both = f"{printable(other)} and {printable(clip.id)}"
                raise BadInput(f"{both} would both be written to {printable(file)}; rename one of them")
            found.append(Task(clip, number, file))
    return tuple(found)


def identity(work: Work, clips: Sequence[Sound], backgrounds: Sequence[Sound], count: int) -> dict[str, Any]:
    """What a scene is, for its record: settings, and digests of what it is made from."""
    settings = work.scene.settings
    return {
        **settings._asdict(),
        "snr": settings.snr.text,
        "onset": settings.onset.text,
        "scene": work.scene.name,
        "foreground": work.scene.foreground,
        "n": count,
        "parts": work.parts,
        "clips": _digest(clips),
        "backgrounds": _digest(backgrounds),
    }


def _digest(sounds: Sequence[Sound]) -> str:
    """Recordings by id, label and what the files hold."""
    files = content.of_files((sound.id, sound.path) for sound in sounds if sound.path.is_file())
    return digests.of_texts(sorted((sound.id, sound.label, sound.fold) for sound in sounds), files)


_OF = {"clips": "clips", "backgrounds": "background recordings"}


def begin(work: Work, wanted: dict[str, Any]) -> None:
    """Writes the scene's record unless it is there with something made by it.

    Raises:
      BadInput: it is there and says something else: the scene was made, or begun, from other data or other settings.
    """
    path = work.root / f"{work.scene.name}.json"
    if not path.is_file() or not any(work.folder.rglob(f"*{record.ENDING}")):
        write_atomically(path, json.dumps(wanted, indent=1) + "\n")
    check(work, wanted)
    # What a killed command left behind; nobody else writes here, since the output folder is held.
    below = (folder.rglob("*.tmp-*") for folder in (work.folder, work.root / f"{work.scene.name}.parts"))
    for left in (*work.root.glob(f"{path.name}.tmp-*"), *itertools.chain(*below)):
        left.unlink()


def check(work: Work, wanted: dict[str, Any]) -> None:
    """Raises `BadInput` unless the scene's record is there and says the same."""
    path = work.root / f"{work.scene.name}.json"
    if not path.is_file():
        raise BadInput(f"{path}: no such file, expected a scene that experiments.soundscapes has written")
    found = json_texts.object_of(path, "what experiments.soundscapes has written")
    for name, value in wanted.items():
        if found.get(name) == value:
            continue
        if name in _OF:
            raise BadInput(
                f"{work.folder}: made from other {_OF[name]} than are given now, expected the same; "
                "give another --output"
            )
        raise BadInput(f"{work.folder}: made with {name} {found.get(name)}, expected {value}; give another --output")


def write(work: Work) -> Iterator[Written]:
    """Makes and writes what is not there yet, in the order of the tasks; nothing is given for what is.

    Raises:
      BadFile: a clip that cannot be used, unless such are left out; a background that cannot be. BadInput: all
        backgrounds are silent.
    """
    left = [task for task in work.tasks if not work.is_there(task)]
    yield from _each(functools.partial(_write, work), left)


def _each(function: Callable[[Task], Any], tasks: Sequence[Task]) -> Iterator[Any]:
    pool = ThreadPoolExecutor(THREADS)
    try:
        yield from pool.map(function, tasks)
    finally:
        pool.shutdown(cancel_futures=True)


def _write(work: Work, task: Task) -> Written:
    try:
        made = work.scene.make(task.clip, task.number)
    except BadFile as error:
        if error.path != task.clip.path:
            raise
        if not work.skip_bad:
            error.skippable = True
            raise
        return Written(task, bad=error)
    for path, whole in files_of(work, task, made).items():
        write_atomically(path, whole)
    return Written(task, made.notices)


def files_of(work: Work, task: Task, made: Made) -> dict[Path, bytes]:
    """What a soundscape is on disk, in the order in which it is written: its parts, its wav, its annotation."""
    settings, found = work.scene.settings, {}
    for name in ("foreground", "background") if work.parts else ():
        part = getattr(made.sound, name)
        wet = reverb.sox0(part, settings.sample_rate) if settings.reverb == "sox0" else part
        found[work.part(task, name)] = wav_bytes(wet, settings)
    own = found[work.path(task)] = wav_bytes(made.sound.mix, settings)
    document = record.document(made, work.scene.name, work.scene.foreground, settings, hashlib.sha256(own).hexdigest())
    return {**found, work.annotation(task): record.text(document).encode()}


def _bits(settings: Settings) -> int:
    """32, as Scaper writes; or 24, whose steps are 144 dB below full scale, in three quarters of the bytes.

    Not float: libsndfile writes the time of day into such files, so no two would be equal.
    """
    return 32 if settings.is_reference else 24


def quantised(wave: Float[np.ndarray, " samples"], settings: Settings) -> Int32[np.ndarray, " samples"]:
    """The samples as they are written: times 2^(bits - 1), rounded, saturating, in the upper bits of 32."""
    steps = 2.0 ** (_bits(settings) - 1)
    return np.clip(np.rint(wave * steps), -steps, steps - 1).astype(np.int32) << (32 - _bits(settings))


def wav_bytes(wave: Float[np.ndarray, " samples"], settings: Settings) -> bytes:
    """A wav file."""
    import soundfile

    file = io.BytesIO()
    samples, subtype = quantised(wave, settings), f"PCM_{_bits(settings)}"
    soundfile.write(file, samples, settings.sample_rate, subtype=subtype, format="WAV")
    return file.getvalue()


def finish(work: Work) -> tuple[int, tuple[str, ...]]:
    """Writes the scene's index from the annotations that are there; returns how many these are, and what to say."""
    found = [(task, record.read(work.annotation(task))) for task in work.tasks if work.is_there(task)]
    rows = [_row(task, one) for task, one in found]
    write_csv(work.folder / INDEX, [COLUMNS, *rows], exact=True)
    return len(rows), _remarks([(task, record.ours(one), record.event_of(one).snr) for task, one in found], work)


def _row(task: Task, found: dict[str, Any]) -> tuple[object, ...]:
    event, ours = record.event_of(found), record.ours(found)
    numbers = (f"{value:g}" for value in (event.background_start, event.snr, event.onset))
    measured = (f"{ours['snr_measured']:.3f}", f"{ours['peak']:.4f}")
    return (printable(task.file), event.label, event.fold, task.clip.group, event.background, *numbers, *measured)


def _remarks(found: Sequence[tuple[Task, dict[str, Any], float]], work: Work) -> tuple[str, ...]:
    """What must be said of a scene's soundscapes: those that clip, those whose SNR is not the one asked for."""
    clipping = [(ours["peak"], task.file) for task, ours, _ in found if ours["peak"] > 1.0]
    off = [(abs(snr - ours["snr_measured"]), task.file) for task, ours, snr in found]
    off = [one for one in off if one[0] > OFF_LU]
    said = []
    if clipping:
        peak, file = max(clipping)
        fixed = work.scene.settings.fix_clipping
        fate = "they are scaled down" if fixed else "they are cut there; --fix_clipping scales them down"
        went = f"up to {peak:.3g} in {printable(file)}"
        said.append(f"{len(clipping)} of {counted(len(found), 'soundscape')} went beyond full scale, {went}: {fate}")
    if off:
        most, file = max(off)
        went = f"up to {most:.2g} LU in {printable(file)}"
        said.append(f"{len(off)} of {counted(len(found), 'soundscape')}: the SNR is not the one asked for, {went}")
    return tuple(said)


def verify(work: Work) -> Iterator[list[str]]:
    """Makes every soundscape again and compares it with its files; gives what differs, a list of sentences a task."""
    yield from _each(functools.partial(_verify, work), work.tasks)


def _verify(work: Work, task: Task) -> list[str]:
    try:
        made = work.scene.make(task.clip, task.number)
    except BadFile as error:
        if error.path != task.clip.path or not work.skip_bad:
            raise
        there = work.is_there(task)
        return [f"{work.path(task)}: is there, and its clip cannot be used"] if there else []
    return [
        f"{path}: {'differs' if path.is_file() else 'is absent'}"
        for path, expected in files_of(work, task, made).items()
        if not path.is_file() or path.read_bytes() != expected
    ]


def unlisted(work: Work) -> list[str]:
    """The wav files in the scene's folder that belong to none of its soundscapes, as sentences."""
    there = walking.below(work.folder, lambda name: name.endswith(".wav")).files
    listed = {work.path(task) for task in work.tasks}
    return [f"{path}: belongs to no soundscape" for path in there if path not in listed]
