"""A share of the campaigns *starve*, *power* and *crowd*: each fault once, with a fixed seed."""

import random

import pytest

from tests.faults import crowds, kill, power, starve
from tests.faults.outcomes import where_mounted
from tests.faults.victims import Ended

ERROR = "error: --output=out: cannot be written to (No space left on device), expected a folder that can\n"


@pytest.mark.parametrize(
    ("code", "err", "expected"),
    [
        (0, "", "right"),
        (2, ERROR, "refused"),
        (2, "", "crash"),
        (2, ERROR + ERROR, "crash"),
        (1, "Traceback (most recent call last):", "crash"),
        (-11, "", "crash"),
        (0, "Exception ignored in atexit callback\nTraceback (most recent call last):", "crash"),
    ],
)
def test_how_a_starved_command_may_end(code, err, expected):
    assert starve.how_it_ended(Ended(code, 1.0, False, 0, {}, "", err)) == expected


def test_of_a_crowd_one_may_say_that_another_is_there():
    busy = "error: out: another command is running here (process 1 on a, since 2026); wait for it\n"
    assert crowds.fits(Ended(2, 1.0, False, 0, {}, "", busy), "folder")
    assert not crowds.fits(Ended(2, 1.0, False, 0, {}, "", busy), "cache")
    assert not crowds.fits(Ended(2, 1.0, False, 0, {}, "", ERROR), "folder")


def came(found):
    outcome, said, where = found
    if outcome == "not run":
        pytest.skip(f"no file system of its own can be mounted here ({said})")
    return outcome, said, where


@pytest.fixture(scope="module")
def starved(place):
    """A folder of its own: these commands read copies of what they read."""
    folder = place / "starved"
    folder.mkdir()
    (folder / "made").symlink_to(place / "made")
    return folder


OF_THE_MACHINE = ("too few files", "too little memory")
"""How many files and how much memory a process begins with differs from machine to machine: the campaign has these."""


@pytest.mark.faults
@pytest.mark.parametrize("fault", [fault for fault in starve.FAULTS if fault not in OF_THE_MACHINE])
def test_a_starved_command_says_so_and_goes_on_to_the_same(fault, starved, victims):
    found = where_mounted(lambda: starve.attempt(victims, fault, "embed", starved, random.Random(f"{fault} 0")))
    assert came(found)[0] in ("right", "refused"), found


@pytest.mark.faults
@pytest.mark.parametrize("seed", range(2))
def test_a_machine_that_goes_off_loses_nothing_that_counts(seed, place, victims):
    whole = kill.undisturbed(victims, "embed", place)
    found = where_mounted(lambda: power.attempt(victims, "embed", place, random.Random(seed), whole))
    assert came(found)[0] in ("right", "ended before"), found
