"""Kill: a command is killed at a drawn moment, given again until it ends, and must have written the same.

The moments are spread over what happens: the event (tests/faults/victim.py) is drawn first, then which of these and how
long after it, or a moment of the whole time; the signal is one of three. A third of the tries are killed again while
they go on.
"""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable, Container, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from dhauds_jax.workdir import provenance
from tests.faults import commands, compared
from tests.faults.commands import COMMANDS
from tests.faults.outcomes import Outcome, key_of, tried
from tests.faults.victim import EVENTS
from tests.faults.victims import Ended, Victims

TRIES = 20
"""Of each command; five times as many of the four main ones."""
SIGNALS = ("SIGKILL", "SIGTERM", "SIGINT")
STOPPED = 130
"""Exit code of a command that Ctrl-C ended (dhauds_jax/command/app.py)."""


class Moment(NamedTuple):
    """When a command is killed: before the `number`-th `event` or `delay` s after, or after `after_s`; and by what."""

    signal: str
    event: str
    number: int
    delay: float
    after_s: float

    @property
    def fault(self) -> dict[str, Any]:
        """For tests/faults/happening.py."""
        return {"kind": "signal", "signal": self.signal, "delay": self.delay}


class Whole(NamedTuple):
    """An undisturbed run: seconds, events, largest virtual memory (kB), and what it wrote."""

    seconds: float
    counts: dict[str, int]
    peak_kb: int
    wrote: dict[str, str]


def undisturbed(victims: Victims, name: str, place: Path) -> Whole:
    """The undisturbed run of a command, made once; its programs are in the cache then, and a second run is measured."""
    about = place / f"{name}-{provenance.git_revision()}.json"  # records say which code wrote them
    if not about.exists():
        command, work = COMMANDS[name], place / name
        for _ in range(2):
            shutil.rmtree(work, ignore_errors=True)
            ended = victims.run(command.module, command.line(place / commands.MADE, work / "out"), work)
            if ended.code:
                raise RuntimeError(f"{name} ended with {ended.code}: {ended.err[-2000:]}")
        wrote = compared.snapshot(work, command.free)
        about.write_text(json.dumps(Whole(ended.seconds, ended.counts, ended.peak_kb, wrote)._asdict()))
    return Whole(**json.loads(about.read_text()))


def drawn(rng: random.Random, whole: Whole) -> Moment:
    """A moment: of one of the events that there are, or of the time."""
    signal = rng.choice(SIGNALS)
    kinds = [event for event in EVENTS if whole.counts.get(event)]
    kind = rng.choice([*kinds, "time"])
    if kind == "time":
        return Moment(signal, "", 0, 0.0, rng.uniform(0.0, whole.seconds))
    delay = rng.choice((0.0, 0.0, rng.uniform(0, 0.002), rng.uniform(0, 0.02)))
    return Moment(signal, kind, rng.randrange(whole.counts[kind]), delay, 0.0)


def ended_badly(ended: Ended, signal: str) -> str:
    """What is wrong with how a killed command ended: "" for nothing."""
    if ended.hung:
        return "hang"
    if signal == "SIGINT" and ended.err.rstrip().endswith("KeyboardInterrupt") and "in guarded" not in ended.err:
        return ""  # before dhauds_jax.command.app has begun: Python's own words
    known = {0: "", -2: "SIGINT", -9: "SIGKILL", -15: "SIGTERM", STOPPED: "SIGINT"}
    if known.get(ended.code) not in ("", signal):
        return "crash"
    if ended.code == STOPPED and "stopped by the user" not in ended.err + ended.out:
        return "unclear"
    if (
        signal == "SIGINT"
        and not ended.code
        and "Exception ignored in" in ended.err
        and "KeyboardInterrupt" in ended.err
    ):
        return ""  # it came in a callback of Python's, which lets no exception out: the command never saw it
    return "crash" if "Traceback" in ended.err else ""


def attempt(victims: Victims, name: str, place: Path, rng: random.Random, whole: Whole) -> tuple[str, str, dict]:
    """One try: the outcome, what is to be said of it, and its moments."""
    command, work = COMMANDS[name], place / name
    shutil.rmtree(work, ignore_errors=True)
    line, killed, moments = command.line(place / commands.MADE, work / "out"), 0, []
    for _ in range(1 + (rng.random() < 1 / 3)):
        moment = drawn(rng, whole)
        cold = {"XDG_CACHE_HOME": str(work / "cache")} if moment.event == "compile" and rng.random() < 0.25 else {}
        ended = victims.run(
            command.module,
            line,
            work,
            event=moment.event,
            number=moment.number,
            fault=moment.fault,
            after_s=moment.after_s,
            environment=cold,
        )
        moments.append({**moment._asdict(), "code": ended.code})
        wrong = ended_badly(ended, moment.signal)
        if wrong:
            return wrong, last_line(ended), {"moments": moments, "err": ended.err[-1500:]}
        killed += ended.code != 0
        shutil.rmtree(work / "cache", ignore_errors=True)
    ended = victims.run(command.module, line, work)
    if ended.code or ended.hung:
        return "hang" if ended.hung else "failed", last_line(ended), {"moments": moments, "err": ended.err[-1500:]}
    word, said = compared.verdict(whole.wrote, compared.snapshot(work, command.free))
    return "ended before" if word == "right" and not killed else word, said, {"moments": moments}


def last_line(ended: Ended) -> str:
    """The last line of stderr with the code."""
    lines = [line for line in ended.err.splitlines() if line.strip()]
    return f"code {ended.code}: {lines[-1] if lines else ''}"


def numbers(name: str, tries: int, seed: int) -> Iterator[int]:
    """Seeds of a command's tries."""
    yield from range(seed, seed + tries * (5 if COMMANDS[name].main else 1))


def run(
    tries: int,
    seed: int,
    place: Path,
    tell: Callable[[Outcome], None],
    done: Container[str],
    names: tuple[str, ...] = tuple(COMMANDS),
) -> None:
    """The campaign; see tests/faults/campaigns.py."""
    commands.made(place / commands.MADE)
    with Victims(place) as victims:
        for name in names:
            left = [number for number in numbers(name, tries, seed) if key_of(name, number) not in done]
            whole = undisturbed(victims, name, place) if left else None
            for number in left:
                rng = random.Random(f"{name} {number}")
                tell(tried("kill", name, number, partial(attempt, victims, name, place, rng, whole)))
