"""Carrying corruptions out: of one clip (`apply`) and of a whole set (`corrupt`)."""

from __future__ import annotations

import collections
import functools
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from dhauds_jax.data import sets
from dhauds_jax.data.corruptions.base import NEUTRAL, Corruption, Draw, Quirks, each, quirks_of
from dhauds_jax.data.corruptions.draws import draw_set
from dhauds_jax.data.corruptions.lookup import get, needs_noise
from dhauds_jax.data.corruptions.mixtures import part_of
from dhauds_jax.data.corruptions.noise import NoiseBank, crop, crop_once
from dhauds_jax.data.layout import lay_out, raw_clip
from dhauds_jax.data.sets.base import draw_name
from dhauds_jax.errors import BadInput
from dhauds_jax.processors import available_cores
from dhauds_jax.progress import progress_bar

CHUNK = 16
"""Clips in one compiled batch. Fixed, and short batches are filled up, so that the size, the order and the grouping of
a set change no bit of a clip."""
Static = int | float | tuple | None
"""What is drawn for a clip and shapes depend on, see `Corruption.static`."""
_AHEAD = 2
"""Chunks in the making at once: the next one is begun before the last one is fetched, so that no core waits."""


def apply(
    wave: Float[Array, " time"],
    draw: Draw,
    noise: Float[Array, " time"] | None = None,
    *,
    corruption: str,
    profile: str | Quirks = "reference",
    sample_rate: int,
    step: Static = None,
) -> Float[Array, " new_time"]:
    """Carries out one clip's draw; deterministic, `vmap` it over (wave, draw, noise).

    A silent clip stays silent (but not with UNI, whose noise has a size of its own) and silent noise adds nothing. TST
    changes the length: lay the result out again.

    Args:
      wave: (time,) samples.
      draw: scalars, as `draw` gives them.
      noise: (time,) the crop that `draw` names, where recordings are mixed in, else None.
      corruption: its name.
      profile: "reference", "corrected" or a `Quirks` record.
      sample_rate: Hz.
      step: what is drawn and shapes depend on (`Corruption.static`: semitones of PSH, the rate of TST) as a Python
        number; needed under `jit` and `vmap`, otherwise read from the draw.

    Raises:
      BadInput: unknown names. ValueError: noise is missing.

    Source: DHAuDS, lib/corruption.py.
    """
    found, quirks = get(corruption), quirks_of(profile)
    if found.noise is not None and noise is None:
        raise ValueError(f"{corruption} needs noise of the clip's length ({wave.shape[-1]} samples), found none")
    if step is None and found.static is not None:
        step = found.static(draw)
    return found.apply(wave, draw, noise, quirks=quirks, sample_rate=sample_rate, step=step)


def corrupt(
    waves: Float[np.ndarray, "clips width"],
    ids: Sequence[str],
    *,
    dataset: str | sets.DataSet,
    corruption: str,
    level: str,
    seed: int,
    profile: str | Quirks = "reference",
    bank: NoiseBank | None = None,
    sample_rate: int,
    length: int,
    lengths: np.ndarray | None = None,
    layout: str = "centre",
    progress: bool = False,
    draws: Draw | None = None,
) -> tuple[Float[np.ndarray, "clips {length}"], Draw]:
    """Corrupts a whole set in the order of its data set's operations.

    All but TST (`Corruption.whole_set`): lay out to `length` (centre pad, or a random one where the level says so; head
    cut), then corrupt. TST: stretch the clip as recorded, then lay out. With the layout "repeat_pad" every corruption
    is one of the clip as recorded, which is then repeated (see `_repeated`). A clip's samples depend on (seed, data
    set's name without its variant, corruption, level, id) and its own wave alone.

    Args:
      waves: clips centred in rows of any width.
      ids: (clips,) names; the draws are keyed by them.
      dataset: name or record; its name keys the draws and its order says which way TST may go.
      corruption: its name (or a shift's).
      level: its level's.
      seed: of the draws.
      profile: "reference", "corrected" or a `Quirks` record.
      bank: recordings of corruptions that mix some in, at `sample_rate`.
      sample_rate: Hz.
      length: samples of the result.
      lengths: (clips,) samples of each clip without its padding (None: whole rows).
      layout: what becomes of clips shorter than `length`, see `lay_out`.
      progress: show a progress bar.
      draws: what is carried out, where it is not to be drawn anew (`replay.replayed`).

    Returns:
      waves float32 (clips, length); draws, as `draw_set` gives them.

    Raises:
      BadInput: unknown names, two clips of one id, no bank where recordings are mixed in. ValueError: as many ids as
        clips were expected, or a bank at this rate.
    """
    dataset = sets.get(dataset) if isinstance(dataset, str) else dataset
    found = _check(waves, ids, corruption, bank, sample_rate)
    bank = bank if found.noise is not None else None
    draws = draws or draw_clips(
        ids,
        bank,
        dataset=draw_name(dataset),
        corruption=corruption,
        level=level,
        seed=seed,
        profile=profile,
        length=length,
        stretch_both_ways=dataset.order.stretch_both_ways,
    )
    lengths = np.full(len(ids), waves.shape[1]) if lengths is None else np.asarray(lengths)
    quirks = quirks_of(profile)
    if found.whole_set is not None:
        results = found.whole_set(waves, lengths, draws, level=level, length=length, quirks=quirks)
    else:
        results = _applied(waves, lengths, draws, bank, length, corruption, quirks, sample_rate, layout)
    out = np.zeros((len(ids), length), np.float32)
    with progress_bar(total=len(ids), desc=f"{corruption}-{level}", unit="clip", disable=not progress) as bar:
        for rows, result, samples in _ahead(results, _AHEAD):
            for i, wave, own in zip(rows, np.asarray(result), samples):
                out[i] = lay_out(wave[:own], length, layout=layout)
            bar.update(len(rows))
    return out, draws


def draw_clips(ids: Sequence[str], bank: NoiseBank | None = None, **options: Any) -> Draw:
    """`draw_set` with a bank: of recordings on disk it looks only at those that are drawn.

    Args:
      ids: clip ids.
      bank: recordings of corruptions that mix some in.
      options: of `draw_set`, all but `noise_lengths`.
    """
    if bank is None or not needs_noise(options["corruption"]):
        return draw_set(ids, **options)
    # Which recording is drawn does not depend on their lengths, only where in it the crop starts.
    drawn = draw_set(ids, noise_lengths=np.ones(len(bank.names), np.int32), **options)
    return draw_set(ids, noise_lengths=bank.lengths_of(drawn.noise_index), **options)


def _ahead(results: Iterable, count: int) -> Iterator:
    """The same results, each handed on when `count` later ones have been asked for."""
    waiting = collections.deque()
    for result in results:
        waiting.append(result)
        if len(waiting) > count:
            yield waiting.popleft()
    yield from waiting


def _applied(
    waves: np.ndarray,
    lengths: np.ndarray,
    draws: Draw,
    bank: NoiseBank | None,
    length: int,
    corruption: str,
    quirks: Quirks,
    sample_rate: int,
    layout: str,
) -> Iterator[tuple[np.ndarray, Array, np.ndarray]]:
    """Corrupts laid-out clips: `(rows, result, samples that are the clip's)` of up to CHUNK clips at a time."""
    for rows, step in _chunks(_static_values(corruption, draws)):
        filled = np.resize(rows, CHUNK)
        clips = [raw_clip(waves[i], int(lengths[i])) for i in filled]
        repeated, crops = layout == "repeat_pad", None
        if repeated:
            batch = np.stack([_repeated(clip, length, bank is None) for clip in clips])
        else:
            batch = np.stack([lay_out(clip, length, float(draws.pad[i])) for i, clip in zip(filled, clips)])
        if bank is not None:
            # Recordings on disk are read once for each clip, so those that only fill the chunk up are not read again.
            cut = crop if get(corruption).noise.repeated else crop_once
            taken = [cut(bank.waves[int(draws.noise_index[i])], int(draws.start[i]), length) for i in rows]
            if repeated:
                taken = [_repeated(noise[: len(clip)], length, False) for noise, clip in zip(taken, clips)]
            crops = np.resize(np.stack(taken), (CHUNK, length))
        result = _carried_out(batch, _take(draws, filled), crops, corruption, quirks, sample_rate, step)
        own = np.minimum(lengths[rows], length) if repeated else np.full(len(rows), result.shape[1])
        yield rows, result, own


def _repeated(clip: np.ndarray, length: int, fill: bool) -> np.ndarray:
    """A clip at the head of a row of which only its own samples are kept, to be repeated when they are corrupted.

    With zeros behind, noise that is given so too has the ratio asked for over the clip's own samples, exactly. Where a
    corruption makes its own noise over the whole row (`fill`), the row is filled with the clip, so that the row's mean
    power and with it the ratio is about the clip's.
    """
    clip = clip[:length]
    return np.resize(clip, length) if fill else np.pad(clip, (0, length - len(clip)))


def _carried_out(batch, draws: Draw, crops, corruption: str, quirks: Quirks, sample_rate: int, step: Any) -> Any:
    """A chunk through a corruption: by its compiled program, clip by clip on the host, or part by part of a mixture."""
    found = get(corruption)
    for place, part in enumerate(found.parts):
        mixed_in = crops if needs_noise(part) else None
        own = step[place] if step is not None else None
        batch = _carried_out(batch, part_of(draws, found.parts, place), mixed_in, part, quirks, sample_rate, own)
    if found.parts:
        return batch
    if not found.host:
        return _apply_chunk(batch, draws, crops, corruption, quirks, sample_rate, step)
    clips, drawn = np.asarray(batch), list(each(draws))
    with ThreadPoolExecutor(available_cores()) as pool:
        one = functools.partial(found.apply, noise=None, quirks=quirks, sample_rate=sample_rate, step=None)
        return np.stack(list(pool.map(one, clips, drawn)))


@functools.partial(jax.jit, static_argnums=(3, 4, 5, 6))
def _apply_chunk(waves, draws, crops, corruption, quirks, sample_rate, step):
    one = functools.partial(apply, corruption=corruption, profile=quirks, sample_rate=sample_rate, step=step)
    return jax.vmap(one)(waves, draws, crops)


def _take(draws: Draw, rows: np.ndarray) -> Draw:
    fields = {name: jnp.asarray(getattr(draws, name)[rows]) for name in NEUTRAL}
    choices = {name: jnp.asarray(values[rows]) for name, values in draws.choices.items()}
    return Draw(**fields, key=draws.key[rows], choices=choices)


def _static_values(corruption: str, draws: Draw) -> list[Static]:
    """What is drawn for each clip and shapes depend on."""
    static = get(corruption).static
    return [static(one) for one in each(draws)] if static is not None else [None] * len(draws.pad)


def _chunks(values: Sequence[Static]) -> Iterator[tuple[np.ndarray, Static]]:
    """Rows of up to CHUNK clips that share a compiled program: `(rows, the value that they share)`."""
    groups: dict[Static, list[int]] = {}
    for row, value in enumerate(values):
        groups.setdefault(value, []).append(row)
    for value, rows in groups.items():
        for first in range(0, len(rows), CHUNK):
            yield np.array(rows[first : first + CHUNK]), value


def _check(
    waves: np.ndarray, ids: Sequence[str], corruption: str, bank: NoiseBank | None, sample_rate: int
) -> Corruption:
    found = get(corruption)
    if len(waves) != len(ids):
        raise ValueError(f"corrupt: {len(waves)} clips and {len(ids)} ids, expected as many")
    if len(set(ids)) != len(ids):
        raise BadInput("corrupt: two clips share an id, expected each to have its own")
    if found.noise is None:
        return found
    if bank is None:
        raise BadInput(f"{corruption} needs a noise bank, found none (see --noise_dir)")
    if bank.sample_rate != sample_rate:
        raise ValueError(f"{corruption}: the noise bank is at {bank.sample_rate} Hz, expected {sample_rate} Hz")
    return found
