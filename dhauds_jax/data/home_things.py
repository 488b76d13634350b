"""Things in the synthetic homes: alarms, bells, glass, dishes, motors, instruments and all the rest.

Each function gives a dry clip of 5 s at 16 kHz.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from dhauds_jax.data import home_parts as parts
from dhauds_jax.data.home import Home


def alarm(rng: np.random.Generator, home: Home) -> Float[np.ndarray, " time"]:
    """A smoke alarm's T3 (ISO 8201): three beeps of 0.5 s at the home's pitch near 3.1 kHz, 0.5 s apart, then 1.5 s."""
    clip = parts.silence()
    beep = parts.ring((home.alarm, 2 * home.alarm), (9, 9), (1, 0.1), 0.5)
    beep *= parts.swell(len(beep), 0.005, 0.01)
    first = rng.uniform(-4.0, 0.0)
    for group in range(3):
        for k in range(3):
            parts.put(clip, beep, first + 4 * group + k)
    return clip


def doorbell(rng: np.random.Generator, home: Home) -> Float[np.ndarray, " time"]:
    """The home's bell, pressed once or twice: ding-dong, or a chime of three or four notes."""
    clip = parts.silence()
    gap = rng.uniform(0.9, 1.1) * home.bell_gap
    presses = int(rng.integers(1, 3))
    for press in parts.starts(rng, presses, 1.6, 2.4, 1.2):
        for k, note in enumerate(home.bell):
            frequencies = note * np.array([1.0, 2.0, 3.01, 4.2])
            decay = home.bell_decay * np.array([1.0, 0.6, 0.35, 0.2])
            amplitudes = np.array([1.0, 0.35, 0.2, 0.12]) * rng.uniform(0.8, 1.2, 4)
            struck = parts.ring(frequencies, decay, amplitudes, 4 * home.bell_decay, 0.9)
            parts.put(clip, struck * parts.swell(len(struck), 0.002, 0.05), press + k * gap)
    return clip


def glass(rng: np.random.Generator, home: Home) -> Float[np.ndarray, " time"]:
    """Breaking glass: a knock with a burst of noise, then 12 to 40 shards that ring and fall within a second."""
    clip = parts.silence()
    start = rng.uniform(0.05, 3.6)
    burst = parts.hiss(rng, 3_200, 1_500, 7_000) * np.exp(-np.arange(3_200) / rng.uniform(250, 700))
    parts.put(clip, rng.uniform(0.3, 0.7) * burst, start)
    spread = rng.uniform(0.2, 0.5)
    for _ in range(int(rng.integers(12, 41))):
        count = int(rng.integers(1, 4))
        frequencies = home.glass * np.exp(rng.uniform(np.log(2_000), np.log(7_000), count))
        decay = rng.uniform(0.01, 0.09, count)
        late = rng.exponential(spread)
        shard = parts.ring(frequencies, decay, rng.uniform(0.2, 1, count), 4 * decay.max(), 1.3)
        parts.put(clip, np.exp(-late) * rng.lognormal(-1.2, 0.6) * shard, start + late)
    return clip


def dishes(rng: np.random.Generator, home: Home) -> Float[np.ndarray, " time"]:
    """Plates and cutlery: four to fourteen clinks of a few partials, and some rubbing."""
    clip = parts.silence()
    bodies = home.glass * np.exp(rng.uniform(np.log(900), np.log(3_500), int(rng.integers(2, 5))))
    for start in parts.starts(rng, int(rng.integers(4, 15)), 0.08, 0.55, 0.3):
        body = bodies[int(rng.integers(len(bodies)))] * rng.uniform(0.98, 1.02)
        frequencies = body * np.array([1, 1.63, 2.41, 3.3, 4.7]) * rng.uniform(0.97, 1.03, 5)
        decay = rng.uniform(0.03, 0.16) * np.array([1, 0.8, 0.6, 0.4, 0.3])
        clink = parts.ring(frequencies, decay, rng.uniform(0.2, 1, 5), 4 * decay.max(), 0.7)
        parts.put(clip, rng.lognormal(-0.7, 0.6) * clink, start)
    rubbing = parts.hiss(rng, parts.LENGTH, 1_200, 6_000) * np.maximum(parts.wander(rng, parts.LENGTH, 3, 1) - 1, 0)
    return clip + rng.uniform(0.01, 0.06) * rubbing


def _motor(rng: np.random.Generator, pitch: np.ndarray, fall: float, noise: np.ndarray, share: float) -> np.ndarray:
    """A motor: harmonics falling as k^-fall with random strengths on a pitch track (Hz), and a share of noise."""
    weights = np.arange(1, 40) ** -fall * rng.uniform(0.2, 1.0, 39)
    tone = parts.voiced(pitch, weights)
    return (1 - share) * tone / max(tone.std(), 1e-9) + share * noise


def _switched(rng: np.random.Generator, clip: np.ndarray, chance: float) -> np.ndarray:
    """Switched on or off within the clip with some chance, else on all the time."""
    if rng.uniform() > chance:
        return clip
    place = np.arange(len(clip)) / parts.SAMPLE_RATE
    edge = rng.uniform(0.6, 3.0)
    ramp = np.clip((place - edge) / rng.uniform(0.1, 0.5), 0, 1)
    return clip * (ramp if rng.uniform() < 0.6 else 1 - ramp)


def blender(rng: np.random.Generator, home: Home) -> Float[np.ndarray, " time"]:
    """A blender: a fast motor under load in pulses, with lumps in its noise."""
    place = parts.frames(parts.SECONDS)
    base = 190 * home.motor * np.exp(rng.normal(0, 0.12))
    run_up = 1 - 0.4 * np.exp(-place * parts.SECONDS / rng.uniform(0.1, 0.5))
    pitch = base * run_up * parts.wander(rng, len(place), 6, 0.02)
    lumps = np.maximum(parts.wander(rng, len(place), 14, 0.45), 0.1)
    noise = parts.hiss(rng, len(place), 600, 6_500, 0.5) * lumps
    return _switched(rng, _motor(rng, pitch, 0.6, noise, rng.uniform(0.35, 0.6)), 0.6)


def vacuum(rng: np.random.Generator, home: Home) -> Float[np.ndarray, " time"]:
    """A vacuum cleaner: broad noise with a resonance that moves with the strokes, and a whine."""
    place = parts.frames(parts.SECONDS)
    base = 330 * home.motor * np.exp(rng.normal(0, 0.1))
    pitch = base * parts.wander(rng, len(place), 2, 0.008)
    stroke = 1 + 0.35 * np.sin(2 * np.pi * (rng.uniform(0.4, 1.0) * parts.SECONDS * place + rng.uniform()))
    noise = parts.hiss(rng, len(place), 250, 5_500, 1.0)
    body = parts.hiss(rng, len(place), 600 * home.motor, 1_300 * home.motor)
    return _switched(rng, _motor(rng, pitch, 1.0, 0.8 * noise + 0.5 * stroke * body, rng.uniform(0.6, 0.85)), 0.3)


def electrics(rng: np.random.Generator, home: Home) -> Float[np.ndarray, " time"]:
    """A shaver's buzz, or a lawn mower beyond the window: a slow engine that throbs."""
    place = parts.frames(parts.SECONDS)
    if rng.uniform() < 0.5:
        pitch = 110 * home.motor * np.exp(rng.normal(0, 0.1)) * parts.wander(rng, len(place), 5, 0.015)
        noise = parts.hiss(rng, len(place), 2_000, 7_000)
        return _switched(rng, _motor(rng, pitch, 0.3, noise, rng.uniform(0.15, 0.35)), 0.4)
    pitch = 52 * home.motor * np.exp(rng.normal(0, 0.1)) * parts.wander(rng, len(place), 3, 0.02)
    phase = np.cumsum(pitch) / parts.SAMPLE_RATE
    noise = parts.hiss(rng, len(place), 200, 3_500, 1.2) * (1 + 0.7 * np.sin(2 * np.pi * phase))
    return _switched(rng, _motor(rng, pitch, 0.9, noise, rng.uniform(0.4, 0.65)), 0.2)


_SCALES = ((0, 2, 4, 5, 7, 9, 11, 12), (0, 2, 3, 5, 7, 8, 10, 12), (0, 2, 4, 7, 9, 12, 14, 16))


def instrument(rng: np.random.Generator, home: Home) -> Float[np.ndarray, " time"]:
    """Three to fourteen notes of a scale: plucked, held or struck, as the home's instrument is."""
    clip = parts.silence()
    root = 262 * 2 ** (rng.integers(-9, 10) / 12) * home.tuning
    scale = _SCALES[int(rng.integers(len(_SCALES)))]
    pace = rng.uniform(0.18, 0.6)
    for start in parts.starts(rng, int(rng.integers(3, 15)), 0.98 * pace, 1.02 * pace, 0.5):
        note = root * 2 ** (scale[int(rng.integers(len(scale)))] / 12)
        kind = home.instrument if rng.uniform() < 0.7 else int(rng.integers(3))
        parts.put(clip, rng.uniform(0.6, 1) * _note(rng, kind, note, pace, home), start)
    return clip


def _note(rng: np.random.Generator, kind: int, note: float, pace: float, home: Home) -> np.ndarray:
    if kind == 0:  # a string
        number = np.arange(1, 16)
        return parts.ring(note * number, 0.9 / number**0.6, number**-home.bright, 1.0, 0.4)
    if kind == 1:  # a pipe or a bow
        place = parts.frames(pace * rng.uniform(0.8, 1.1))
        vibrato = 1 + 0.006 * np.sin(2 * np.pi * 5.5 * place * pace)
        tone = parts.voiced(note * vibrato, [k**-home.bright for k in range(1, 16)])
        return tone * parts.swell(len(place), 0.04, 0.06)
    return parts.ring(note * np.array([1, 2.76, 5.4, 8.9]), (0.7, 0.35, 0.15, 0.08), (1, 0.5, 0.25, 0.1), 1.0, 0.8)


def other(rng: np.random.Generator, home: Home) -> Float[np.ndarray, " time"]:
    """Nothing of the kind: coloured noise (water, wind), footsteps and knocks, or somebody who talks."""
    return (_weather, _weather, _knocks, _talk)[int(rng.integers(4))](rng, home)


def _weather(rng: np.random.Generator, home: Home) -> np.ndarray:
    slow = np.maximum(parts.wander(rng, parts.LENGTH, rng.uniform(0.5, 4), rng.uniform(0.05, 0.5)), 0.05)
    return parts.hiss(rng, parts.LENGTH, rng.uniform(60, 600), 7_000, rng.uniform(0.0, 2.0)) * slow


def _knocks(rng: np.random.Generator, home: Home) -> np.ndarray:
    clip = parts.silence()
    pace, floor = rng.uniform(0.12, 0.7), np.exp(rng.normal(0, 0.3))
    for start in parts.starts(rng, int(rng.integers(3, 9)), 0.9 * pace, 1.1 * pace, 0.3):
        knock = parts.ring(floor * np.array([95.0, 180, 310, 520]), (0.06, 0.04, 0.025, 0.02), (1, 0.7, 0.5, 0.4), 0.2)
        click = parts.hiss(rng, 800, 300, 3_000) * np.exp(-np.arange(800) / rng.uniform(40, 160))
        parts.put(clip, rng.uniform(0.5, 1) * knock, start)
        parts.put(clip, rng.uniform(0.1, 0.5) * click, start)
    return clip


def _talk(rng: np.random.Generator, home: Home) -> np.ndarray:
    return talk(rng, home.voice * (1.0 if rng.uniform() < 0.5 else 1.7))


def talk(rng: np.random.Generator, voice: float) -> Float[np.ndarray, " time"]:
    """Speech-like syllables of a voice (Hz) without words, with pauses."""
    clip, start = parts.silence(), rng.uniform(0, 0.6)
    while start < parts.SECONDS - 0.2:
        place = parts.frames(rng.uniform(0.1, 0.28))
        first = rng.uniform(280, 800)
        weights = parts.formants(voice, (first, rng.uniform(900, 2_300), 2_700))
        pitch = voice * rng.uniform(0.85, 1.2) * (1.05 - 0.12 * place)
        parts.put(clip, rng.uniform(0.4, 1) * parts.voiced(pitch, weights) * parts.swell(len(place), 0.03, 0.05), start)
        if rng.uniform() < 0.4:
            hissed = parts.hiss(rng, 1_200, 2_500, 7_000) * parts.swell(1_200, 0.02, 0.03)
            parts.put(clip, 0.08 * hissed, start - 0.07)
        start += len(place) / parts.SAMPLE_RATE + (rng.uniform(0.2, 0.7) if rng.uniform() < 0.15 else 0.02)
    return clip
