"""Animals and people of the synthetic home sounds; each function gives a dry clip of 5 s at 16 kHz."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from dhauds_jax.data import home_parts as parts
from dhauds_jax.data.home import Home


def barking(rng: np.random.Generator, home: Home) -> Float[np.ndarray, " time"]:
    """One to five barks: a rough arch of 0.12 to 0.32 s, its pitch that of the home's dog."""
    clip = parts.silence()
    pitch = 430 * home.dog * np.exp(rng.normal(0, 0.12))
    rough = rng.uniform(0.25, 0.7)
    for start in parts.starts(rng, int(rng.integers(1, 6)), 0.22, 0.9, 0.4):
        place = parts.frames(rng.uniform(0.12, 0.32))
        arch = 0.65 + 0.55 * np.sin(np.pi * place**0.7) * rng.uniform(0.7, 1.2)
        tone = parts.voiced(
            pitch * arch * parts.wander(rng, len(place), 200, 0.03), parts.formants(pitch, (750, 1500 * home.dog**0.4))
        )
        breath = parts.hiss(rng, len(place), 400, 5000, 0.8)
        bark = ((1 - rough) * tone + 0.3 * rough * breath) * np.exp(-4 * place) * parts.swell(len(place), 0.012, 0.04)
        parts.put(clip, rng.uniform(0.6, 1.0) * bark, start)
    return clip


def howling(rng: np.random.Generator, home: Home) -> Float[np.ndarray, " time"]:
    """One or two howls of 1 to 3 s: up, held with a slow wander, down; few harmonics."""
    clip = parts.silence()
    for start in parts.starts(rng, int(rng.integers(1, 3)), 1.6, 2.6, 1.5):
        place = parts.frames(rng.uniform(1.0, 3.0))
        pitch = 480 * home.dog**0.7 * np.exp(rng.normal(0, 0.15))
        rise = rng.uniform(0.1, 0.3)
        contour = parts.track(place, (0, rise, 0.75, 1), (rng.uniform(0.5, 0.75), 1, rng.uniform(0.9, 1.1), 0.6))
        wander = parts.wander(rng, len(place), 4, 0.02) * (1 + 0.012 * np.sin(2 * np.pi * rng.uniform(4, 7) * place))
        fall = rng.uniform(1.2, 2.2)
        tone = parts.voiced(pitch * contour * wander, [k**-fall for k in range(1, 9)])
        breath = parts.hiss(rng, len(place), 500, 4000, 1.0)
        parts.put(clip, (tone + 0.03 * breath) * parts.swell(len(place), 0.25, 0.4), start)
    return clip


def crying(rng: np.random.Generator, home: Home) -> Float[np.ndarray, " time"]:
    """A dog's whimpers: three to nine thin high glides of 0.1 to 0.5 s."""
    clip = parts.silence()
    pitch = 950 * home.dog**0.5 * np.exp(rng.normal(0, 0.15))
    for start in parts.starts(rng, int(rng.integers(3, 10)), 0.2, 0.7, 0.4):
        place = parts.frames(rng.uniform(0.1, 0.5))
        bend = rng.uniform(-0.2, 0.35)
        contour = 1 + bend * np.sin(np.pi * place) - rng.uniform(0, 0.2) * place
        tone = parts.voiced(
            pitch * contour * parts.wander(rng, len(place), 30, 0.03), (1, rng.uniform(0.1, 0.6), rng.uniform(0, 0.2))
        )
        breath = parts.hiss(rng, len(place), 1500, 6000)
        parts.put(
            clip, rng.uniform(0.4, 1) * (tone + 0.05 * breath) * parts.swell(len(place), 0.04, len(place) / 5e4), start
        )
    return clip


def cat(rng: np.random.Generator, home: Home) -> Float[np.ndarray, " time"]:
    """One to three meows of 0.4 to 1.1 s: an arch of pitch, the timbre from closed to open and back."""
    clip = parts.silence()
    for start in parts.starts(rng, int(rng.integers(1, 4)), 0.9, 1.7, 0.8):
        place = parts.frames(rng.uniform(0.4, 1.1))
        pitch = 620 * home.cat * np.exp(rng.normal(0, 0.12))
        contour = parts.track(place, (0, 0.3, 0.6, 1), (0.75, 1.05, 1.0, rng.uniform(0.6, 0.9)))
        contour = pitch * contour * parts.wander(rng, len(place), 40, 0.015)
        mouth = np.sin(np.pi * place) ** 2
        closed, opened = parts.formants(pitch, (800, 2600)), parts.formants(pitch, (1400, 2200, 3600), fall=0.2)
        tone = (1 - mouth) * parts.voiced(contour, closed) + mouth * parts.voiced(contour, opened)
        parts.put(clip, rng.uniform(0.5, 1) * tone * parts.swell(len(place), 0.06, 0.2), start)
    return clip


def bird(rng: np.random.Generator, home: Home) -> Float[np.ndarray, " time"]:
    """Chirps: phrases of two to eight sweeps of 0.03 to 0.2 s at the pitch of the home's birds."""
    clip = parts.silence()
    pitch = home.bird * np.exp(rng.normal(0, 0.12))
    bend, seconds = rng.uniform(-0.35, 0.35), rng.uniform(0.03, 0.2)
    trill = rng.uniform(0, 0.06) * (rng.uniform() < 0.4)
    for phrase in parts.starts(rng, int(rng.integers(1, 4)), 0.9, 1.8, 0.6):
        gap = rng.uniform(1.2, 2.5) * seconds
        for k in range(int(rng.integers(2, 9))):
            place = parts.frames(seconds * rng.uniform(0.8, 1.2))
            contour = 1 + bend * (place - 0.5) + trill * np.sin(2 * np.pi * 30 * seconds * place)
            chirp = parts.voiced(np.minimum(pitch * contour, 7_000), (1, 0.15))
            parts.put(clip, rng.uniform(0.5, 1) * chirp * np.sin(np.pi * place), phrase + k * gap)
    return clip


def people(rng: np.random.Generator, home: Home) -> Float[np.ndarray, " time"]:
    """Laughter, a shout or a scream of one of the home's people."""
    voice = home.voice * (1.0 if rng.uniform() < 0.5 else 1.7) * np.exp(rng.normal(0, 0.08))
    return (_laughter, _shout, _scream)[int(rng.integers(3))](rng, voice)


def _laughter(rng: np.random.Generator, voice: float) -> np.ndarray:
    clip = parts.silence()
    pace, count = rng.uniform(0.17, 0.26), int(rng.integers(4, 12))
    start, pitch = rng.uniform(0.1, 4.8 - pace * count), voice * rng.uniform(1.2, 1.9)
    fall = rng.uniform(0.0, 0.04)
    for k in range(count):
        place = parts.frames(pace * rng.uniform(0.45, 0.65))
        contour = pitch * (1 - fall * k) * (1.1 - 0.25 * place) * parts.wander(rng, len(place), 60, 0.02)
        tone = parts.voiced(contour, parts.formants(pitch, (750, 1250, 2700)))
        breath = parts.hiss(rng, len(place), 500, 5000, 0.5) * np.exp(-6 * place)
        ha = (tone + 0.25 * breath) * parts.swell(len(place), 0.02, 0.05) * (1 - 0.06 * k)
        parts.put(clip, ha, start + k * pace * rng.uniform(0.97, 1.03))
    return clip


def _shout(rng: np.random.Generator, voice: float) -> np.ndarray:
    clip = parts.silence()
    for start in parts.starts(rng, int(rng.integers(1, 4)), 0.6, 1.4, 0.7):
        place = parts.frames(rng.uniform(0.25, 0.9))
        pitch = voice * rng.uniform(1.6, 2.3)
        contour = parts.track(place, (0, 0.25, 1), (0.8, 1.05, rng.uniform(0.6, 0.9)))
        first = rng.uniform(450, 850)
        weights = parts.formants(pitch, (first, rng.uniform(1.5, 3) * first, 2700, 3500), fall=0.2)
        tone = parts.voiced(pitch * contour * parts.wander(rng, len(place), 50, 0.015), weights)
        parts.put(clip, rng.uniform(0.6, 1) * tone * parts.swell(len(place), 0.03, 0.12), start)
    return clip


def _scream(rng: np.random.Generator, voice: float) -> np.ndarray:
    clip = parts.silence()
    place = parts.frames(rng.uniform(0.6, 2.2))
    pitch = voice * rng.uniform(3.5, 5.5)
    contour = parts.track(place, (0, 0.15, 0.7, 1), (0.7, 1, rng.uniform(0.9, 1.1), 0.7))
    contour = contour * parts.wander(rng, len(place), 90, rng.uniform(0.02, 0.06))  # rough
    tone = parts.voiced(pitch * contour, parts.formants(pitch, (1200, 2900, 4000), fall=0.2))
    breath = parts.hiss(rng, len(place), 1500, 6000)
    parts.put(clip, (tone + 0.1 * breath) * parts.swell(len(place), 0.08, 0.2), rng.uniform(0.1, 2.5))
    return clip
