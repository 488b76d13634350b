"""What is drawn for a soundscape: laws as texts (`uniform:6,10`), and draws keyed by names alone.

A draw depends on the seed, the data set, the clip's id, the number of the soundscape and (of the background) the scene,
and on nothing else: neither order nor count of the clips nor workers change it. Onset and SNR are the clip's in every
scene, so scenes are compared on equal terms.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from dhauds_jax.errors import BadInput
from dhauds_jax.registry import nearest

LAWS = {"const": ("value",), "uniform": ("min", "max"), "truncnorm": ("mean", "std", "min", "max")}
"""Law -> the names of its numbers."""
_DIGITS = 6  # decimals of what is drawn: far below a sample, far above what two machines differ by
_LEAST_MASS = 1e-12  # of a truncated normal law: less cannot be told from rounding
_GRAMMAR = "const:VALUE, uniform:MIN,MAX or truncnorm:MEAN,STD,MIN,MAX"


class Law(NamedTuple):
    """A distribution: one of `LAWS` and its numbers."""

    name: str
    numbers: tuple[float, ...]

    @property
    def text(self) -> str:
        """As on the command line."""
        return f"{self.name}:{','.join(f'{number:g}' for number in self.numbers)}"

    @property
    def least(self) -> float:
        """The smallest value that it gives."""
        return self.numbers[-2] if self.name != "const" else self.numbers[0]

    def at(self, share: float) -> float:
        """Its quantile: `share` from 0 to below 1 of all values lie below."""
        if self.name == "const":
            return self.numbers[0]
        low, high = self.numbers[-2:]
        if self.name == "uniform":
            value = low + share * (high - low)
        else:
            from scipy.special import ndtr, ndtri

            mean, deviation = self.numbers[:2]
            first, last = ndtr((low - mean) / deviation), ndtr((high - mean) / deviation)
            value = mean + deviation * float(ndtri(first + share * (last - first)))
        return min(max(round(value, _DIGITS), low), high)


def law(flag: str, text: str) -> Law:
    """A law from its text.

    Args:
      flag: the flag that has it, for sentences.
      text: const:VALUE, uniform:MIN,MAX or truncnorm:MEAN,STD,MIN,MAX.

    Raises:
      BadInput: another text, numbers that are too few or no numbers, ends in the wrong order, a deviation of 0, or a
        normal law cut so far out that nothing of it is left.
    """
    name, colon, rest = text.partition(":")
    if name not in LAWS or not colon:
        raise BadInput(f"--{flag}={text}: expected {nearest(name, LAWS)}, written {_GRAMMAR}")
    try:
        numbers = tuple(float(part) for part in rest.split(","))
    except ValueError:
        numbers = ()
    if len(numbers) != len(LAWS[name]) or not all(map(np.isfinite, numbers)):
        wanted = f"{name}:{','.join(LAWS[name]).upper()}"
        raise BadInput(f"--{flag}={text}: {rest!r} are not the numbers of {name}, expected {wanted}")
    found = Law(name, numbers)
    if name != "const" and not numbers[-2] < numbers[-1]:
        raise BadInput(f"--{flag}={text}: from {numbers[-2]:g} to {numbers[-1]:g}, expected the smaller number first")
    if name == "truncnorm" and numbers[1] <= 0:
        raise BadInput(f"--{flag}={text}: a standard deviation of {numbers[1]:g}, expected one above 0")
    if name == "truncnorm" and not _mass(*numbers) > _LEAST_MASS:
        raise BadInput(f"--{flag}={text}: nothing of the normal law is left there, expected ends nearer to its mean")
    return found


def _mass(mean: float, deviation: float, low: float, high: float) -> float:
    """How much of a normal law lies between two ends."""
    from scipy.special import ndtr

    return float(ndtr((high - mean) / deviation) - ndtr((low - mean) / deviation))


def share(*key: object) -> float:
    """A number from 0 to below 1, drawn for a key: the first 53 bits of SHA-256 of its JSON text."""
    return _bits(*key) * 2.0**-53


def order(count: int, *key: object) -> Iterator[int]:
    """The numbers 0 to count - 1, shuffled for a key, one by one as they are asked for."""
    swapped: dict[int, int] = {}  # of a Fisher-Yates shuffle, the places that were touched
    for last in range(count - 1, -1, -1):
        place = int(share(*key, "place", last) * (last + 1))
        yield swapped.get(place, place)
        swapped[place] = swapped.get(last, last)


def again(count: int, *key: object) -> Iterator[int]:
    """Numbers from 0 to count - 1, each drawn anew, without end."""
    tries = 0
    while True:
        yield int(share(*key, "try", tries) * count)
        tries += 1


def _bits(*key: object) -> int:
    digest = hashlib.sha256(json.dumps(key).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 11
