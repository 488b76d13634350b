"""Noise banks: the recordings that each noise corruption draws its crops from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dhauds_jax.data.corruptions import noise_folders
from dhauds_jax.data.corruptions.base import NoiseSource
from dhauds_jax.data.corruptions.lookup import check_cell
from dhauds_jax.errors import BadInput
from dhauds_jax.registry import is_foreign

SYNTHETIC_SECONDS = 10
"""Length of each recording of a synthetic bank in seconds: its babble is then one chunk of the synthesiser."""


class Recordings(Sequence):
    """Recordings that are read when asked for and then forgotten, but for what is to be said of each: for folders
    larger than memory."""

    def __init__(self, paths: Sequence[Path], sample_rate: int):
        self.paths, self.sample_rate = tuple(paths), sample_rate
        self.told: dict[int, tuple[str, ...]] = {}

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> np.ndarray:
        """Reads one, float32 (time,) at the wanted rate; raises `BadInput` naming an unreadable file."""
        from dhauds_jax.data.audio import read_audio

        wave, self.told[index] = read_audio(self.paths[index], self.sample_rate)
        return wave

    def samples(self, index: int) -> int:
        """How many samples it has at the wanted rate, from its header where that says; raises `BadFile`."""
        from dhauds_jax.data.audio import measure

        rate, samples = measure(self.paths[index])
        return -(-self.sample_rate * samples // rate)


class NoiseBank(NamedTuple):
    """The recordings of one corruption and level.

    Attributes:
      names: "CLASS/file" of each, in sorted order; a draw is an index into them.
      waves: float32 (time,) each, at `sample_rate`; in memory, or `Recordings` read one by one.
      sample_rate: Hz.
      notices: what had to be done to the files (of those read one by one, nothing yet, see `later_notices`), and what
        was left out.
    """

    names: tuple[str, ...]
    waves: Sequence[np.ndarray]
    sample_rate: int
    notices: tuple[str, ...] = ()

    @property
    def lengths(self) -> np.ndarray:
        """Samples of each recording, int32 (recordings,)."""
        return self.lengths_of(np.arange(len(self.names)))

    def later_notices(self) -> tuple[str, ...]:
        """What had to be done to the recordings that are read one by one, of those that have been read."""
        from dhauds_jax.data.notices import Said

        if not isinstance(self.waves, Recordings):
            return ()
        said, told = Said(), sorted(self.waves.told.items())
        said.add_all((self.names[index], notices) for index, notices in told)
        return tuple(f"noise: {sentence}" for sentence in said.sentences(len(told)))

    def lengths_of(self, drawn: np.ndarray) -> np.ndarray:
        """Samples of each recording, int32 (recordings,); 1 for those on disk that were not drawn: only headers of
        recordings drawn are read.

        Args:
          drawn: indices of recordings.
        """
        if not isinstance(self.waves, Recordings):
            return np.array([len(wave) for wave in self.waves], np.int32)
        lengths = np.ones(len(self.waves), np.int32)
        for index in np.unique(drawn):
            lengths[index] = self.waves.samples(int(index))
        return lengths


def load_bank(noise_dir: Path | str | None, corruption: str, level: str, sample_rate: int) -> NoiseBank:
    """Reads the recordings of a noise corruption, listings sorted (the reference took the folder's own order).

    Clips of whole data sets (CLP) are only listed here: each is read when it is mixed in.

    Args:
      noise_dir: the folder that holds `QUT-NOISE/` (ENQ), `DEMAND_16k/` or `DEMAND_48k/` (END1, END2; the one
        nearest to `sample_rate` first), `_background_noise_/` (ENSC, SCN; also inside a SpeechCommands folder),
        `VocalSound/`, `CochlScene/` or `ESC-50/` (CLP), or the user's own folder or list (ENU).
      corruption: one that mixes in recordings.
      level: one of its levels.
      sample_rate: wanted rate in Hz.

    Raises:
      BadInput: unknown corruption or level, a folder or a class without recordings, an unreadable file, a silent
        one among the user's own.

    Source: DHAuDS, lib/corruption.py and lib/constants.py.
    """
    from dhauds_jax.data.audio import read_audio
    from dhauds_jax.data.notices import Said

    source = _source(corruption, level)
    found = find_recordings(noise_dir, corruption, level, sample_rate)
    where = Path(noise_dir) if noise_dir else None
    # Of one's own sources and places only they know what they read; of the corpora here it is wav alone.
    corpus = not source.anywhere and not is_foreign(corruption)
    left_out = (*source.notices(where), *(noise_folders.left_out(found, where) if corpus else ()))
    if source.streamed:
        names, paths = zip(*found)
        return NoiseBank(names, Recordings(paths, sample_rate), sample_rate, tuple(f"noise: {one}" for one in left_out))
    waves, said = [], Said()
    for name, path in found:
        wave, told = read_audio(path, sample_rate)
        if source.anywhere and not wave.any():
            raise BadInput(f"{corruption}: {path} is silent, expected recordings that can be heard: take it out")
        waves.append(wave)
        said.add(name, told)
    notices = tuple(f"noise: {sentence}" for sentence in (*said.sentences(len(found)), *left_out))
    return NoiseBank(tuple(name for name, _ in found), waves, sample_rate, notices)


def find_recordings(
    noise_dir: Path | str | None, corruption: str, level: str, sample_rate: int
) -> list[tuple[str, Path]]:
    """Lists `(name, path)` of a bank's recordings, sorted by class, then file name (arguments as `load_bank`)."""
    source = _source(corruption, level)
    if not noise_dir and not source.anywhere:
        raise BadInput(f"{corruption} needs --noise_dir, the folder that holds {source.expected}")
    return source.find(Path(noise_dir) if noise_dir else None, level, sample_rate)


def _source(corruption: str, level: str) -> NoiseSource:
    """Where a cell's recordings come from; raises `BadInput` for unknown names and for what mixes in none."""
    source = check_cell(corruption, level).noise
    if source is None:
        raise BadInput(f"corruption {corruption}: mixes in no recordings, expected one that does, such as ENQ")
    return source


def synthetic_bank(
    corruption: str, level: str, seed: int = 0, *, sample_rate: int = 16_000, seconds: float = SYNTHETIC_SECONDS
) -> NoiseBank:
    """A stand-in bank of synthetic noises: as many classes as the real one has, L2's first ones being L1's.

    For a shift, one noise of the kind nearest to the one it names (SCN), or a few short ones (CLP).

    Args:
      corruption: one that mixes in recordings.
      level: one of its levels.
      seed: of the recordings; every corruption has its own.
      sample_rate: Hz.
      seconds: length of each recording.

    Raises:
      BadInput: unknown corruption or level, or one without stand-ins.
    """
    from dhauds_jax.data.synthetic_noises import make_noise

    make = _source(corruption, level).stand_ins
    if make is None:
        raise BadInput(f"{corruption} has no stand-ins for its recordings, expected --noise_dir")
    kinds, first, length = make(level)
    samples = round(seconds * length * sample_rate)
    first += 1000 * seed
    waves = [make_noise(k, seed=first + i, samples=samples, sample_rate=sample_rate) for i, k in enumerate(kinds)]
    return NoiseBank(tuple(f"{kind}/{i}" for i, kind in enumerate(kinds)), waves, sample_rate)


def crop(wave: np.ndarray, start: int, length: int) -> np.ndarray:
    """`length` samples from `start` on; a recording that ends before is repeated from its beginning.

    Args:
      wave: float32 (time,), at least one sample.
      start: first sample.
      length: samples wanted.
    """
    if start + length <= len(wave):
        return wave[start : start + length]
    return np.take(wave, np.arange(start, start + length), mode="wrap")


def crop_once(wave: np.ndarray, start: int, length: int) -> np.ndarray:
    """`length` samples from `start` on, with silence behind a recording that ends before (arguments as `crop`)."""
    part = wave[start : start + length]
    return np.pad(part, (0, length - len(part)))
