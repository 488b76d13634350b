"""From what was decoded to the windows that a network is asked about, by the rules of `data.recordings`."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from dhauds_jax.data.audio import Decoded, done_to
from dhauds_jax.data.mixdown import SILENT
from dhauds_jax.data.notices import CANCELLING, LOUD
from dhauds_jax.data.resampling import resample_on_host
from dhauds_jax.data.windows import spans
from dhauds_jax.dsp.clip_layout import cut

CLIPPED = 0.999
"""Samples from here on are at full scale: 1 less 33 steps of 16 bit."""

CLIPPED_SHARE = 1e-3
"""A recording is clipped if a larger share of its samples is at full scale; of a sine at full scale 3 % are."""


class Wanted(NamedTuple):
    """What a network takes, and how much of it.

    Attributes:
      sample_rate: Hz.
      length: samples of a window.
      layout: what becomes of a recording that is shorter, see `dsp.clip_layout.lay_out`.
      resampler: how rates are changed, see `data.resampling`.
      longest: seconds that a recording may last.
      overlap: share of a window that the next one repeats.
    """

    sample_rate: int
    length: int
    layout: str = "centre"
    resampler: str = "sinc"
    longest: float = 60.0
    overlap: float = 0.0


class Heard(NamedTuple):
    """A recording as a network is asked about it.

    Attributes:
      windows: (windows, length).
      spans: (windows, 2), seconds at which a window's sound starts and ends.
      wave: (time,), at the network's rate.
      seconds: its length.
      notices: what had to be done to it or is wrong with it: a word for programs, and a sentence.
    """

    windows: Float[np.ndarray, "windows length"]
    spans: Float[np.ndarray, "windows 2"]
    wave: Float[np.ndarray, " time"]
    seconds: float
    notices: tuple[tuple[str, str], ...]


def heard(sound: Decoded, wanted: Wanted) -> Heard:
    """Brings a recording to the network's rate and cuts it; nothing is compiled, whatever its rate and length are.

    Args:
      sound: the recording.
      wanted: what the network takes.
    """
    wave = resample_on_host(sound.wave, sound.sample_rate, wanted.sample_rate, wanted.resampler)
    wave = np.ascontiguousarray(wave, np.float32)
    windows = np.stack(list(cut([wave], wanted.length, wanted.overlap, wanted.layout)))
    where = spans(len(wave), wanted.length, wanted.overlap, wanted.sample_rate)
    return Heard(windows, where, wave, len(wave) / wanted.sample_rate, _notices(sound, wave, wanted))


def held_bytes(sound: Decoded, wanted: Wanted) -> int:
    """Bytes of the windows and the wave that `heard` makes of a recording, known before they are made."""
    samples = -(-len(sound.wave) * wanted.sample_rate // sound.sample_rate)
    last, windows = samples - wanted.length, 1
    if last > 0:
        hop = max(1, round(wanted.length * (1 - wanted.overlap)))
        windows = last // hop + 1 + bool(last % hop)
    return 4 * (samples + windows * wanted.length)


def _notices(sound: Decoded, wave: np.ndarray, wanted: Wanted) -> tuple[tuple[str, str], ...]:
    done = done_to(sound.sample_rate, sound.channels, sound.peak, sound.cancels, wanted.sample_rate)
    found = [_coded(sentence) for sentence in done]
    if len(wave) < wanted.length:
        how = "repeated and padded with silence" if wanted.layout == "repeat_pad" else "padded with silence"
        seconds, window = len(wave) / wanted.sample_rate, wanted.length / wanted.sample_rate
        found.append(("padded", f"{seconds:.3g} s is less than the network's {window:.3g} s: {how}"))
    if wave.max() - wave.min() < SILENT:
        found.append(("silent", "silent: a label of silence says nothing"))
    elif (np.abs(sound.wave) >= CLIPPED).mean() > CLIPPED_SHARE:
        found.append(("clipped", "clipped: samples lie at full scale (1), record at a lower level"))
    return tuple(found)


def _coded(sentence: str) -> tuple[str, str]:
    """A sentence of `done_to` with its word, and with what a client can do."""
    if sentence == LOUD:
        value = getattr(sentence, "value", 0.0)
        return "loud", f"{sentence}, taken as they are (the largest: {value:.4g}); divide by it if that is not meant"
    if sentence == CANCELLING:
        return "cancelling", f"{sentence}; send one channel if that is not meant"
    return ("mixed_down" if "mixed down" in sentence else "resampled"), str(sentence)
