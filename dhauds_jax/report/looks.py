"""How things look in figures: one colour a method in all of them, told apart by the colour-blind and in grey too."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from dhauds_jax.names import METHODS
from dhauds_jax.report.floors import AT_RATE_0

GREY = "0.72"
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Okabe and Ito's colours, which the colour-blind can tell apart (their yellow is too faint for lines)."""
MARKERS = "osD^vPX"
DASHES = ("-", "--", ":", "-.", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 3)), (0, (9, 2)))
HATCHES = ("", "///", "...", "xxx", "\\\\\\", "ooo", "+++")


class Look(NamedTuple):
    """What a thing is drawn in: `COLORS[color]`, and the marker, dashes and hatch of its style (both 0 to 6)."""

    color: int
    style: int

    @property
    def point(self) -> dict[str, Any]:
        """Of a marker, as keyword arguments of matplotlib."""
        return {"color": COLORS[self.color], "marker": MARKERS[(self.color + self.style) % 7]}

    @property
    def line(self) -> dict[str, Any]:
        """Of a line."""
        return {"color": COLORS[self.color], "linestyle": DASHES[self.style]}

    @property
    def bar(self) -> dict[str, Any]:
        """Of a bar."""
        return {"color": COLORS[self.color], "hatch": HATCHES[self.style]}


def look(index: int) -> Look:
    """The look of the index-th thing: no two are alike among the first 49."""
    return Look(index % 7, index // 7 % 7)


def bare_name(method: str) -> str:
    """A method's name without the settings, and without "at rate 0", that `tables.with_variants` put behind it."""
    return method.partition(" [")[0].removesuffix(AT_RATE_0)


def of_methods(names: Iterable[str]) -> dict[str, Look]:
    """Name of a method -> its look, the same in every figure that is made from these names.

    A method of `names.METHODS` has the look of its place there, in every report; methods of one's own have, by name,
    the first looks in colours that no other method here has, while there are some. Runs of a method with other settings
    ("dhauds [momentum=0.7]") have its colour and, by name, the styles that no method here of this colour has.
    """
    here = sorted(set(names))
    order, bare = list(METHODS), dict.fromkeys(bare_name(name) for name in here)
    plain = {name: look(order.index(name)) for name in bare if name in METHODS}
    for name in bare:
        if name not in plain:
            free = [one for one in map(look, range(49)) if one not in plain.values()]
            used = {one.color for one in plain.values()}
            plain[name] = next((one for one in free if one.color not in used), next(iter(free), look(len(plain))))
    found = {name: plain[name] for name in here if name in plain}
    taken = set(plain.values())
    for name in here:
        if name in found:
            continue
        color, first = plain[bare_name(name)]
        styles = [Look(color, (first + step) % 7) for step in range(1, 8)]
        found[name] = next((one for one in styles if one not in taken), styles[-1])
        taken.add(found[name])
    return found


def shades(color: int, count: int) -> list[tuple[float, float, float]]:
    """`COLORS[color]` as `count` shades, from itself to one with 60 % of white in it: red, green, blue from 0 to 1."""
    full = [int(COLORS[color][place : place + 2], 16) / 255 for place in (1, 3, 5)]
    white = [0.6 * index / max(1, count - 1) for index in range(count)]
    return [(*(part + share * (1 - part) for part in full),) for share in white]
