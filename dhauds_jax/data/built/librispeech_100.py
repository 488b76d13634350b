"""LibriSpeech-100 from the flac files of train-clean-100: each speaker's readings, one after the other, cut into 2 s.

Each reading is brought to -23 LUFS (less where a sample would pass -2 dB of full scale); the published pieces went
through ffmpeg-normalize, whose limiter also bends what is loud, so samples differ and names do not.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from dhauds_jax.data.audio import read_audio
from dhauds_jax.data.loudness import FLOOR, integrated_loudness
from dhauds_jax.data.sets.librispeech_100 import CLASSES, COLUMNS, CUTS, MENDED, PUBLISHED, SEGMENTS, SIZES
from dhauds_jax.data.walking import files_in
from dhauds_jax.errors import BadInput
from dhauds_jax.files import write_atomically, write_csv
from dhauds_jax.progress import progress_bar
from dhauds_jax.wording import counted

RATE, PIECE = 16_000, 32_000
"""Hz, and samples of a piece."""
LOUDNESS, PEAK = -23.0, 10 ** (-2 / 20)
_INSIDE = ("", "train-clean-100", "LibriSpeech/train-clean-100")


def build(raw_dir: Path | str, data_dir: Path | str) -> tuple[str, ...]:
    """Cuts the pieces that are not there yet and writes the tables, mended and as published.

    Args:
      raw_dir: train-clean-100 (`<speaker>/<chapter>/*.flac`), or a folder above it.
      data_dir: where they go.

    Returns:
      What differs from the published numbers, as sentences.

    Raises:
      BadInput: no such folder, none of the speakers there, a file that cannot be read.
    """
    root, output = _find(raw_dir), Path(data_dir)
    there = [speaker for speaker in CLASSES if (root / speaker).is_dir()]
    for speaker in progress_bar(there, total=len(there), desc="librispeech_100", unit="speaker"):
        _cut(root / speaker, speaker, output / SEGMENTS)
    names = [path.name for path in files_in(output / SEGMENTS)]
    own = {speaker: names_of(speaker, names) for speaker in there}
    _write_tables(output, MENDED, own)
    _write_tables(output, PUBLISHED, {speaker: names_of(speaker, names, as_published=True) for speaker in there})
    notices = []
    if len(there) < len(CLASSES):
        notices.append(f"{root} has {len(there)} of the {len(CLASSES)} speakers, the tables those alone")
    other = [speaker for speaker in there if len(own[speaker]) != CUTS[speaker]]
    if other:
        first = f"{other[0]} has {len(own[other[0]])}, expected {CUTS[other[0]]}"
        notices.append(f"{counted(len(other), 'speaker has', 'speakers have')} other numbers of pieces ({first})")
    return tuple(notices)


def _find(raw_dir: Path | str) -> Path:
    for inside in _INSIDE:
        root = Path(raw_dir) / inside
        if any((root / speaker).is_dir() for speaker in CLASSES):
            return root
    raise BadInput(
        f"--build={raw_dir}: holds none of the {len(CLASSES)} speakers (folders {CLASSES[0]}, {CLASSES[1]}, ...), "
        "expected LibriSpeech's train-clean-100"
    )


def names_of(speaker: str, names: Iterable[str], *, as_published: bool = False) -> list[str]:
    """A speaker's pieces, sorted as texts.

    Args:
      speaker: as in "19_0.wav".
      names: of all pieces.
      as_published: take every name that begins with the speaker's number, so that 19 has those of 1926 and 196 too,
        which come first: F14 of the published tables.
    """
    if as_published:
        return sorted(name for name in names if name.startswith(speaker))
    return sorted(name for name in names if name.partition("_")[0] == speaker)


def rows_of(speakers: dict[str, Sequence[str]], split: str, sizes: dict[str, int]) -> list[tuple[str, str, int]]:
    """The rows of a split's table: of each speaker's sorted pieces the next `sizes[split]`."""
    before = sum(list(sizes.values())[: list(sizes).index(split)])
    return [
        (name, speaker, CLASSES.index(speaker))
        for speaker in sorted(speakers)
        for name in speakers[speaker][before : before + sizes[split]]
    ]


def _write_tables(output: Path, files: dict[str, str], speakers: dict[str, list[str]]) -> None:
    for split, file in files.items():
        write_csv(output / file, [COLUMNS, *rows_of(speakers, split, SIZES)], exact=True)


def _cut(folder: Path, speaker: str, output: Path) -> None:
    """Writes the whole pieces of a speaker's readings, in the order of their paths, but for those that are there."""
    paths = [path for chapter in sorted(folder.iterdir()) if chapter.is_dir() for path in files_in(chapter, (".flac",))]
    waves = [_levelled(read_audio(path, RATE)[0]) for path in paths]
    whole = np.concatenate(waves) if waves else np.zeros(0, np.float32)
    for number in range(len(whole) // PIECE):
        place = output / f"{speaker}_{number}.wav"
        if not place.is_file():
            write_atomically(place, wav_of(whole[number * PIECE : (number + 1) * PIECE], RATE))


def _levelled(wave: np.ndarray) -> np.ndarray:
    loudness = integrated_loudness(wave, RATE)
    if loudness <= FLOOR:
        return wave
    gain = min(10 ** ((LOUDNESS - loudness) / 20), PEAK / float(np.abs(wave).max()))
    return (wave * np.float32(gain)).astype(np.float32)


def wav_of(wave: np.ndarray, sample_rate: int) -> bytes:
    """A wav file of 16 bits, as bytes."""
    import soundfile

    file = io.BytesIO()
    soundfile.write(file, wave, sample_rate, format="WAV", subtype="PCM_16")
    return file.getvalue()
