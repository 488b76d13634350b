"""Corruptions with parameters: the shifts of NTTA and TTA-in-AC, one fixed noise each where the seven draw from grids.

| code | what is added | level | published |
|---|---|---|---|
| SCN | a random crop of one SpeechCommands background noise | `<kind>@<SNR>dB`: `running_tap@10dB` | 3 and 10 dB |
| CLP | a random clip of a data set, repeated where it is shorter | `<set>@<SNR>dB`: `vocal_sound@3dB` | 3 and 10 dB |
| UNI | `scale * u`, u of U[0, 1) for every sample | `<scale>`: `0.005` | 0.0025 and 0.005 |

`+random_pad` after a level puts a clip that is shorter than its row at a random place in it instead of its centre, as
TTA-in-AC does at test time too. A level's text is part of the key of its draws, so every level has one spelling:
`10dB`, not `10.0dB`. On command lines a cell is `CODE:LEVEL`, as in `--corruption=SCN:running_tap@10dB,UNI:0.005`.

Source: DHAuDS at 382c301 (then called NTTA); TTA-in-AC, arXiv 2507.15523, where UNI is called Gaussian.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from dhauds_jax.data.levels import CORRUPTIONS, LEVELS, NOISE_CORRUPTIONS, check_choice

SHIFTS = ("SCN", "CLP", "UNI")
NOISY_SHIFTS = ("SCN", "CLP")
KINDS = ("doing_the_dishes", "dude_miaowing", "exercise_bike", "pink_noise", "running_tap", "white_noise")
"""Background noises of SpeechCommands v0.02."""
CLIP_SETS = ("cochl_scene", "esc50", "vocal_sound")
"""Data sets whose clips serve as noise; NTTA used CochlScene and VocalSound, ESC-50 is there to tune on."""
RANDOM_PAD = "+random_pad"
EXAMPLES = {"SCN": "SCN:running_tap@10dB", "CLP": "CLP:vocal_sound@3dB", "UNI": "UNI:0.005"}

_SOURCES = {"SCN": KINDS, "CLP": CLIP_SETS}
_FOLDERS = {"vocal_sound": "VocalSound", "cochl_scene": "CochlScene", "esc50": "ESC-50"}
_STAND_INS = {
    **{kind: (noise,) for kind, noise in zip(KINDS, ("clicks", "babble", "hum", "pink", "white", "white"))},
    "vocal_sound": ("babble",) * 4,
    "cochl_scene": ("babble", "clicks", "hum", "pink"),
    "esc50": ("pink", "hum", "clicks"),
}


class Shift(NamedTuple):
    """What a level says.

    Attributes:
      noise: the kind of background noise (SCN) or the data set (CLP); empty for UNI.
      snr_db: signal-to-noise ratio in dB; 0 for UNI.
      scale: factor of the uniform samples (UNI); 0 for the others.
      random_pad: whether a shorter clip is put at a random place.
    """

    noise: str = ""
    snr_db: float = 0.0
    scale: float = 0.0
    random_pad: bool = False


def parse(corruption: str, level: str) -> Shift:
    """Reads the level of a shift.

    Args:
      corruption: SCN, CLP or UNI.
      level: as in the table above.

    Raises:
      ValueError: another corruption, or a level that is not spelled as it must be.
    """
    check_choice("shift", corruption, SHIFTS)
    text = level.removesuffix(RANDOM_PAD)
    padded = text != level
    if corruption == "UNI":
        scale = _number(text)
        if scale is None or scale <= 0:
            raise ValueError(
                f"unknown level {level!r} of UNI, expected a positive number such as 0.005 or 0.0025 in its shortest "
                f"spelling, or that with {RANDOM_PAD} after it"
            )
        return Shift(scale=scale, random_pad=padded)
    noise, at, ratio = text.partition("@")
    snr_db = _number(ratio.removesuffix("dB"))
    if noise not in _SOURCES[corruption] or not at or not ratio.endswith("dB") or snr_db is None:
        raise ValueError(
            f"unknown level {level!r} of {corruption}, expected one of {', '.join(_SOURCES[corruption])}, then @ and "
            f"the signal-to-noise ratio in its shortest spelling, as in {EXAMPLES[corruption][4:]}, or that with "
            f"{RANDOM_PAD} after it"
        )
    return Shift(noise, snr_db, random_pad=padded)


def _number(text: str) -> float | None:
    """The finite number that is spelled like this and not otherwise; None for everything else."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and f"{value:g}" == text else None


def check_cell(corruption: str, level: str) -> None:
    """Raises `ValueError` unless they name a corruption and a level of it; the valid names are listed."""
    check_choice("corruption", corruption, (*CORRUPTIONS, *SHIFTS))
    if corruption in SHIFTS:
        parse(corruption, level)
    else:
        check_choice("level", level, LEVELS)


def needs_noise(corruption: str) -> bool:
    """Whether a corruption or shift mixes in recordings, and so needs a noise bank."""
    return corruption in NOISE_CORRUPTIONS or corruption in NOISY_SHIFTS


def stand_ins(noise: str) -> tuple[str, ...]:
    """Kinds of synthetic noise that stand for a shift's recordings where the data set is made in memory too."""
    return _STAND_INS[noise]


def find_clips(noise_dir: Path, clip_set: str, sample_rate: int) -> list[tuple[str, Path]]:
    """Lists `(name, path)` of all clips of a data set that serves as noise, sorted by name, whatever their split.

    Args:
      noise_dir: the folder that holds `VocalSound/`, `CochlScene/` or `ESC-50/`, or one of these itself.
      clip_set: "vocal_sound", "cochl_scene" or "esc50".
      sample_rate: wanted rate in Hz; above 16,000 the 44.1 kHz release of VocalSound comes first.

    Raises:
      ValueError: there are none.
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
        raise ValueError(f"--noise_dir={noise_dir}: no clips of {clip_set} for CLP, expected {expected}")
    return found


def _named(folders: Iterable[Path], parts: int) -> list[tuple[str, Path]]:
    """Wav files in folders (parts 1) or in their folders (parts 3), named by the last `parts` of their paths."""
    pattern = "*.wav" if parts == 1 else "*/*.wav"
    paths = [path for folder in folders for path in folder.glob(pattern) if not path.name.startswith(".")]
    return sorted(("/".join(path.parts[-parts:]), path) for path in paths)
