"""Corruptions that mix in recordings: ENQ, END1, END2, ENSC from grids, and the shifts SCN and CLP.

A shift's level is `<noise>@<SNR>dB`: `running_tap@10dB` (SCN, one SpeechCommands background noise), `vocal_sound@3dB`
(CLP, a random clip of a data set, repeated where it is shorter).

Source: DHAuDS, lib/corruption.py and lib/constants.py; the shifts DHAuDS at 382c301 (then called NTTA) and TTA-in-AC,
arXiv 2507.15523.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any, NamedTuple

from jaxtyping import Array, Float

from dhauds_jax.data.corruptions import noise_folders
from dhauds_jax.data.corruptions.base import (
    RANDOM_PAD,
    Corruption,
    Draw,
    NoiseSource,
    Numbers,
    StandIns,
    crop_choice,
    number,
    pad_choice,
    pick,
)
from dhauds_jax.data.sets.speech_commands_noise import CLASSES as KINDS
from dhauds_jax.dsp.mixing import add_noise
from dhauds_jax.errors import BadInput

NOISE_CORRUPTIONS = ("ENQ", "END1", "END2", "ENSC")
SNR_DB = {"L1": (5.0, 5.5, 6.0), "L2": (5.0, 5.5, 6.0, 6.5, 7.0)}
"""Signal-to-noise ratios in dB that are drawn; L2 is not lower, it has a wider range and more noises."""
CLIP_SETS = ("cochl_scene", "esc50", "vocal_sound")
"""Data sets whose clips serve as noise; NTTA used CochlScene and VocalSound, ESC-50 is there to tune on."""

_QUT = {"L1": ("HOME", "REVERB", "STREET"), "L2": ("CAFE", "CAR", "HOME", "REVERB", "STREET")}
_DEMAND_1 = {
    "L1": ("NFIELD", "OOFFICE", "PRESTO", "TCAR"),
    "L2": ("DKITCHEN", "NFIELD", "OOFFICE", "PRESTO", "STRAFFIC", "TCAR"),
}
_DEMAND_2 = {
    "L1": ("DLIVING", "OHALLWAY", "SPSQUARE", "TMETRO"),
    "L2": ("DLIVING", "NRIVER", "OHALLWAY", "PSTATION", "SPSQUARE", "TMETRO"),
}
_BACKGROUND = {"L1": ("exercise_bike", "pink_noise", "running_tap", "white_noise"), "L2": KINDS}
_STAND_INS = {
    **{kind: (noise,) for kind, noise in zip(KINDS, ("clicks", "babble", "hum", "pink", "white", "white"))},
    "cochl_scene": ("babble", "clicks", "hum", "pink"),
    "esc50": ("pink", "hum", "clicks"),
    "vocal_sound": ("babble",) * 4,
}

EXAMPLES = {"SCN": "running_tap@10dB", "CLP": "vocal_sound@3dB"}


class Mixed(NamedTuple):
    """What a shift's level says.

    Attributes:
      noise: the kind of background noise (SCN) or the data set (CLP).
      snr_db: signal-to-noise ratio in dB.
      random_pad: whether a shorter clip is put at a random place.
    """

    noise: str
    snr_db: float
    random_pad: bool


def parse(code: str, known: tuple[str, ...], level: str) -> Mixed:
    """Reads the level of a shift.

    Args:
      code: SCN or CLP.
      known: the noises that there are.
      level: `<noise>@<SNR>dB`, `RANDOM_PAD` after it or not.

    Raises:
      BadInput: a level that is not spelled as it must be.
    """
    text = level.removesuffix(RANDOM_PAD)
    noise, at, ratio = text.partition("@")
    snr_db = number(ratio.removesuffix("dB"))
    if noise not in known or not at or not ratio.endswith("dB") or snr_db is None:
        raise BadInput(
            f"unknown level {level!r} of {code}, expected one of {', '.join(known)}, then @ and the signal-to-noise "
            f"ratio in its shortest spelling, as in {EXAMPLES[code]}, or that with {RANDOM_PAD} after it"
        )
    return Mixed(noise, snr_db, text != level)


def mix(wave: Float[Array, " time"], draw: Draw, noise: Float[Array, " time"], **_: Any) -> Float[Array, " time"]:
    """Adds the crop at the drawn ratio."""
    return add_noise(wave, noise, draw.snr_db)


def from_grid(
    find: Callable,
    expected: str,
    kinds: Mapping[str, tuple[str, ...]] | None = None,
    seed: int = 0,
    **about: Any,
) -> Corruption:
    """A corruption that draws ratio, recording and crop, all uniformly.

    Args:
      find: of its `NoiseSource`.
      expected: likewise.
      kinds: of its stand-ins, by level; None: it has none.
      seed: of its first stand-in.
      **about: what else its `NoiseSource` says.
    """

    def choose(
        xp: ModuleType, bits: Numbers, level: str, *, noise_lengths: Numbers, length: int, **_: Any
    ) -> dict[str, Numbers]:
        ratio = pick(xp, bits[..., 1], SNR_DB[level])
        return {"snr_db": ratio, **crop_choice(xp, bits, noise_lengths, length)}

    def describe(draw: Draw, level: str) -> dict[str, Any]:
        return {"snr_db": float(draw.snr_db)}

    stand_ins = None if kinds is None else lambda level: StandIns(kinds[level], seed)
    source = NoiseSource(expected, find, stand_ins, **about)
    return Corruption(choose, mix, levels=tuple(SNR_DB), describe=describe, noise=source)


def _at_ratio(
    code: str, known: tuple[str, ...], find: Callable, expected: str, seed: int, *, clips: bool = False
) -> Corruption:
    """A shift that draws recording and crop, at the ratio that its level says.

    Args:
      code: SCN or CLP.
      known: its noises.
      find: `(noise_dir, noise, sample_rate) -> [(name, path)]`.
      expected: of its `NoiseSource`.
      seed: of the first stand-in of the first noise of all.
      clips: whether it draws from whole data sets: streamed, short stand-ins.
    """

    def read(level: str) -> Mixed:
        return parse(code, known, level)

    def choose(
        xp: ModuleType, bits: Numbers, level: str, *, noise_lengths: Numbers, length: int, **_: Any
    ) -> dict[str, Numbers]:
        ratio = xp.full(bits.shape[:-1], read(level).snr_db, xp.float32)
        return {"snr_db": ratio, **crop_choice(xp, bits, noise_lengths, length), **pad_choice(xp, bits, level)}

    def describe(draw: Draw, level: str) -> dict[str, Any]:
        return {"snr_db": read(level).snr_db}

    def stand_ins(level: str) -> StandIns:
        noise = read(level).noise
        place = (*KINDS, *CLIP_SETS).index(noise)
        return StandIns(_STAND_INS[noise], seed + 10 * place, 0.25 if clips else 1.0)

    source = NoiseSource(
        expected, lambda folder, level, rate: find(folder, read(level).noise, rate), stand_ins, streamed=clips
    )
    return Corruption(choose, mix, check_level=read, example=EXAMPLES[code], describe=describe, noise=source)


ENQ = from_grid(
    lambda folder, level, rate: noise_folders.qut(folder, "ENQ", _QUT[level]),
    noise_folders.QUT,
    {"L1": ("babble", "pink", "hum"), "L2": ("babble", "pink", "hum", "babble", "clicks")},
    seed=0,
)
END1 = from_grid(
    lambda folder, level, rate: noise_folders.demand(folder, "END1", _DEMAND_1[level], rate),
    noise_folders.DEMAND,
    {"L1": ("babble", "clicks", "hum", "pink"), "L2": ("babble", "clicks", "hum", "pink", "white", "babble")},
    seed=100,
)
END2 = from_grid(
    lambda folder, level, rate: noise_folders.demand(folder, "END2", _DEMAND_2[level], rate),
    noise_folders.DEMAND,
    {"L1": ("babble", "babble", "hum", "pink"), "L2": ("babble", "babble", "hum", "pink", "clicks", "white")},
    seed=200,
)
ENSC = from_grid(
    lambda folder, level, rate: noise_folders.background(folder, "ENSC", _BACKGROUND[level]),
    noise_folders.BACKGROUND,
    {"L1": ("hum", "pink", "clicks", "white"), "L2": ("hum", "pink", "clicks", "white", "babble", "clicks")},
    seed=300,
)
SCN = _at_ratio(
    "SCN",
    KINDS,
    lambda folder, kind, rate: noise_folders.background(folder, "SCN", (kind,)),
    noise_folders.BACKGROUND,
    seed=400,
)
CLP = _at_ratio("CLP", CLIP_SETS, noise_folders.clips, noise_folders.CLIPS, seed=500, clips=True)
