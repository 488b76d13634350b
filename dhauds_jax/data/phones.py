"""Tables of the embedded corpus: phones as formant-synthesiser targets, words as sequences of phones.

Vowel targets are the adult-male averages of Peterson and Barney (JASA 1952), rounded; consonant targets follow the
usual textbook loci (Klatt, JASA 1980, gives the synthesiser these numbers are for).
"""

from __future__ import annotations

from typing import NamedTuple


class Segment(NamedTuple):
    """One steady piece of a phone.

    Attributes:
      ms: nominal duration in milliseconds.
      voicing, aspiration, frication: source amplitudes (linear; 1 is a stressed vowel's voicing).
      formants: targets of F1, F2, F3 in Hz (adult male).
      noise: centre frequency and bandwidth of the frication in Hz.
      widen: factor on the formants' bandwidths (nasals and closures are damped).
    """

    ms: float
    voicing: float
    aspiration: float
    frication: float
    formants: tuple[float, float, float]
    noise: tuple[float, float] = (4000.0, 2000.0)
    widen: float = 1.0


def _vowel(f1: float, f2: float, f3: float) -> tuple[Segment, ...]:
    return (Segment(135, 1.0, 0.02, 0.0, (f1, f2, f3)),)


def _stop(locus: tuple, burst: tuple, voiced: bool) -> tuple[Segment, ...]:
    closure = Segment(55, 0.12 if voiced else 0.0, 0.0, 0.0, (200, *locus), burst, 2.5)
    release = Segment(10, 0.1 if voiced else 0.0, 0.1, 0.75, (300, *locus), burst)
    if voiced:
        return (closure, release)
    return (closure, release, Segment(38, 0.0, 0.35, 0.06, (400, *locus), burst))


def _fricative(locus: tuple, noise: tuple, amplitude: float, voicing: float = 0.0) -> tuple[Segment, ...]:
    return (Segment(105, voicing, 0.03, amplitude, (300, *locus), noise),)


def _sonorant(f1: float, f2: float, f3: float, amplitude: float, widen: float) -> tuple[Segment, ...]:
    return (Segment(75, amplitude, 0.01, 0.0, (f1, f2, f3), widen=widen),)


PHONES: dict[str, tuple[Segment, ...]] = {
    "a": _vowel(730, 1090, 2440),
    "e": _vowel(530, 1840, 2480),
    "i": _vowel(280, 2250, 2900),
    "o": _vowel(500, 880, 2400),
    "u": _vowel(310, 870, 2240),
    "b": _stop((800, 2200), (700, 900), True),
    "d": _stop((1750, 2650), (3600, 1500), True),
    "g": _stop((2050, 2350), (2000, 700), True),
    "t": _stop((1750, 2650), (4200, 1800), False),
    "k": _stop((2000, 2350), (2100, 800), False),
    "f": _fricative((1100, 2300), (3500, 5000), 0.10),
    "s": _fricative((1700, 2600), (5600, 1600), 0.42),
    "S": _fricative((1850, 2500), (3000, 1000), 0.45),
    "z": _fricative((1700, 2600), (5400, 1800), 0.22, 0.25),
    "l": _sonorant(360, 1050, 2750, 0.55, 1.4),
    "m": _sonorant(260, 1100, 2150, 0.40, 2.2),
    "n": _sonorant(260, 1650, 2500, 0.40, 2.2),
    "r": _sonorant(420, 1250, 1650, 0.55, 1.4),
}

WORDS: dict[str, str] = {
    "bano": "bano",
    "dami": "dami",
    "disu": "disu",
    "fino": "fino",
    "gulo": "gulo",
    "kesa": "kesa",
    "lemi": "lemi",
    "mosha": "moSa",
    "nadu": "nadu",
    "rigo": "rigo",
    "sagi": "sagi",
    "shube": "Sube",
    "tola": "tola",
    "zake": "zake",
}
"""Word (the class name) to its phones, one letter each; every phone occurs in several words."""
