"""What a corruption is: its random choices as data, what they do to a clip, what a manifest says of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple, Protocol

import jax
import numpy as np
from jaxtyping import Array, Float, Int

from dhauds_jax.registry import check

Numbers = Array | np.ndarray
RANDOM_PAD = "+random_pad"
"""After a level: a clip that is shorter than its row lies at a random place in it instead of the centre."""


class Quirks(NamedTuple):
    """What the reference's corruptions do unlike what their names say; each is an option of its own.

    Attributes:
      top_rate_lost: the largest rate offset of each level is never drawn (a float division is truncated).
      uniform_noise_off_centre: half of the WHN clips, and all of the shift UNI, get noise of U[0, 1), an offset that
        carries 3/4 of its energy; off: U[-0.5, 0.5).
      griffin_lim_power: the power that Griffin-Lim believes the magnitude to have; 2 takes its square root and so
        halves every level in dB, 1 is right.
      start_phase_in_square: Griffin-Lim starts from random complex numbers with both parts of U[0, 1); off: zero phase.

    Source: DHAuDS, lib/corruption.py lines 178, 239, 245-250.
    """

    top_rate_lost: bool
    uniform_noise_off_centre: bool
    griffin_lim_power: float
    start_phase_in_square: bool


REFERENCE = Quirks(True, True, 2.0, True)
CORRECTED = Quirks(False, False, 1.0, False)
PROFILES = {"reference": REFERENCE, "corrected": CORRECTED}


def quirks_of(profile: str | Quirks) -> Quirks:
    """The quirks of a profile's name (or the record itself); raises `BadInput` with the names."""
    if isinstance(profile, Quirks):
        return profile
    check("profile", profile, PROFILES)
    return PROFILES[profile]


class Draw(NamedTuple):
    """All random choices of one clip's corruption; what a corruption does not draw stays at its neutral value.

    Attributes:
      kind: WHN only, index into `white_noise.SOURCES`.
      noise_index: index into the noise bank, -1 without one.
      start: first sample of the crop, -1 without one.
      snr_db: signal-to-noise ratio in dB, 0 without noise.
      semitones: pitch shift, 0 for none.
      rate: time-stretch rate, 1 for none; above 1 is faster and shorter.
      scale: factor of the uniform samples (UNI), else 0.
      pad: share of a shorter clip's padding that lies before it (levels with a random pad), -1 for the centre.
      key: key of the noise samples (WHN, UNI) or of Griffin-Lim's start phase (TST).
      choices: what other corruptions draw, by name, (clips, ...) each; never written to.
    """

    kind: Int[Array, "*clips"]
    noise_index: Int[Array, "*clips"]
    start: Int[Array, "*clips"]
    snr_db: Array
    semitones: Int[Array, "*clips"]
    rate: Array
    scale: Array
    pad: Array
    key: Array
    choices: Mapping[str, Numbers] = {}


NEUTRAL = dict(kind=0, noise_index=-1, start=-1, snr_db=0.0, semitones=0, rate=1.0, scale=0.0, pad=-1.0)
"""The fields that are numbers, each with its neutral value."""


def neutral(xp: ModuleType, shape: tuple[int, ...], key: Array | None) -> Draw:
    """Draws that do nothing, fields of that shape, as jax.numpy or numpy arrays."""
    fields = {n: xp.full(shape, x, xp.int32 if isinstance(x, int) else xp.float32) for n, x in NEUTRAL.items()}
    return Draw(**fields, key=key)


def each(draws: Draw) -> Iterator[Draw]:
    """The draws of a set one by one, as NumPy scalars and without their keys."""
    fields = [np.asarray(getattr(draws, name)) for name in NEUTRAL]
    choices = {name: np.asarray(values) for name, values in draws.choices.items()}
    for row in range(len(fields[0])):
        mine = {name: values[row] for name, values in choices.items()}
        yield Draw(*(field[row] for field in fields), key=None, choices=mine)


class Choose(Protocol):
    """Turns random bits into choices; with `xp` jax.numpy under `jit` and `vmap`, with numpy for whole sets at once."""

    def __call__(
        self,
        xp: ModuleType,
        bits: Numbers,
        level: str,
        *,
        quirks: Quirks,
        noise_lengths: Numbers | None,
        length: int | None,
        both_ways: bool | None,
    ) -> Mapping[str, Numbers]:
        """What is drawn, by name: fields of `Draw`, every other name goes into its `choices`.

        Args:
          xp: jax.numpy or numpy.
          bits: uint32 (..., 4), four independent words a clip (see `below`, `pick`, `share`).
          level: as `check_level` admits it.
          quirks: of the profile.
          noise_lengths: samples of each recording, only where recordings are mixed in.
          length: samples of the clip, only where recordings are mixed in.
          both_ways: whether the data set's clips may become slower too; None where joined sets differ.
        """


class Apply(Protocol):
    """Carries out one clip's draw, deterministic, under `jit` and `vmap`."""

    def __call__(
        self, wave: Array, draw: Draw, noise: Array | None, *, quirks: Quirks, sample_rate: int, step: Any
    ) -> Array:
        """The corrupted samples.

        Args:
          wave: (time,) samples.
          draw: scalars; `draw.key` is a key of the clip's own.
          noise: (time,) the crop drawn, where recordings are mixed in.
          quirks: of the profile.
          sample_rate: Hz.
          step: the value of `Corruption.static`, a Python number; None without one.
        """


class StandIns(NamedTuple):
    """Synthetic noises in place of recordings: kinds, the first one's seed, their length as a share of the usual one's.

    Kinds are those of `synthetic_noises`.
    """

    kinds: tuple[str, ...]
    seed: int
    seconds: float = 1.0


class NoiseSource(NamedTuple):
    """Where the recordings that a corruption mixes in come from.

    Attributes:
      expected: the folders and files, for the sentence that asks for them.
      find: `(noise_dir, level, sample_rate) -> [(name, path)]`, in the order that draws count in.
      stand_ins: `level -> StandIns`, for data sets that are made in memory; None: there are none.
      streamed: whether each is read when it is mixed in, for folders larger than memory.
      anywhere: whether they may lie elsewhere than below `--noise_dir`; `find` is then given None where there is none.
      notices: `noise_dir -> sentences` about what is not read there.
      repeated: whether a recording that ends before the clip is repeated; else silence comes behind it.
    """

    expected: str
    find: Callable[[Any, str, int], list[tuple[str, Path]]]
    stand_ins: Callable[[str], StandIns] | None = None
    streamed: bool = False
    anywhere: bool = False
    notices: Callable[[Any], tuple[str, ...]] = lambda noise_dir: ()
    repeated: bool = True


class Corruption(NamedTuple):
    """A corruption as pure functions and facts.

    Attributes:
      choose: see `Choose`.
      apply: see `Apply`.
      levels: the levels' names; empty where a level is a parameter.
      check_level: raises `BadInput` for a level that is not spelled as it must be; None: it is one of `levels`.
      example: a level, for sentences; where there are `levels`, not needed.
      describe: `(draw, level) -> entries` of a clip's line in a manifest, of one draw as NumPy scalars; what is in
        `Draw.choices` is written besides.
      noise: where its recordings come from; None: it mixes in none.
      static: `draw -> number` that shapes depend on, a Python number: clips that share it share a compiled program. Of
        a mixture a tuple of one for each part, None for one without.
      whole_set: how it runs over a set, where that is not "lay out, then apply in chunks": see
        `stretch.stretched`, which has its arguments and results.
      key_level: what stands for a level in the keys of its draws; None: the level itself.
      host: whether `apply` runs on the host, on one clip's NumPy samples, and so neither under `jit` nor `vmap`.
      parts: names of the corruptions that it is a mixture of, carried out one after the other (`mixtures`).
      made_with: the versions that its samples depend on beside this package's, by name.
    """

    choose: Choose
    apply: Apply
    levels: tuple[str, ...] = ()
    check_level: Callable[[str], Any] | None = None
    example: str = ""
    describe: Callable[[Draw, str], Mapping[str, Any]] | None = None
    noise: NoiseSource | None = None
    static: Callable[[Draw], int | float | tuple] | None = None
    whole_set: Callable[..., Iterator[tuple[np.ndarray, Array, np.ndarray]]] | None = None
    key_level: Callable[[str], str] | None = None
    host: bool = False
    parts: tuple[str, ...] = ()
    made_with: Callable[[], Mapping[str, str]] | None = None


def below(xp: ModuleType, bits: Numbers, count: int | Numbers) -> Numbers:
    """A whole number below `count` from 32 random bits (a value's probability is off by at most count / 2^32 of it)."""
    return (bits % xp.asarray(count).astype(xp.uint32)).astype(xp.int32)


def pick(xp: ModuleType, bits: Numbers, grid: Sequence[float], dtype: Any = np.float32) -> Numbers:
    """One of the grid's values, all equally probable, from 32 random bits."""
    return xp.asarray(grid, dtype)[below(xp, bits, len(grid))]


def share(xp: ModuleType, bits: Numbers) -> Numbers:
    """A number of U[0, 1), a multiple of 2^-24, from 32 random bits."""
    return (bits >> 8).astype(xp.float32) / xp.float32(1 << 24)


def number(text: str) -> float | None:
    """The finite number that is spelled like this and not otherwise; None for everything else.

    A level's text is part of the key of its draws, so every level has one spelling: 10dB, not 10.0dB.
    """
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and f"{value:g}" == text else None


def pad_choice(xp: ModuleType, bits: Numbers, level: str) -> dict[str, Numbers]:
    """The place of a shorter clip, from the fourth word, where a level ends in `RANDOM_PAD`; else nothing."""
    return {"pad": share(xp, bits[..., 3])} if level.endswith(RANDOM_PAD) else {}


def crop_choice(xp: ModuleType, bits: Numbers, noise_lengths: Numbers, length: int) -> dict[str, Numbers]:
    """A recording, from the first word, and where its crop starts, from the third.

    A crop starts anywhere in a recording where it fits (the last start included); in a recording shorter than the clip,
    which is then repeated, at any of its samples.
    """
    index = below(xp, bits[..., 0], len(noise_lengths))
    available = xp.asarray(noise_lengths, xp.int32)[index]
    starts = xp.where(available >= length, available - length + 1, available)
    return {"noise_index": index, "start": below(xp, bits[..., 2], starts)}


def uniform_noise(key: Array, length: int, quirks: Quirks) -> Float[Array, " time"]:
    """`length` samples of U[0, 1), or centred where the quirk is off."""
    uniform = jax.random.uniform(key, (length,))
    return uniform if quirks.uniform_noise_off_centre else uniform - 0.5
