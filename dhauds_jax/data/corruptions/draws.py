"""Random choices of the corruptions, as data: one `Draw` a clip, keyed by names alone."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, Key

from dhauds_jax.data.corruptions.base import NEUTRAL, Draw, Numbers, Quirks, each, neutral, quirks_of
from dhauds_jax.data.corruptions.lookup import check_cell, get, needs_noise, public
from dhauds_jax.data.sets.base import drawn_as

IMPL = "threefry2x32"
"""Generator of the keys: fixed, so that a user's default one does not change the draws."""
_CHUNK = 1024  # clips in one compiled program, so that sets of all sizes share it
_SAMPLES = 0x5A5A5A5A  # names the stream of the noise samples, apart from the bits of the choices


def clip_keys(seed: int, dataset: str, corruption: str, level: str, ids: Sequence[str]) -> Array:
    """Keys (clips,): the first 64 bits of SHA-256 of "seed / data set / corruption / level / clip id".

    Nothing else enters, so batches, order, workers, devices and profiles do not change a clip's key. Variants of a data
    set ("name/variant") share their keys: only what stands before the "/" counts. A clip of joined sets has the key
    that it has in its own. A level of an axis of severity shares its key with all others (`Corruption.key_level`).
    """
    key_level = check_cell(corruption, level).key_level
    level = level if key_level is None else key_level(level)
    words = np.zeros((len(ids), 2), np.uint32)
    for row, clip_id in enumerate(ids):
        name, own = drawn_as(dataset, clip_id)
        text = json.dumps([int(seed), name, public(corruption), level, own])
        words[row] = np.frombuffer(hashlib.sha256(text.encode()).digest()[:8], ">u4")
    return jax.random.wrap_key_data(jnp.asarray(words), impl=IMPL)


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
    stretch_both_ways: bool | None = False,
) -> Draw:
    """Draws one clip's corruption; pure, `vmap` it over keys.

    Every grid is drawn uniformly, both ends included; a shift's numbers are what its level says.

    Args:
      key: from `clip_key`.
      corruption: its name (or a shift's, or a user's own).
      level: its level's.
      profile: "reference", "corrected" or a `Quirks` record.
      noise_lengths: samples of each recording of the bank, only where recordings are mixed in.
      length: samples of the clip, only where recordings are mixed in.
      stretch_both_ways: TST may also be slower (rate 1-r, with probability 1/2).

    Raises:
      BadInput: an unknown name. ValueError: recordings are mixed in, and there is no bank.

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
    both_ways: bool | None,
) -> Draw:
    """Turns (..., 4) random bits into choices, with jax.numpy (`draw`) or on the host with numpy (`draw_set`)."""
    found = check_cell(corruption, level)
    if found.noise is not None and (noise_lengths is None or length is None):
        raise ValueError(f"{corruption} needs a noise bank and the clips' length, found none")
    facts = dict(quirks=quirks, noise_lengths=noise_lengths, length=length, both_ways=both_ways)
    chosen = found.choose(xp, bits, level, **facts)
    none = neutral(xp, bits.shape[:-1], key)
    drawn = none._replace(**{name: values for name, values in chosen.items() if name in NEUTRAL})
    others = {name: values for name, values in chosen.items() if name not in NEUTRAL}
    return drawn._replace(choices=others) if others else drawn


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
    stretch_both_ways: bool | None = False,
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


def records(
    ids: Sequence[str], draws: Draw, *, corruption: str, level: str, noise_names: Sequence[str] = ()
) -> list[dict[str, Any]]:
    """One JSON-able object a clip for a manifest: id, corruption, level and what was drawn.

    Args:
      ids: clip ids.
      draws: as `draw_set` gives them.
      corruption: its name.
      level: its level's.
      noise_names: names of the bank's recordings (their index is written besides).
    """
    found, out = get(corruption), []
    key_data = np.asarray(jax.random.key_data(draws.key))
    for clip_id, drawn, key in zip(ids, each(draws), key_data, strict=True):
        record: dict[str, Any] = {"id": clip_id, "corruption": public(corruption), "level": level}
        if found.describe is not None:
            record |= found.describe(drawn, level)
        if found.noise is not None:
            index = int(drawn.noise_index)
            record |= {"noise_index": index, "start": int(drawn.start)}
            if noise_names:
                record["noise"] = noise_names[index]
        if drawn.choices:
            record["choices"] = {name: values.tolist() for name, values in sorted(drawn.choices.items())}
        if drawn.pad >= 0:
            record["pad"] = float(drawn.pad)
        record["key"] = f"{int(key[0]):08x}{int(key[1]):08x}"
        out.append(record)
    return out


def checksum(ids: Sequence[str], draws: Draw, *, corruption: str, level: str) -> str:
    """SHA-256 (hex) over a set's draws, sorted by clip id: equal everywhere, whatever the order of the set."""
    lines = sorted(json.dumps(r, sort_keys=True) for r in records(ids, draws, corruption=corruption, level=level))
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
