"""Random choices of the corruptions, as data: one `Draw` a clip, keyed by names alone."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from types import ModuleType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, Key

from dhauds_jax.data.levels import SEMITONES, SNR_DB, Quirks, quirks_of, rate_offsets
from dhauds_jax.data.shifts import SHIFTS, check_cell, needs_noise, parse

_IMPL = "threefry2x32"  # fixed, so that a user's default generator does not change the draws
_CHUNK = 1024  # clips in one compiled program, so that sets of all sizes share it
_SAMPLES = 0x5A5A5A5A  # names the stream of the noise samples, apart from the bits of the choices
Numbers = Array | np.ndarray
SOURCES = ("gaussian", "uniform")
"""Kinds of white noise, in the order of `Draw.kind`."""


class Draw(NamedTuple):
    """All random choices of one clip's corruption; what a corruption does not draw stays at its neutral value.

    Attributes:
      kind: WHN only, index into `SOURCES`.
      noise_index: index into the noise bank, -1 without one.
      start: first sample of the crop, -1 without one.
      snr_db: signal-to-noise ratio in dB, 0 without noise.
      semitones: pitch shift, 0 for none.
      rate: time-stretch rate, 1 for none; above 1 is faster and shorter.
      scale: factor of the uniform samples (UNI), else 0.
      pad: share of a shorter clip's padding that lies before it (levels with a random pad), -1 for the centre.
      key: key of the noise samples (WHN, UNI) or of Griffin-Lim's start phase (TST).
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


_NEUTRAL = dict(kind=0, noise_index=-1, start=-1, snr_db=0.0, semitones=0, rate=1.0, scale=0.0, pad=-1.0)


def clip_keys(seed: int, dataset: str, corruption: str, level: str, ids: Sequence[str]) -> Array:
    """Keys (clips,): the first 64 bits of SHA-256 of "seed / data set / corruption / level / clip id".

    Nothing else enters, so batches, order, workers, devices and profiles do not change a clip's key. Variants of a data
    set ("name/variant") share their keys: only what stands before the "/" counts.
    """
    check_cell(corruption, level)
    dataset = dataset.partition("/")[0]
    words = np.zeros((len(ids), 2), np.uint32)
    for row, clip_id in enumerate(ids):
        text = json.dumps([int(seed), dataset, corruption, level, clip_id])
        words[row] = np.frombuffer(hashlib.sha256(text.encode()).digest()[:8], ">u4")
    return jax.random.wrap_key_data(jnp.asarray(words), impl=_IMPL)


def clip_key(seed: int, dataset: str, corruption: str, level: str, clip_id: str) -> Key[Array, ""]:
    """The key of one clip (see `clip_keys`)."""
    return clip_keys(seed, dataset, corruption, level, [clip_id])[0]


def draw(
    key: Key[Array, ""],
    corruption: str,
    level: str,
    *,
    profile: str | Quirks = "reference",
    noise_lengths: Int[Array | np.ndarray, " recordings"] | None = None,
    length: int | None = None,
    stretch_both_ways: bool = False,
) -> Draw:
    """Draws one clip's corruption; pure, `vmap` it over keys.

    Every grid is drawn uniformly, both ends included; a shift's numbers are what its level says. A crop starts anywhere
    in a recording where it fits (the last start included); in a recording shorter than the clip, which is then
    repeated, at any of its samples.

    Args:
      key: from `clip_key`.
      corruption, level: names (of shifts too, see `shifts`).
      profile: "reference", "corrected" or a `Quirks` record.
      noise_lengths: samples of each recording of the bank, only where recordings are mixed in.
      length: samples of the clip, only where recordings are mixed in.
      stretch_both_ways: TST may also be slower (rate 1-r, with probability 1/2).

    Raises:
      ValueError: unknown name, or a noise corruption without a bank.

    Source: DHAuDS, lib/corruption.py and lib/constants.py.
    """
    return _choose(jnp, *_bits(key), corruption, level, quirks_of(profile), noise_lengths, length, stretch_both_ways)


def _bits(key: Array) -> tuple[Array, Array]:
    """Four times 32 random bits and the key of the samples.

    One block of bits serves all choices, and one program all cells: the generator takes a second to compile.
    """
    return jax.random.bits(key, (4,), jnp.uint32), jax.random.fold_in(key, _SAMPLES)


def _choose(
    xp: ModuleType,
    bits: Numbers,
    key: Array,
    corruption: str,
    level: str,
    quirks: Quirks,
    noise_lengths: Numbers | None,
    length: int | None,
    both_ways: bool,
) -> Draw:
    """Turns (..., 4) random bits into choices, with jax.numpy (`draw`) or on the host with numpy (`draw_set`)."""
    check_cell(corruption, level)
    first, second, third, fourth = (bits[..., i] for i in range(4))
    neutral = {n: xp.full(first.shape, x, xp.int32 if isinstance(x, int) else xp.float32) for n, x in _NEUTRAL.items()}
    none = Draw(**neutral, key=key)
    if corruption in SHIFTS:
        shift = parse(corruption, level)
        pad = (fourth >> 8).astype(xp.float32) / xp.float32(1 << 24) if shift.random_pad else none.pad
        none = none._replace(scale=xp.full(first.shape, shift.scale, xp.float32), pad=pad)
        if not needs_noise(corruption):
            return none
    if corruption == "PSH":
        sign = 1 - 2 * _below(xp, second, 2)
        return none._replace(semitones=sign * _pick(xp, first, SEMITONES[level], xp.int32))
    if corruption == "TST":
        offsets = rate_offsets(level, quirks)
        faster = _pick(xp, first, [1 + r for r in offsets], xp.float32)
        if not both_ways:
            return none._replace(rate=faster)
        slower = _pick(xp, first, [1 - r for r in offsets], xp.float32)
        return none._replace(rate=xp.where(_below(xp, second, 2) == 1, slower, faster))
    grid = (shift.snr_db,) if corruption in SHIFTS else SNR_DB[corruption, level]
    snr_db = _pick(xp, second, grid, xp.float32)
    if corruption == "WHN":
        return none._replace(kind=_below(xp, first, 2), snr_db=snr_db)
    if noise_lengths is None or length is None:
        raise ValueError(f"{corruption} needs a noise bank and the clips' length, found none")
    index = _below(xp, first, len(noise_lengths))
    available = xp.asarray(noise_lengths, xp.int32)[index]
    starts = xp.where(available >= length, available - length + 1, available)
    return none._replace(noise_index=index, start=_below(xp, third, starts), snr_db=snr_db)


def _below(xp: ModuleType, bits: Numbers, count: int | Numbers) -> Numbers:
    """A whole number below `count` from 32 random bits (a value's probability is off by at most count / 2^32 of it)."""
    return (bits % xp.asarray(count).astype(xp.uint32)).astype(xp.int32)


def _pick(xp: ModuleType, bits: Numbers, grid: Sequence[float], dtype: Any) -> Numbers:
    return xp.asarray(grid, dtype)[_below(xp, bits, len(grid))]


def draw_set(
    ids: Sequence[str],
    *,
    dataset: str,
    corruption: str,
    level: str,
    seed: int,
    profile: str | Quirks = "reference",
    noise_lengths: np.ndarray | None = None,
    length: int | None = None,
    stretch_both_ways: bool = False,
) -> Draw:
    """Draws for all clips of a set; fields are NumPy arrays (clips,), the keys a key array. Arguments as `draw`."""
    keys = clip_keys(seed, dataset, corruption, level, ids)
    if needs_noise(corruption) and noise_lengths is None:
        raise ValueError(f"{corruption} needs a noise bank, found none")
    parts = []
    for first in range(0, len(ids), _CHUNK):
        rows = np.minimum(np.arange(first, first + _CHUNK), len(ids) - 1)
        parts.append(_bits_chunk(keys[rows]))
    bits, samples = (jnp.concatenate(part)[: len(ids)] for part in zip(*parts))
    quirks = quirks_of(profile)
    return _choose(np, np.asarray(bits), samples, corruption, level, quirks, noise_lengths, length, stretch_both_ways)


_bits_chunk = jax.jit(jax.vmap(_bits))


def nominal_rate(rate: Any) -> float:
    """The rate as the grid writes it (float32 holds 1.08 as 1.0800000429); shapes and groups depend on it."""
    return round(float(rate), 2)


def records(
    ids: Sequence[str], draws: Draw, *, corruption: str, level: str, noise_names: Sequence[str] = ()
) -> list[dict[str, Any]]:
    """One JSON-able object a clip for a manifest: id, corruption, level and what was drawn.

    Args:
      ids: clip ids.
      draws: as `draw_set` gives them.
      corruption, level: names.
      noise_names: names of the bank's recordings (their index is written besides).
    """
    out = []
    key_data = np.asarray(jax.random.key_data(draws.key))
    for row, clip_id in enumerate(ids):
        record: dict[str, Any] = {"id": clip_id, "corruption": corruption, "level": level}
        if corruption == "UNI":
            record["scale"] = parse(corruption, level).scale
        elif corruption == "PSH":
            record["semitones"] = int(draws.semitones[row])
        elif corruption == "TST":
            record["rate"] = nominal_rate(draws.rate[row])
        else:
            fixed = corruption in SHIFTS
            record["snr_db"] = parse(corruption, level).snr_db if fixed else float(draws.snr_db[row])
        if corruption == "WHN":
            record["source"] = SOURCES[int(draws.kind[row])]
        if needs_noise(corruption):
            index = int(draws.noise_index[row])
            record |= {"noise_index": index, "start": int(draws.start[row])}
            if noise_names:
                record["noise"] = noise_names[index]
        if draws.pad[row] >= 0:
            record["pad"] = float(draws.pad[row])
        record["key"] = f"{int(key_data[row, 0]):08x}{int(key_data[row, 1]):08x}"
        out.append(record)
    return out


def checksum(ids: Sequence[str], draws: Draw, *, corruption: str, level: str) -> str:
    """SHA-256 (hex) over a set's draws, sorted by clip id: equal everywhere, whatever the order of the set."""
    lines = sorted(json.dumps(r, sort_keys=True) for r in records(ids, draws, corruption=corruption, level=level))
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
