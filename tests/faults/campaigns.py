"""The campaigns by name.

Each is a function `run(tries, seed, place, tell, done)`, which draws its tries from the seed, calls `tell(Outcome)`
after each and skips those whose `Outcome.key` is in `done`; `place` is a folder for whatever it writes, which may hold
what an earlier call left. Beside it the module has

* `TRIES`: how many tries a case has unless `--tries` says so;
* a parameter `names` of that function, if some of its cases can be run alone (`--only`);
* `tables(outcomes) -> str`, if its table is not the usual one (tries of each case by outcome).
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Container
from pathlib import Path
from types import ModuleType

from tests.faults.outcomes import Outcome

Campaign = Callable[[int, int, Path, Callable[[Outcome], None], Container[str]], None]
"""`run(tries, seed, place, tell, done)`."""

CAMPAIGNS = {
    "kill": "tests.faults.kill:run",
    "pairs": "tests.faults.pairs:run",
    "power": "tests.faults.power:run",
    "starve": "tests.faults.starve:run",
    "crowd": "tests.faults.crowds:run",
    "feed_audio": "tests.faults.feed_audio:run",
    "feed_checkpoints": "tests.faults.feed_checkpoints:run",
    "feed_tables": "tests.faults.feed_tables:run",
    "feed_flags": "tests.faults.feed_flags:run",
}


def module_of(name: str) -> ModuleType:
    """The module of a campaign."""
    return importlib.import_module(CAMPAIGNS[name].partition(":")[0])


def campaign(name: str) -> Campaign:
    """The function of a campaign."""
    return getattr(module_of(name), CAMPAIGNS[name].partition(":")[2])
