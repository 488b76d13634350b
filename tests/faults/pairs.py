"""Two processes that are one run: either is killed, the other one then too, and both are given again."""

from __future__ import annotations

import random
import shutil
import time
from collections.abc import Callable, Container
from functools import partial
from pathlib import Path

from tests import children
from tests.faults import commands, compared, kill
from tests.faults.commands import COMMANDS, Command
from tests.faults.outcomes import Outcome, key_of, tried
from tests.faults.victims import Ended, Victims

TRIES = 20
NAMES = ("train", "adapt")
WHO = ("first", "second", "both")
GRACE_S = 3.0
"""For the other process to notice; whoever started both ends it then, as a batch system does."""


def begun(
    pair: tuple[Victims, Victims], command: Command, line: list[str], work: Path, who: str, **how: object
) -> None:
    """Starts both; the fault is of one of them, or of both."""
    words = [*line, f"--coordinator={children.address()}", "--num_processes=2", "--parallel=mesh"]
    for number, victims in enumerate(pair):
        mine = how if who in ("both", WHO[number]) else {}
        victims.begin(command.module, [*words, f"--process_id={number}"], work, limit_s=900, **mine)


def ended(pair: tuple[Victims, Victims], killed: bool) -> list[Ended]:
    """Waits for both; where one was killed the other is ended after a while."""
    if killed:
        deadline = None
        while not all(one.has_ended() for one in pair):
            if deadline is None and any(one.has_ended() for one in pair):
                deadline = time.monotonic() + GRACE_S
            if deadline is not None and time.monotonic() > deadline:
                for one in pair:
                    one.end_it()
                break
            time.sleep(0.05)
    return [one.end() for one in pair]


def attempt(pair: tuple[Victims, Victims], name: str, place: Path, rng: random.Random, whole: kill.Whole | None):
    """One try, or the undisturbed run where `whole` is None: the outcome, what is to be said of it, the moment."""
    command, work = COMMANDS[name], place / f"{name}2"
    shutil.rmtree(work, ignore_errors=True)
    line = command.line(place / commands.MADE, work / "out")
    where = {}
    if whole is not None:
        who = rng.choice(WHO)
        moment = kill.drawn(rng, whole) if who == "first" else kill.drawn(rng, whole._replace(counts={}))
        how = {"event": moment.event, "number": moment.number, "fault": moment.fault, "after_s": moment.after_s}
        begun(pair, command, line, work, who, **how)
        first = ended(pair, True)
        where = {"who": who, **moment._asdict(), "codes": [one.code for one in first]}
    begun(pair, command, line, work, "")
    last = ended(pair, False)
    if any(one.code or one.hung for one in last):
        bad = max(last, key=lambda one: abs(one.code))
        if whole is None:
            raise RuntimeError(f"{name} in two processes: {'too slow' if bad.hung else bad.err[-2000:]}")
        return (
            "hang" if any(one.hung for one in last) else "failed",
            kill.last_line(bad),
            {**where, "err": bad.err[-1500:]},
        )
    wrote = compared.snapshot(work, command.free)
    if whole is None:
        return kill.Whole(last[0].seconds, last[0].counts, last[0].peak_kb, wrote)
    return *compared.verdict(whole.wrote, wrote), where


def run(
    tries: int,
    seed: int,
    place: Path,
    tell: Callable[[Outcome], None],
    done: Container[str],
    names: tuple[str, ...] = NAMES,
) -> None:
    """The campaign; see tests/faults/campaigns.py."""
    commands.made(place / commands.MADE)
    shared = {"XDG_CACHE_HOME": str(place / "cache")}
    with Victims(place / "one", shared) as one, Victims(place / "two", shared) as two:
        for name in names:
            left = [number for number in range(seed, seed + tries) if key_of(name, number) not in done]
            whole = attempt((one, two), name, place, random.Random(0), None) if left else None
            for number in left:
                rng = random.Random(f"two {name} {number}")
                tell(tried("pairs", name, number, partial(attempt, (one, two), name, place, rng, whole)))
