"""Power: the machine goes off while a command writes; what was not synced is lost.

The command writes on ext4 in a file (a loop device), mounted so that names reach the disk within a second and data
after half a minute, and without ext4's own cure for files that were renamed and not synced. At a drawn event the file
system is shut down as the power goes (the ioctl that xfstests uses), the process is killed, and the disk mounted anew.
The same command must then end with the same. Wants Linux and the right to mount.
"""

from __future__ import annotations

import contextlib
import random
import shutil
import subprocess
import time
from collections.abc import Callable, Container, Iterator
from functools import partial
from pathlib import Path

from tests.faults import commands, compared, kill
from tests.faults.commands import COMMANDS
from tests.faults.outcomes import Outcome, key_of, tried, where_mounted
from tests.faults.victims import Victims

TRIES = 20
NAMES = ("train", "adapt", "sweep", "corrupt", "classify", "embed", "crossval", "soundscapes", "learn", "tune")
LATER_S = 1.6
"""Between the event and the cut: names are on the disk by then."""


class Disk:
    """A small ext4 that can lose its power."""

    def __init__(self, image: Path, mounted: Path, megabytes: int = 256):
        """Makes it at `image`, empty."""
        self.image, self.mounted = image, mounted
        image.unlink(missing_ok=True)
        with image.open("wb") as file:
            file.truncate(megabytes * 2**20)
        _ran("mkfs.ext4", "-q", "-F", str(image))
        mounted.mkdir(parents=True, exist_ok=True)

    def mount(self) -> None:
        """Mounts it; what its log holds is done first."""
        _ran("mount", "-o", "loop,commit=1,noauto_da_alloc", str(self.image), str(self.mounted))

    def unmount(self) -> None:
        """Unmounts it, also when it has no power."""
        for _ in range(50):
            if not subprocess.run(["umount", str(self.mounted)], capture_output=True).returncode:
                return
            time.sleep(0.2)
        _ran("umount", "-l", str(self.mounted))


def _ran(*words: str) -> None:
    done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode:
        raise OSError(f"{' '.join(words)}: {done.stderr.strip()}")


@contextlib.contextmanager
def disk(place: Path, mounted: Path) -> Iterator[Disk]:
    """An empty disk, mounted while the block runs.

    Raises:
      OSError: this machine cannot, with what it said.
    """
    shutil.rmtree(mounted, ignore_errors=True)
    found = Disk(place / "disk.img", mounted)
    found.mount()
    try:
        yield found
    finally:
        found.unmount()
        found.image.unlink()


def attempt(victims: Victims, name: str, place: Path, rng: random.Random, whole: kill.Whole) -> tuple[str, str, dict]:
    """One try: the outcome, what is to be said of it, and its moment."""
    command, work = COMMANDS[name], place / name
    line = command.line(place / commands.MADE, work / "out")
    kinds = [event for event in ("open", "rename", "remove", "mkdir", "fsync") if whole.counts.get(event)]
    event = rng.choice(kinds)
    number = rng.randrange(whole.counts[event])
    wait = rng.choice((0.0, 0.05, LATER_S))
    where = {"event": event, "number": number, "wait": wait}
    with disk(place, work) as found:
        fault = {"kind": "power", "disk": str(work), "wait": wait}
        ended = victims.run(command.module, line, work, event=event, number=number, fault=fault)
        if ended.code != -9:
            return ("ended before" if not ended.code else "crash"), kill.last_line(ended), where
        found.unmount()
        found.mount()
        shutil.rmtree(work / "lost+found", ignore_errors=True)
        empty = [str(path.relative_to(work)) for path in work.rglob("*") if path.is_file() and not path.stat().st_size]
        where["empty"] = empty[:5]
        ended = victims.run(command.module, line, work)
        if ended.code or ended.hung:
            return "hang" if ended.hung else "failed", kill.last_line(ended), {**where, "err": ended.err[-1500:]}
        return *compared.verdict(whole.wrote, compared.snapshot(work, command.free, torn=True)), where


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
    with Victims(place) as victims:
        for name in names:
            left = [number for number in range(seed, seed + tries) if key_of(name, number) not in done]
            whole = kill.undisturbed(victims, name, place) if left else None
            for number in left:
                one = partial(attempt, victims, name, place, random.Random(f"power {name} {number}"), whole)
                tell(tried("power", name, number, partial(where_mounted, one)))
