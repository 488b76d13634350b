"""Clips for tests of transmissions: voiced sounds that come and go, and how far a corruption takes them."""

import numpy as np

from dhauds_jax.data import corruptions as C

RATE, LENGTH, CLIPS = 16_000, 8_000, 20
IDS = [f"word/{i}.wav" for i in range(CLIPS)]


def voiced(rows, length, rate=RATE, seed=0):
    """Harmonics of 90 to 250 Hz with a falling spectrum, some noise, under an envelope of syllables."""
    rng, t = np.random.default_rng(seed), np.arange(length) / rate
    out = np.zeros((rows, length))
    for row in out:
        pitch, phases = rng.uniform(90, 250), rng.uniform(0, 2 * np.pi, 40)
        for n, phase in enumerate(phases, 1):
            if n * pitch < 0.45 * rate:
                row += np.sin(2 * np.pi * n * pitch * t + phase) / n
        row += 0.05 * rng.normal(size=length)
        row *= 0.15 * (0.05 + np.abs(np.sin(2 * np.pi * rng.uniform(2, 4) * t + rng.uniform(0, 6))))
    return out.astype(np.float32)


WAVES = voiced(CLIPS, LENGTH)


def run(code, level, waves=WAVES, ids=IDS, **options):
    options = {"seed": 3, "sample_rate": RATE, "length": waves.shape[1], "dataset": "synthetic", **options}
    return C.corrupt(waves, ids, corruption=code, level=level, **options)


def log_spectra(waves, frame=400):
    """Of frames of 25 ms, in dB, not below -60 dB of the clips' mean power."""
    frames = waves.reshape(len(waves), -1, frame) * np.hanning(frame)
    power = np.abs(np.fft.rfft(frames, axis=-1)) ** 2
    return 10 * np.log10(power + 1e-6 * power.mean())


def distance(waves, clean=WAVES):
    """Root mean square of the differences of log spectra, in dB."""
    return float(np.sqrt(((log_spectra(waves) - log_spectra(clean)) ** 2).mean()))
