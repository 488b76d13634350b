"""Starve: disks that fill or are read-only, folders and inputs that go, too few files, too little memory, odd clocks.

Right is a command that ends well, or with one sentence and the code of bad input, and leaves nothing half-written: the
same command, given again when all is well, ends with what an undisturbed run wrote.
"""

from __future__ import annotations

import contextlib
import json
import random
import shutil
import socket
import subprocess
from collections.abc import Callable, Container, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from dhauds_jax.workdir import provenance
from tests.faults import commands, compared, happening, kill
from tests.faults.commands import COMMANDS
from tests.faults.outcomes import Outcome, key_of, tried, where_mounted
from tests.faults.victims import Ended, Victims

TRIES = 5
"""Of each fault with each command."""
NAMES = ("train", "adapt", "sweep", "corrupt", "embed", "classify")
BAD_INPUT = 2
LONGEST_S = 300.0
ABORTED = (-6, -11)
"""What the C++ of libraries does without memory: nothing of ours is asked (docs/reliability.md says so)."""


class Try(NamedTuple):
    """What one try works on.

    Attributes:
      victims: forks the command.
      place: of the campaign.
      work: of the command: `work/made` is its own copy of what it reads, `work/out` what it writes.
      line: its words.
      module: what `python -m` runs.
      rng: draws.
      whole: its undisturbed run.
    """

    victims: Victims
    place: Path
    work: Path
    line: list[str]
    module: str
    rng: random.Random
    whole: kill.Whole

    def run(self, **how: Any) -> Ended:
        """The command, with a fault or without."""
        return self.victims.run(self.module, self.line, self.work, limit_s=LONGEST_S, **how)

    def moment(self, *events: str) -> dict[str, Any]:
        """One of the events that there are, drawn."""
        kinds = [event for event in events if self.whole.counts.get(event)]
        event = self.rng.choice(kinds)
        return {"event": event, "number": self.rng.randrange(self.whole.counts[event])}


@contextlib.contextmanager
def tmpfs(folder: Path, megabytes: int = 128) -> Iterator[None]:
    """A file system of its own at a folder; `OSError` where this machine mounts none."""
    folder.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "none", folder], capture_output=True)
    if done.returncode:
        raise OSError(done.stderr.decode().strip())
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def disk_full(one: Try) -> tuple[Ended, dict]:
    """The disk fills, but for some bytes, before one of the files is made, renamed or removed."""
    fault = {"kind": "full", "disk": str(one.work / "out"), "left": one.rng.choice((0, 0, 4096, 20_000, 100_000))}
    how = one.moment("open", "open", "rename", "mkdir", "write")
    with tmpfs(one.work / "out"):
        ended = one.run(fault=fault, **how)
        (one.work / "out" / happening.FILLER).unlink(missing_ok=True)
        shutil.copytree(one.work / "out", one.work / "kept", dirs_exist_ok=True, symlinks=True)
    shutil.rmtree(one.work / "out", ignore_errors=True)
    (one.work / "kept").rename(one.work / "out")
    return ended, {**fault, **how}


def read_only(one: Try) -> tuple[Ended, dict]:
    """The output cannot be written to."""
    with tmpfs(one.work / "out"):
        subprocess.run(["mount", "-o", "remount,ro", one.work / "out"], check=True)
        ended = one.run()
    return ended, {}


def _moved(one: Try, instead: str) -> tuple[Ended, dict]:
    fault = {"kind": "removed", "path": str(one.work / "out"), "instead": instead}
    how = one.moment("open", "rename", "mkdir", "write")
    ended = one.run(fault=fault, **how)
    for left in one.work.glob("out.moved-*"):
        shutil.rmtree(left)
    return ended, how


def output_removed(one: Try) -> tuple[Ended, dict]:
    """Somebody moves the output folder away."""
    return _moved(one, "nothing")


def output_replaced(one: Try) -> tuple[Ended, dict]:
    """Somebody moves the output folder away and makes an empty one in its place."""
    return _moved(one, "folder")


def inputs_change(one: Try) -> tuple[Ended, dict]:
    """A recording, a table or a checkpoint vanishes, is cut in half or becomes rubbish while the command runs."""
    named = {word.partition("=")[2].split(",")[0] for word in one.line if "/made/" in word}
    roots = sorted(Path(name) for name in named)
    files = [path for root in roots for path in ([root] if root.is_file() else sorted(root.rglob("*")))]
    path = one.rng.choice([path for path in files if path.is_file()])
    fault = {"kind": "removed", "path": str(path), "instead": one.rng.choice(("nothing", "half", "rubbish"))}
    how = one.moment("read", "open", "mkdir", "compile")
    ended = one.run(fault=fault, **how)
    renew(one)
    return ended, {**fault, **how}


def too_few_files(one: Try) -> tuple[Ended, dict]:
    """Only some files may be open at once."""
    limit = one.rng.choice((10, 12, 14, 16, 18, 20, 24, 32))
    return one.run(fault={"kind": "limit", "what": "NOFILE", "value": limit}), {"limit": limit}


def too_little_memory(one: Try) -> tuple[Ended, dict]:
    """80 % of the virtual memory that an undisturbed run takes."""
    share = one.rng.uniform(0.75, 0.85)
    value = int(one.whole.peak_kb * 1024 * share)
    return one.run(fault={"kind": "limit", "what": "AS", "value": value}), {"share": round(share, 3)}


def slow_storage(one: Try) -> tuple[Ended, dict]:
    """Every file takes a while to open, to rename and to remove."""
    seconds = one.rng.choice((0.01, 0.03))
    return one.run(fault={"kind": "slow", "watched": str(one.work), "seconds": seconds}), {"seconds": seconds}


def odd_clock(one: Try) -> tuple[Ended, dict]:
    """The clock is set forth and back by up to a day, again and again."""
    return one.run(fault={"kind": "clock", "seed": one.rng.randrange(1000)}), {}


def stale_lock(one: Try) -> tuple[Ended, dict]:
    """The lock of a process that is gone, of another boot, half-written, or empty."""
    gone = subprocess.Popen(["true"])
    gone.wait()
    holder = {"host": socket.gethostname(), "pid": gone.pid, "since": "2026-01-01", "start": "another boot:1"}
    text = json.dumps({**holder, "pid": one.rng.choice((gone.pid, 1))})
    cut = one.rng.choice((len(text), len(text), one.rng.randrange(len(text)), 0))
    (one.work / "out").mkdir(parents=True)
    (one.work / "out" / "run.lock").write_text(text[:cut])
    return one.run(), {"lock": text[:cut]}


FAULTS: dict[str, Callable[[Try], tuple[Ended, dict]]] = {
    "disk full": disk_full,
    "read-only output": read_only,
    "output removed": output_removed,
    "output replaced": output_replaced,
    "inputs change": inputs_change,
    "too few files": too_few_files,
    "too little memory": too_little_memory,
    "slow storage": slow_storage,
    "odd clock": odd_clock,
    "stale lock": stale_lock,
}


def renew(one: Try) -> None:
    """The command's inputs as they were."""
    shutil.rmtree(one.work / commands.MADE, ignore_errors=True)
    shutil.copytree(one.place / commands.MADE, one.work / commands.MADE)


def how_it_ended(ended: Ended) -> str:
    """A word: "right" for well, "refused" for one sentence, or what is wrong."""
    if ended.hung:
        return "hang"
    if ended.code == 0:
        return "crash" if "Traceback" in ended.err else "right"
    errors = [line for line in ended.err.splitlines() if line.startswith(("error: ", "stopped: "))]
    # A sweep says it of each row.
    rows = "stopped on bad input" in ended.out
    if ended.code == BAD_INPUT and (len(errors) == 1 or rows) and "Traceback" not in ended.err:
        return "refused"
    return "crash"


def attempt(victims: Victims, fault: str, name: str, place: Path, rng: random.Random) -> tuple[str, str, dict]:
    """One try: the outcome, what is to be said of it, and what was drawn."""
    command, work = COMMANDS[name], place / name
    line = command.line(work / commands.MADE, work / "out")
    one = Try(victims, place, work, line, command.module, rng, undisturbed(victims, name, place))
    shutil.rmtree(work / "out", ignore_errors=True)
    ended, where = FAULTS[fault](one)
    outcome, said = how_it_ended(ended), kill.last_line(ended)
    if fault == "too little memory" and ended.code in ABORTED:
        outcome, said = "aborted", f"code {ended.code}"
    if outcome in ("hang", "crash"):
        return outcome, said, {**where, "err": ended.err[-1500:]}
    left = [str(path.relative_to(work)) for path in work.rglob("*.tmp*") if path.name not in command.goes_on]
    finished = ended.code == 0
    ended = one.run()
    if fault == "inputs change" and finished and how_it_ended(ended) == "refused":
        return (
            "right",
            "finished with what there was then; of what there is now it is said that it is other data",
            where,
        )
    if ended.code or ended.hung:
        return "hang" if ended.hung else "failed", kill.last_line(ended), {**where, "err": ended.err[-1500:]}
    word, differing = compared.verdict(one.whole.wrote, compared.snapshot(work / "out"))
    if word != "right":
        return word, differing, where
    return ("left_over" if left else outcome), "; ".join(left) if left else said, where


def undisturbed(victims: Victims, name: str, place: Path) -> kill.Whole:
    """The undisturbed run on the command's own copy of what it reads, made once."""
    about, work, command = place / f"{name}-{provenance.git_revision()}.json", place / name, COMMANDS[name]
    if not about.exists() or not (work / commands.MADE / "all").exists():
        shutil.rmtree(work, ignore_errors=True)
        shutil.copytree(place / commands.MADE, work / commands.MADE)
        for _ in range(2):
            shutil.rmtree(work / "out", ignore_errors=True)
            ended = victims.run(command.module, command.line(work / commands.MADE, work / "out"), work)
            if ended.code:
                raise RuntimeError(f"{name} ended with {ended.code}: {ended.err[-2000:]}")
        wrote = compared.snapshot(work / "out")
        about.write_text(json.dumps(kill.Whole(ended.seconds, ended.counts, ended.peak_kb, wrote)._asdict()))
    return kill.Whole(**json.loads(about.read_text()))


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
    asked = [(fault, name, number) for number in range(seed, seed + tries) for name in names for fault in FAULTS]
    with Victims(place) as victims:
        for fault, name, number in asked:
            case = f"{fault}, {name}"
            if key_of(case, number) in done:
                continue
            one = partial(attempt, victims, fault, name, place, random.Random(f"{case} {number}"))
            tell(tried("starve", case, number, partial(where_mounted, one)))
