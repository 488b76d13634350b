"""Noise banks: the recordings that each noise corruption draws its crops from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dhauds_jax.data.levels import NOISE_CORRUPTIONS, check_choice
from dhauds_jax.data.shifts import CLIP_SETS, KINDS, NOISY_SHIFTS, check_cell, find_clips, parse, stand_ins

SYNTHETIC_SECONDS = 20
"""Length of each recording of a synthetic bank in seconds."""

_QUT = {"L1": ("HOME", "REVERB", "STREET"), "L2": ("CAFE", "CAR", "HOME", "REVERB", "STREET")}
_DEMAND = {
    ("END1", "L1"): ("NFIELD", "OOFFICE", "PRESTO", "TCAR"),
    ("END1", "L2"): ("DKITCHEN", "NFIELD", "OOFFICE", "PRESTO", "STRAFFIC", "TCAR"),
    ("END2", "L1"): ("DLIVING", "OHALLWAY", "SPSQUARE", "TMETRO"),
    ("END2", "L2"): ("DLIVING", "NRIVER", "OHALLWAY", "PSTATION", "SPSQUARE", "TMETRO"),
}
_BACKGROUND = {
    "L1": ("exercise_bike", "pink_noise", "running_tap", "white_noise"),
    "L2": KINDS,
}
_SYNTHETIC = {
    "ENQ": {"L1": ("babble", "pink", "hum"), "L2": ("babble", "pink", "hum", "babble", "clicks")},
    "END1": {"L1": ("babble", "clicks", "hum", "pink"), "L2": ("babble", "clicks", "hum", "pink", "white", "babble")},
    "END2": {"L1": ("babble", "babble", "hum", "pink"), "L2": ("babble", "babble", "hum", "pink", "clicks", "white")},
    "ENSC": {"L1": ("hum", "pink", "clicks", "white"), "L2": ("hum", "pink", "clicks", "white", "babble", "clicks")},
}


class Recordings(Sequence):
    """Recordings that are read when asked for and then forgotten: for folders larger than memory."""

    def __init__(self, paths: Sequence[Path], sample_rate: int):
        self.paths, self.sample_rate = tuple(paths), sample_rate

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> np.ndarray:
        """Reads one, float32 (time,) at the wanted rate; raises `ValueError` naming an unreadable file."""
        from dhauds_jax.data.audio import read_audio

        return read_audio(self.paths[index], self.sample_rate)[0]

    def samples(self, index: int) -> int:
        """How many samples it has at the wanted rate, from its header; raises `ValueError` for a file without one."""
        import soundfile

        try:
            info = soundfile.info(str(self.paths[index]))
        except soundfile.LibsndfileError as error:
            raise ValueError(f"{self.paths[index]}: cannot be read ({error}), expected a wav file") from error
        return -(-self.sample_rate * info.frames // info.samplerate)


class NoiseBank(NamedTuple):
    """The recordings of one corruption and level.

    Attributes:
      names: "CLASS/file" of each, in sorted order; a draw is an index into them.
      waves: float32 (time,) each, at `sample_rate`; in memory, or `Recordings` read one by one.
      sample_rate: Hz.
      notices: what had to be done to the files.
    """

    names: tuple[str, ...]
    waves: Sequence[np.ndarray]
    sample_rate: int
    notices: tuple[str, ...] = ()

    @property
    def lengths(self) -> np.ndarray:
        """Samples of each recording, int32 (recordings,)."""
        return self.lengths_of(np.arange(len(self.names)))

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
        `VocalSound/`, `CochlScene/` or `ESC-50/` (CLP).
      corruption: ENQ, END1, END2, ENSC, SCN or CLP.
      level: L1 or L2 (more classes), or a shift's.
      sample_rate: wanted rate in Hz.

    Raises:
      ValueError: unknown corruption or level, a folder or a class without recordings, an unreadable file.

    Source: DHAuDS, lib/corruption.py and lib/constants.py.
    """
    from dhauds_jax.data.audio import read_audio

    check_choice("noise corruption", corruption, (*NOISE_CORRUPTIONS, *NOISY_SHIFTS))
    check_cell(corruption, level)
    if not noise_dir:
        raise ValueError(f"{corruption} needs --noise_dir, the folder that holds {_expected(corruption)}")
    found = find_recordings(Path(noise_dir), corruption, level, sample_rate)
    if corruption == "CLP":
        names, paths = zip(*found)
        return NoiseBank(names, Recordings(paths, sample_rate), sample_rate)
    waves, notices = [], {}
    for _, path in found:
        wave, said = read_audio(path, sample_rate)
        waves.append(wave)
        for notice in said:
            notices[notice] = notices.get(notice, 0) + 1
    told = tuple(f"{count} noise recordings {notice}" for notice, count in notices.items())
    return NoiseBank(tuple(name for name, _ in found), waves, sample_rate, told)


def find_recordings(noise_dir: Path, corruption: str, level: str, sample_rate: int) -> list[tuple[str, Path]]:
    """Lists `(name, path)` of a bank's recordings, sorted by class, then file name (arguments as `load_bank`)."""
    if corruption == "CLP":
        return find_clips(noise_dir, parse(corruption, level).noise, sample_rate)
    if corruption in ("ENSC", "SCN"):
        kinds = _BACKGROUND[level] if corruption == "ENSC" else (parse(corruption, level).noise,)
        roots = [noise_dir / parent / "_background_noise_" for parent in ("", *_speech_commands_folders())]
        return _collect([noise_dir, *roots], corruption, noise_dir, kinds, _one_file)
    if corruption == "ENQ":
        roots = [noise_dir / "QUT-NOISE", noise_dir / "QUT-NOISE" / "QUT-NOISE", noise_dir]
        return _collect(roots, corruption, noise_dir, _QUT[level], _by_prefix)
    releases = ("DEMAND_16k", "DEMAND_48k") if sample_rate <= 16_000 else ("DEMAND_48k", "DEMAND_16k")
    roots = [*(noise_dir / release for release in releases), noise_dir]
    return _collect(roots, corruption, noise_dir, _DEMAND[corruption, level], _by_folder)


def _collect(
    roots: list[Path], corruption: str, noise_dir: Path, classes: tuple[str, ...], files_of: Callable
) -> list[tuple[str, Path]]:
    """The recordings of all classes under the first root that has any of them; raises `ValueError` if one is absent."""
    missing = list(classes)
    for root in roots:
        found = {name: files_of(root, name) for name in classes} if root.is_dir() else {}
        if any(found.values()):
            missing = [name for name in classes if not found[name]]
            if not missing:
                return [(f"{name}/{path.name}", path) for name in classes for path in found[name]]
            break
    raise ValueError(
        f"--noise_dir={noise_dir}: no recordings of {', '.join(missing)} for {corruption}, "
        f"expected {_expected(corruption)}"
    )


def _one_file(root: Path, name: str) -> list[Path]:
    return [path for path in (root / f"{name}.wav",) if path.is_file()]


def _by_prefix(root: Path, name: str) -> list[Path]:
    return sorted(path for path in root.glob("*.wav") if path.name.startswith(name))


def _by_folder(root: Path, name: str) -> list[Path]:
    return sorted((root / name).glob("*.wav"))


def _speech_commands_folders() -> tuple[str, ...]:
    release = "speech_commands_v0.02"
    return (release, f"{release}/{release}", f"SpeechCommands/{release}")


def _expected(corruption: str) -> str:
    return {
        "ENQ": "QUT-NOISE/<CLASS>*.wav (QUT-NOISE corpus)",
        "END1": "DEMAND_16k/<CLASS>/*.wav or DEMAND_48k/<CLASS>/*.wav (DEMAND corpus)",
        "END2": "DEMAND_16k/<CLASS>/*.wav or DEMAND_48k/<CLASS>/*.wav (DEMAND corpus)",
        "ENSC": "_background_noise_/<kind>.wav (SpeechCommands v0.02)",
        "SCN": "_background_noise_/<kind>.wav (SpeechCommands v0.02)",
        "CLP": "VocalSound/, CochlScene/ or ESC-50/ (the data set whose clips are the noise)",
    }[corruption]


def synthetic_bank(
    corruption: str, level: str, seed: int = 0, *, sample_rate: int = 16_000, seconds: float = SYNTHETIC_SECONDS
) -> NoiseBank:
    """A stand-in bank of synthetic noises: as many classes as the real one has, L2's first ones being L1's.

    For a shift, one noise of the kind nearest to the one it names (SCN), or a few short ones (CLP).

    Args:
      corruption: ENQ, END1, END2, ENSC, SCN or CLP.
      level: L1 or L2, or a shift's.
      seed: of the recordings; every corruption has its own.
      sample_rate: Hz.
      seconds: length of each recording.

    Raises:
      ValueError: unknown corruption or level.
    """
    from dhauds_jax.data.synthetic_noises import make_noise

    shared = (*NOISE_CORRUPTIONS, *NOISY_SHIFTS)
    check_choice("noise corruption", corruption, shared)
    check_cell(corruption, level)
    first = 1000 * seed + 100 * shared.index(corruption)
    if corruption in NOISY_SHIFTS:
        noise = parse(corruption, level).noise
        kinds = stand_ins(noise)
        first += 10 * (KINDS + CLIP_SETS).index(noise)
        seconds = seconds if corruption == "SCN" else seconds / 4
    else:
        kinds = _SYNTHETIC[corruption][level]
    samples = round(seconds * sample_rate)
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
