"""The published grids of the seven corruptions at both levels, and the reference's quirks by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

CORRUPTIONS = ("WHN", "ENQ", "END1", "END2", "ENSC", "PSH", "TST")
NOISE_CORRUPTIONS = ("ENQ", "END1", "END2", "ENSC")
LEVELS = ("L1", "L2")

SNR_DB = {
    **{(name, "L1"): (5.0, 5.5, 6.0) for name in NOISE_CORRUPTIONS},
    **{(name, "L2"): (5.0, 5.5, 6.0, 6.5, 7.0) for name in NOISE_CORRUPTIONS},
    ("WHN", "L1"): (6.0, 6.5, 7.0),
    ("WHN", "L2"): (5.0, 5.5, 6.0, 6.5, 7.0),
}
"""Signal-to-noise ratios in dB that are drawn; L2 is not lower, it has a wider range and more noises."""

SEMITONES = {"L1": (4, 5), "L2": (5, 6, 7)}
"""Pitch shifts in semitones, up or down."""

RATE_OFFSETS = {"L1": (0.04, 0.05, 0.06), "L2": (0.08, 0.09, 0.10, 0.11, 0.12)}
"""Nominal offsets r of the time stretch; the rate is 1+r (faster) or 1-r (slower)."""


class Quirks(NamedTuple):
    """What the reference's corruptions do unlike what their names say; each is an option of its own.

    Attributes:
      top_rate_lost: the largest rate offset of each level is never drawn (a float division is truncated).
      uniform_noise_off_centre: half of the WHN clips, and all of the shift UNI, get noise of U[0, 1), an offset that
        carries 3/4 of its energy; off: U[-0.5, 0.5).
      griffin_lim_power: the power that Griffin-Lim believes the magnitude to have; 2 takes its square root and so
        halves every level in dB, 1 is right.
      start_phase_in_square: Griffin-Lim starts from random complex numbers with both parts of U[0, 1); off: zero phase.

    Source: DHAuDS, lib/corruption.py lines 178, 239, 245-250.
    """

    top_rate_lost: bool
    uniform_noise_off_centre: bool
    griffin_lim_power: float
    start_phase_in_square: bool


REFERENCE = Quirks(True, True, 2.0, True)
CORRECTED = Quirks(False, False, 1.0, False)
PROFILES = {"reference": REFERENCE, "corrected": CORRECTED}


def quirks_of(profile: str | Quirks) -> Quirks:
    """The quirks of a profile's name (or the record itself); raises `ValueError` listing the names."""
    if isinstance(profile, Quirks):
        return profile
    check_choice("profile", profile, tuple(PROFILES))
    return PROFILES[profile]


def rate_offsets(level: str, quirks: Quirks) -> tuple[float, ...]:
    """The rate offsets that are drawn at a level."""
    nominal = RATE_OFFSETS[level]
    return nominal[:-1] if quirks.top_rate_lost else nominal


def check_choice(what: str, found: str, valid: Sequence[str]) -> None:
    """Raises `ValueError` listing the valid names unless `found` is one of them."""
    if found not in valid:
        raise ValueError(f"unknown {what} {found!r}, expected one of {', '.join(valid)}")
