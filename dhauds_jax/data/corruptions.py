"""The seven corruptions: `draw` makes all random choices, `apply` carries them out, `corrupt` does a whole set."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from tqdm import tqdm

from dhauds_jax.data import sets
from dhauds_jax.data.draws import Draw, checksum, clip_key, clip_keys, draw, draw_set, nominal_rate, records
from dhauds_jax.data.layout import lay_out, raw_clip
from dhauds_jax.data.levels import (
    CORRECTED,
    CORRUPTIONS,
    LEVELS,
    NOISE_CORRUPTIONS,
    REFERENCE,
    Quirks,
    check_choice,
    quirks_of,
)
from dhauds_jax.data.noise import NoiseBank, crop
from dhauds_jax.data.sets.base import draw_name
from dhauds_jax.dsp.mixing import add_noise
from dhauds_jax.dsp.stretch import pitch_shift, time_stretch, time_stretch_frames

__all__ = [
    "CORRECTED", "CORRUPTIONS", "LEVELS", "NOISE_CORRUPTIONS", "REFERENCE", "Draw", "Quirks", "apply", "checksum",
    "clip_key", "clip_keys", "corrupt", "draw", "draw_set", "lay_out", "raw_clip", "records",
]  # fmt: skip

CHUNK = 16
"""Clips in one compiled batch. Fixed, and short batches are filled up, so that the size, the order and the grouping of
a set change no bit of a clip."""
N_FFT, HOP = 1024, 256
"""Short-time Fourier transform of the time stretch, in samples."""
SHORTEST_STRETCHED = N_FFT
"""A shorter clip (samples) is centred in as many zeros before it is stretched."""


def apply(
    wave: Float[Array, " time"],
    draw: Draw,
    noise: Float[Array, " time"] | None = None,
    *,
    corruption: str,
    profile: str | Quirks = "reference",
    sample_rate: int,
    step: float | None = None,
) -> Float[Array, " new_time"]:
    """Carries out one clip's draw; deterministic, `vmap` it over (wave, draw, noise).

    A silent clip stays silent and silent noise adds nothing. TST changes the length to `256 * (ceil((time // 256 + 1) /
    rate) - 1)`: lay the result out again. Its magnitude is interpolated between frames and Griffin-Lim finds a phase.

    Args:
      wave: (time,) samples.
      draw: scalars, as `draw` gives them.
      noise: (time,) the crop that `draw` names (noise corruptions), else None.
      corruption: its name.
      profile: "reference", "corrected" or a `Quirks` record.
      sample_rate: Hz.
      step: the drawn semitones (PSH) or rate (TST) as a Python number, because shapes depend on it; needed under
        `jit` and `vmap`, otherwise read from the draw.

    Raises:
      ValueError: unknown names, noise missing or of another length.

    Source: DHAuDS, lib/corruption.py.
    """
    check_choice("corruption", corruption, CORRUPTIONS)
    quirks = quirks_of(profile)
    if corruption == "PSH":
        return pitch_shift(wave, sample_rate, int(draw.semitones if step is None else step))
    if corruption == "TST":
        rate = nominal_rate(draw.rate if step is None else step)
        start = _start_phase(draw.key, wave.shape[-1], rate) if quirks.start_phase_in_square else None
        return time_stretch(wave, rate, power=quirks.griffin_lim_power, start=start, n_fft=N_FFT, hop=HOP)
    if corruption == "WHN":
        noise = _white_noise(draw, wave.shape[-1], quirks)
    elif noise is None:
        raise ValueError(f"{corruption} needs noise of the clip's length ({wave.shape[-1]} samples), found none")
    return add_noise(wave, noise, draw.snr_db)


def _white_noise(draw: Draw, length: int, quirks: Quirks) -> Float[Array, " time"]:
    uniform = jax.random.uniform(draw.key, (length,))
    if not quirks.uniform_noise_off_centre:
        uniform = uniform - 0.5
    return jnp.where(draw.kind == 0, jax.random.normal(draw.key, (length,)), uniform)


def _start_phase(key: Array, length: int, rate: float) -> Array:
    """Griffin-Lim's start as the reference has it: complex (frames, bins), both parts of U[0, 1)."""
    real, imaginary = jax.random.uniform(key, (2, time_stretch_frames(length, rate, HOP), N_FFT // 2 + 1))
    return jax.lax.complex(real, imaginary)


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
    progress: bool = False,
) -> tuple[Float[np.ndarray, "clips {length}"], Draw]:
    """Corrupts a whole set in the order of its data set's operations.

    All but TST: lay out to `length` (centre pad, head cut), then corrupt. TST: stretch the clip as recorded, then lay
    out. A clip's samples depend on (seed, data set's name, corruption, level, id) and its own wave alone.

    Args:
      waves: clips centred in rows of any width.
      ids: (clips,) names; the draws are keyed by them.
      dataset: name or record; its name keys the draws and its order says which way TST may go.
      corruption, level: names.
      seed: of the draws.
      profile: "reference", "corrected" or a `Quirks` record.
      bank: recordings of the noise corruptions, at `sample_rate`.
      sample_rate: Hz.
      length: samples of the result.
      lengths: (clips,) samples of each clip without its padding (None: whole rows).
      progress: show a progress bar.

    Returns:
      waves float32 (clips, length); draws, as `draw_set` gives them.

    Raises:
      ValueError: unknown names, a noise corruption without a bank, a bank at another rate, ids that do not fit.
    """
    dataset = sets.get(dataset) if isinstance(dataset, str) else dataset
    _check(waves, ids, corruption, bank, sample_rate)
    noisy = corruption in NOISE_CORRUPTIONS
    draws = draw_set(
        ids,
        dataset=draw_name(dataset),
        corruption=corruption,
        level=level,
        seed=seed,
        profile=profile,
        noise_lengths=bank.lengths if noisy else None,
        length=length,
        stretch_both_ways=dataset.order.stretch_both_ways,
    )
    lengths = np.full(len(ids), waves.shape[1]) if lengths is None else np.asarray(lengths)
    out = np.zeros((len(ids), length), np.float32)
    with tqdm(total=len(ids), desc=f"{corruption}-{level}", unit="clip", disable=not progress) as bar:
        for rows, step, width in _chunks(corruption, draws, lengths, length):
            filled = np.resize(rows, CHUNK)
            batch = np.stack([lay_out(raw_clip(waves[i], int(lengths[i])), width) for i in filled])
            crops = None
            if noisy:
                crops = np.stack([crop(bank.waves[draws.noise_index[i]], int(draws.start[i]), length) for i in filled])
            result = _apply_chunk(batch, _take(draws, filled), crops, corruption, quirks_of(profile), sample_rate, step)
            for i, wave in zip(rows, np.asarray(result)):
                out[i] = lay_out(wave, length)
            bar.update(len(rows))
    return out, draws


@functools.partial(jax.jit, static_argnums=(3, 4, 5, 6))
def _apply_chunk(waves, draws, crops, corruption, quirks, sample_rate, step):
    one = functools.partial(apply, corruption=corruption, profile=quirks, sample_rate=sample_rate, step=step)
    return jax.vmap(one)(waves, draws, crops)


def _take(draws: Draw, rows: np.ndarray) -> Draw:
    return Draw(*(jnp.asarray(field[rows]) for field in draws[:-1]), key=draws.key[rows])


def _chunks(
    corruption: str, draws: Draw, lengths: np.ndarray, length: int
) -> Iterator[tuple[np.ndarray, float | None, int]]:
    """Rows of up to CHUNK clips that share a compiled program: `(rows, step, samples that go in)`."""
    groups: dict[tuple[float | None, int], list[int]] = {}
    for row in range(len(lengths)):
        if corruption == "TST":
            # The recording's own length decides the number of frames.
            key = (nominal_rate(draws.rate[row]), max(int(lengths[row]), SHORTEST_STRETCHED))
        else:
            key = (int(draws.semitones[row]) if corruption == "PSH" else None, length)
        groups.setdefault(key, []).append(row)
    for (step, width), rows in groups.items():
        for first in range(0, len(rows), CHUNK):
            yield np.array(rows[first : first + CHUNK]), step, width


def _check(waves: np.ndarray, ids: Sequence[str], corruption: str, bank: NoiseBank | None, sample_rate: int) -> None:
    check_choice("corruption", corruption, CORRUPTIONS)
    if len(waves) != len(ids):
        raise ValueError(f"corrupt: {len(waves)} clips and {len(ids)} ids, expected as many")
    if len(set(ids)) != len(ids):
        raise ValueError("corrupt: two clips share an id, expected each to have its own")
    if corruption not in NOISE_CORRUPTIONS:
        return
    if bank is None:
        raise ValueError(f"{corruption} needs a noise bank, found none (see --noise_dir)")
    if bank.sample_rate != sample_rate:
        raise ValueError(f"{corruption}: the noise bank is at {bank.sample_rate} Hz, expected {sample_rate} Hz")
