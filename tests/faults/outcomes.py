"""What came of every try: a line of JSON each in RECORDS/CAMPAIGN.jsonl, and what was run in lines between them."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

from dhauds_jax.workdir import provenance

ROOT = Path(__file__).resolve().parents[2]

WRONG = frozenset(
    {
        "crash",  # it ended by a traceback or a signal that nobody sent
        "hang",  # it did not end in its time
        "differs",  # it ended, and what it wrote is not what an undisturbed run writes
        "left_over",  # it ended, and something half-written or temporary lies there
        "accepted",  # what had to be refused was not
        "unclear",  # it was refused without a sentence that says what to do
        "grew",  # memory, handles or files without bound
        "escaped",  # something was run, or written outside of its place
        "survived",  # a mutant that no test sees
        "failed",  # a test or a command that had to pass
    }
)
"""Words for what may not come out; any other word is right ("right", "refused", "read", "killed", "not run", ...)."""


class Outcome(NamedTuple):
    """One try.

    Attributes:
      campaign: its name in `campaigns.CAMPAIGNS`.
      case: what was tried, a few words: rows of the tables are by it.
      seed: of the try; with the case it says all that was drawn.
      outcome: a word; those of `WRONG` count as defects.
      said: the sentence or the error that it ended with, or what differs.
      seconds: it took.
      where: what else is worth keeping (the moment, the signal, the file): JSON.
    """

    campaign: str
    case: str
    seed: int
    outcome: str
    said: str = ""
    seconds: float = 0.0
    where: dict[str, Any] = {}  # noqa: RUF012  (never written to)

    @property
    def key(self) -> str:
        """What is not run twice."""
        return key_of(self.case, self.seed)

    @property
    def wrong(self) -> bool:
        """Whether it is a defect."""
        return self.outcome in WRONG


def key_of(case: str, seed: int) -> str:
    """The key of a try within its campaign."""
    return f"{case} #{seed}"


class Recorded(NamedTuple):
    """A campaign's file.

    Attributes:
      runs: what was run and when (`begin`), in order.
      tries: the last outcome of each try, by key.
    """

    runs: list[dict[str, Any]]
    tries: dict[str, Outcome]


def tried(campaign: str, case: str, seed: int, attempt: Callable[[], tuple[str, str, dict[str, Any]]]) -> Outcome:
    """One try with the seconds it took; `attempt` gives its outcome, what is to be said of it, and `where`."""
    began = time.perf_counter()
    outcome, said, where = attempt()
    return Outcome(campaign, case, seed, outcome, said, round(time.perf_counter() - began, 2), where)


def where_mounted(attempt: Callable[[], tuple[str, str, dict[str, Any]]]) -> tuple[str, str, dict[str, Any]]:
    """An attempt that mounts a file system of its own; "not run", with what the machine said, where it may not."""
    try:
        return attempt()
    except OSError as error:
        return "not run", str(error), {}


def begin(records: Path, campaign: str, **asked: Any) -> None:
    """Notes before the tries of one run what code and versions they are of, and what was asked for."""
    code = {"git_revision": provenance.git_revision(), "versions": provenance.versions()}
    _append(records, campaign, {"run": campaign, "date": time.strftime("%Y-%m-%d %H:%M"), **code, **asked})


def add(records: Path, outcome: Outcome) -> None:
    """Notes a try."""
    _append(records, outcome.campaign, outcome._asdict())


def _append(records: Path, campaign: str, line: dict[str, Any]) -> None:
    records.mkdir(parents=True, exist_ok=True)
    with path_of(records, campaign).open("a+b") as file:
        file.seek(max(0, file.tell() - 1))
        torn = file.read() not in (b"", b"\n")  # of a campaign that was killed
        file.write(b"\n" * torn + placeless(json.dumps(line)).encode() + b"\n")


def placeless(text: str) -> str:
    """A text without the folders of this machine: records are read on others."""
    found = {str(ROOT): ".", sys.prefix: "PYTHON", sys.base_prefix: "PYTHON", tempfile.gettempdir(): "TMP"}
    found |= {"/dev/shm": "TMP", os.path.expanduser("~"): "HOME"}
    for place in sorted(found, key=len, reverse=True):
        text = text.replace(place, found[place]) if len(place) > 1 else text
    return text


def path_of(records: Path, campaign: str) -> Path:
    """A campaign's file."""
    return records / f"{campaign}.jsonl"


def read(records: Path, campaign: str) -> Recorded:
    """A campaign's file; empty where there is none. A line that a killed run left half-written is no try."""
    found = Recorded([], {})
    path = path_of(records, campaign)
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        try:
            entry = json.loads(line)
        except json.JSONDecodeError:
            continue
        if "run" in entry:
            found.runs.append(entry)
        else:
            outcome = Outcome(**entry)
            found.tries[outcome.key] = outcome
    return found


def finished(tries: Iterable[Outcome], again: bool = False) -> set[str]:
    """Keys that need not be run; with `again` those that came out wrong are not among them."""
    return {one.key for one in tries if not (again and one.wrong)}
