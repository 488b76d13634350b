"""Where the recordings that corruptions mix in lie below `--noise_dir`: QUT-NOISE, DEMAND, background noises, clips."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from dhauds_jax.data import formats
from dhauds_jax.data.walking import files_in, folders_in
from dhauds_jax.errors import BadInput

Found = list[tuple[str, Path]]
QUT = "QUT-NOISE/<CLASS>*.wav (QUT-NOISE corpus)"
DEMAND = "DEMAND_16k/<CLASS>/*.wav or DEMAND_48k/<CLASS>/*.wav (DEMAND corpus)"
BACKGROUND = "_background_noise_/<kind>.wav (SpeechCommands v0.02)"
CLIPS = "VocalSound/, CochlScene/ or ESC-50/ (the data set whose clips are the noise)"

_OTHERS = formats.SOUND - {".wav"}
_RELEASE = "speech_commands_v0.02"
_FOLDERS = {"vocal_sound": "VocalSound", "cochl_scene": "CochlScene", "esc50": "ESC-50"}


def qut(noise_dir: Path, corruption: str, classes: tuple[str, ...]) -> Found:
    """`(CLASS/file, path)` of QUT-NOISE's recordings, by class, then file name (other arguments as `demand`)."""
    roots = [noise_dir / "QUT-NOISE", noise_dir / "QUT-NOISE" / "QUT-NOISE", noise_dir]
    return _collect(roots, corruption, noise_dir, classes, QUT, _by_prefix)


def demand(noise_dir: Path, corruption: str, classes: tuple[str, ...], sample_rate: int) -> Found:
    """`(CLASS/file, path)` of DEMAND's recordings, by class, then file name.

    Args:
      noise_dir: the folder that holds the corpus, or the corpus itself.
      corruption: its name, for the sentence.
      classes: those wanted.
      sample_rate: wanted rate in Hz; the release nearest to it comes first.

    Raises:
      BadInput: there are none, or none of one class.
    """
    releases = ("DEMAND_16k", "DEMAND_48k") if sample_rate <= 16_000 else ("DEMAND_48k", "DEMAND_16k")
    roots = [*(noise_dir / release for release in releases), noise_dir]
    return _collect(roots, corruption, noise_dir, classes, DEMAND, _by_folder)


def background(noise_dir: Path, corruption: str, kinds: tuple[str, ...]) -> Found:
    """`(kind/file, path)` of SpeechCommands' background noises (arguments as `demand`)."""
    parents = ("", _RELEASE, f"{_RELEASE}/{_RELEASE}", f"SpeechCommands/{_RELEASE}")
    roots = [noise_dir, *(noise_dir / parent / "_background_noise_" for parent in parents)]
    return _collect(roots, corruption, noise_dir, kinds, BACKGROUND, _one_file)


def clips(noise_dir: Path, clip_set: str, sample_rate: int) -> Found:
    """Lists `(name, path)` of all clips of a data set that serves as noise, sorted by name, whatever their split.

    Args:
      noise_dir: the folder that holds `VocalSound/`, `CochlScene/` or `ESC-50/`, or one of these itself.
      clip_set: "vocal_sound", "cochl_scene" or "esc50".
      sample_rate: wanted rate in Hz; above 16,000 the 44.1 kHz release of VocalSound comes first.

    Raises:
      BadInput: there are none.
    """
    folder = _FOLDERS[clip_set]
    if clip_set == "vocal_sound":
        audio = ("audio_16k", "data_44k", "audio_44k")
        inside = audio if sample_rate <= 16_000 else (*audio[1:], audio[0])
        parents = (f"{folder}/", "", *(f"{p}vs_release_{r}/" for p in (f"{folder}/", "") for r in ("16k", "44k")))
        found = next((f for name in inside for p in parents if (f := _named([noise_dir / p / name], 1))), [])
        expected = "VocalSound/audio_16k/*.wav"
    elif clip_set == "esc50":
        roots = [noise_dir / folder / "audio", noise_dir / "audio"]
        found = next((f for root in roots if (f := _named([root], 1))), [])
        expected = "ESC-50/audio/*.wav"
    else:
        roots = [noise_dir / folder, noise_dir / folder / folder, noise_dir]
        found = next((f for root in roots if (f := _named([root / s for s in ("Train", "Val", "Test")], 3))), [])
        expected = "CochlScene/{Train,Val,Test}/<Scene>/*.wav"
    if not found:
        raise BadInput(_absent(noise_dir, f"no clips of {clip_set} for CLP, expected {expected}"))
    return found


def left_out(found: Found, noise_dir: Path) -> tuple[str, ...]:
    """A sentence for each kind of recordings that are no wav in the folders where those lie that are read."""
    folders = sorted({path.parent for _, path in found})
    return formats.left_out([path for folder in folders for path in files_in(folder, _OTHERS)], noise_dir)


def _collect(
    roots: list[Path], corruption: str, noise_dir: Path, classes: tuple[str, ...], expected: str, files_of: Callable
) -> Found:
    """The recordings of all classes under the first root that has them all.

    Raises:
      BadInput: none has; the classes are named that are absent under the first root that has any.
    """
    missing: list[str] = []
    for root in roots:
        found = {name: files_of(root, name) for name in classes} if root.is_dir() else {}
        absent = [name for name in classes if not found.get(name)]
        if not absent:
            return [(f"{name}/{path.name}", path) for name in classes for path in found[name]]
        if len(absent) < len(classes):
            missing = missing or absent
    missing = missing or list(classes)
    raise BadInput(_absent(noise_dir, f"no recordings of {', '.join(missing)} for {corruption}, expected {expected}"))


def _absent(noise_dir: Path, what: str) -> str:
    """The sentence about recordings that are not there, with those of other kinds that are."""
    return "; ".join((f"--noise_dir={noise_dir}: {what}", *formats.not_wav(noise_dir)))


def _one_file(root: Path, name: str) -> list[Path]:
    return [path for path in files_in(root) if path.stem == name]


def _by_prefix(root: Path, name: str) -> list[Path]:
    return [path for path in files_in(root) if path.name.startswith(name)]


def _by_folder(root: Path, name: str) -> list[Path]:
    return files_in(root / name)


def _named(folders: Iterable[Path], parts: int) -> Found:
    """Wav files in folders (parts 1) or in their folders (parts 3), named by the last `parts` of their paths."""
    if parts == 3:
        folders = [inner for folder in folders for inner in folders_in(folder)]
    paths = [path for folder in folders for path in files_in(folder)]
    return sorted(("/".join(path.parts[-parts:]), path) for path in paths)
