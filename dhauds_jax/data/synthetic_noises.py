"""Noises of the embedded corpus: white, pink, hum, babble, clicks, made in memory from a seed."""

from __future__ import annotations

import numpy as np

from dhauds_jax.data import synthetic

KINDS = ("white", "pink", "hum", "babble", "clicks")
_TALKERS = 6


def make_noise(kind: str, *, seed: int, samples: int, sample_rate: int = synthetic.SAMPLE_RATE) -> np.ndarray:
    """Makes one noise recording, root mean square 0.05.

    Args:
      kind: one of `KINDS`.
      seed: of this recording; another seed gives another recording of the same kind.
      samples: length at `sample_rate`.
      sample_rate: Hz.

    Returns:
      float32 (samples,).

    Raises:
      ValueError: unknown kind.
    """
    makers = {"white": _white, "pink": _pink, "hum": _hum, "babble": _babble, "clicks": _clicks}
    if kind not in makers:
        raise ValueError(f"unknown synthetic noise {kind!r}, expected one of {', '.join(KINDS)}")
    rng = np.random.default_rng((seed, 100 + KINDS.index(kind)))
    wave = makers[kind](rng, samples, sample_rate)
    wave = wave - wave.mean()
    return (0.05 * wave / np.sqrt(np.mean(wave**2) + 1e-20)).astype(np.float32)


def _white(rng: np.random.Generator, samples: int, sample_rate: int) -> np.ndarray:
    return rng.standard_normal(samples)


def _pink(rng: np.random.Generator, samples: int, sample_rate: int) -> np.ndarray:
    """Power falls by 3 dB an octave down to 20 Hz."""
    spectrum = np.fft.rfft(rng.standard_normal(samples))
    frequency = np.fft.rfftfreq(samples, 1 / sample_rate)
    return np.fft.irfft(spectrum / np.sqrt(np.maximum(frequency, 20.0)), samples)


def _hum(rng: np.random.Generator, samples: int, sample_rate: int) -> np.ndarray:
    """Mains and its harmonics up to 4 kHz with slow beats, and a little air."""
    time = np.arange(samples) / sample_rate
    base = rng.uniform(48, 62) * (1 + 0.01 * np.sin(2 * np.pi * rng.uniform(0.1, 0.4) * time))
    phase = 2 * np.pi * np.cumsum(base) / sample_rate
    wave = np.zeros(samples)
    for k in range(1, 65):
        beat = 1 + 0.5 * np.sin(2 * np.pi * rng.uniform(0.2, 3) * time + rng.uniform(0, 6))
        wave += beat * rng.uniform(0.3, 1) / k**0.7 * np.sin(k * phase + rng.uniform(0, 2 * np.pi))
    return wave + 0.25 * wave.std() * rng.standard_normal(samples)


def _babble(rng: np.random.Generator, samples: int, sample_rate: int) -> np.ndarray:
    """Several talkers of the corpus's own synthesiser, none of whom is in a split."""
    from dhauds_jax.data.resampling import resample_wave

    needed = -(-samples * synthetic.SAMPLE_RATE // sample_rate)
    gap = synthetic.LENGTH // 2  # words follow each other every half second
    words = -(-needed // gap) + 1
    index = np.arange(words * _TALKERS)
    labels = rng.integers(0, len(synthetic.CLASSES), len(index))
    seed = int(rng.integers(0, 2**31))
    clips = synthetic.speak("babble", seed, index, index % _TALKERS, labels)
    clips /= np.sqrt(np.mean(clips**2, axis=1, keepdims=True))
    wave = np.zeros((words + 3) * gap)
    for i, clip in enumerate(clips):
        start = i // _TALKERS * gap + int(rng.integers(0, gap))
        part = wave[start : start + len(clip)]
        part += clip[: len(part)] * rng.uniform(0.4, 1)
    wave = wave[gap : gap + needed].astype(np.float32)
    return resample_wave(wave, synthetic.SAMPLE_RATE, sample_rate)[:samples].astype(np.float64)


def _clicks(rng: np.random.Generator, samples: int, sample_rate: int) -> np.ndarray:
    """Rattling: some forty short resonant knocks a second over a faint hiss."""
    wave = 0.02 * rng.standard_normal(samples)
    time = np.arange(int(0.03 * sample_rate)) / sample_rate
    count = max(1, int(40 * samples / sample_rate))
    for start in rng.integers(0, samples, count):
        pitch, decay, level = rng.uniform(400, 6000), rng.uniform(0.001, 0.008), rng.lognormal(-1, 0.8)
        knock = level * np.exp(-time / decay) * np.sin(2 * np.pi * pitch * time)
        part = wave[start : start + len(knock)]
        part += knock[: len(part)]
    return wave
