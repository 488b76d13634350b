"""Crowd: two and four processes at once in one work folder, on one cache of programs, on one folder of prepared clips.

Right is that each ends well, or, in one work folder, says in a sentence that another one works there; and that what is
there in the end is what one process alone writes.
"""

from __future__ import annotations

import contextlib
import random
import shutil
import time
from collections.abc import Callable, Container
from functools import partial
from pathlib import Path
from typing import Any

from tests.faults import commands, compared, kill, starve
from tests.faults.commands import COMMANDS
from tests.faults.outcomes import Outcome, key_of, tried
from tests.faults.victims import Ended, Victims

TRIES = 5
COUNTS = (2, 4)
CASES = {
    "one work folder: adapt": ("adapt", "folder"),
    "one work folder: train": ("train", "folder"),
    "one work folder: corrupt": ("corrupt", "folder"),
    "one work folder: embed": ("embed", "folder"),
    "one work folder: evaluate": ("evaluate", "folder"),
    "one cache folder: adapt": ("adapt", "cache"),
    "one prepared folder: train": ("train", "prepared"),
    "one prepared folder: check_data": ("check_data", "folder"),
}
"""What is shared: the command, and "folder", "cache" (of compiled programs) or "prepared" (TFRecords)."""


def attempt(
    several: list[Victims], case: str, place: Path, rng: random.Random, whole: kill.Whole
) -> tuple[str, str, dict[str, Any]]:
    """One try of as many processes as there are: the outcome, what is to be said of it, how they ended."""
    name, shared = CASES[case]
    command, work = COMMANDS[name], place / name
    shutil.rmtree(work, ignore_errors=True)
    waits, line = [], command.line(place / commands.MADE, work / "out")
    for number, victims in enumerate(several):
        words = line if shared == "folder" else command.line(place / commands.MADE, work / f"out{number}")
        words = [*words, f"--cache_dir={work}/prepared"] if shared == "prepared" else words
        cache = {"XDG_CACHE_HOME": str(work / "cache")} if shared == "cache" else {}
        victims.begin(command.module, words, work, environment=cache, limit_s=600)
        waits.append(round(rng.uniform(0, 0.1) * (number > 0), 3))
        time.sleep(waits[-1])
    ended = [victims.end() for victims in several]
    where: dict[str, Any] = {"codes": [one.code for one in ended], "waits": waits}
    wrong = [one for one in ended if not fits(one, shared)]
    if wrong:
        return ("hang" if wrong[0].hung else "crash"), kill.last_line(wrong[0]), {**where, "err": wrong[0].err[-1500:]}
    if all(one.code for one in ended):  # each saw another one: allowed, nobody has written
        where["all"] = "refused"
    if shared == "folder":
        last = several[0].run(command.module, line, work)
        if last.code or last.hung:
            return "hang" if last.hung else "failed", kill.last_line(last), {**where, "err": last.err[-1500:]}
        differing = compared.differences(whole.wrote, compared.snapshot(work, command.free))
    else:
        expected = {
            name.removeprefix("out/"): text
            for name, text in whole.wrote.items()
            if name.startswith("out/") and name != "out/"
        }
        differing = []
        for number in range(len(several)):
            out = work / f"out{number}"
            found = {
                name: text.replace(str(out), str(work / "out"))
                for name, text in compared.snapshot(out, command.free).items()
            }
            differing += compared.differences(expected, found)
        differing += [f"{path.name} besides" for path in work.rglob("*.tmp-*")]
    return *compared.worded(differing), where


def fits(ended: Ended, shared: str) -> bool:
    """Whether one of several may end so."""
    if ended.code == 0:
        return "Traceback" not in ended.err
    busy = "another command is running here" in ended.err
    return shared == "folder" and busy and starve.how_it_ended(ended) == "refused"


def run(
    tries: int,
    seed: int,
    place: Path,
    tell: Callable[[Outcome], None],
    done: Container[str],
    names: tuple[str, ...] = tuple(CASES),
) -> None:
    """The campaign; see tests/faults/campaigns.py."""
    commands.made(place / commands.MADE)
    shared = {"XDG_CACHE_HOME": str(place / "cache")}
    with contextlib.ExitStack() as stack:
        every = [stack.enter_context(Victims(place / f"process{number}", shared)) for number in range(max(COUNTS))]
        for case in names:
            for count in COUNTS:
                title = f"{count} on {case}"
                left = [number for number in range(seed, seed + tries) if key_of(title, number) not in done]
                whole = kill.undisturbed(every[0], CASES[case][0], place) if left else None
                for number in left:
                    rng = random.Random(f"{title} {number}")
                    tell(tried("crowd", title, number, partial(attempt, every[:count], case, place, rng, whole)))
