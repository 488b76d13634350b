"""What becomes of one file or command line that is fed to the package: read, refused in a sentence, or a finding."""

from __future__ import annotations

import contextlib
import os
import re
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dhauds_jax import errors
from dhauds_jax.files import one_line

READ, REFUSED = "read", "refused"
FINE = (READ, REFUSED)
"""What may come out. What may not is a word of `outcomes.WRONG`."""
SLOW_S = 5.0
"""A try that takes longer (seconds of the processor: the machine may be busy) hangs; one that waits is `feeding`'s."""
MEMORY_MB = 256
"""What a try may add to the memory of the process, at its peak; the files that are fed have less than 2 MB."""
LONGEST = 4_000
"""Characters of a sentence."""


class Verdict(NamedTuple):
    """What became of a try.

    Attributes:
      outcome: "read", "refused", or what went wrong: "crash", "unclear", "grew", "hang", "left_over".
      said: the sentence, or what was raised and where.
    """

    outcome: str
    said: str = ""


class Target(NamedTuple):
    """Something that is fed.

    Attributes:
      prepare: folder of its own -> what `attempt` needs: sound files to begin with.
      attempt: (what was prepared, folder of its own, generator) damages a file, reads it, and returns nothing; a file
        that is refused raises. It is a generator function where it writes first: what lies there when it yields is
        compared with what lies there after a refusal.
      memory_mb: what a try may add to the memory.
    """

    prepare: Callable[[Path], Any]
    attempt: Callable[[Any, Path, np.random.Generator], Any]
    memory_mb: int = MEMORY_MB


def judged(target: Target, prepared: Any, place: Path, rng: np.random.Generator, slow_s: float = SLOW_S) -> Verdict:
    """One try; it hangs after `slow_s` of the processor."""
    before = resident_mb()
    begin = time.process_time()
    written: set[str] = set()
    try:
        with _peak() as peak:
            step = target.attempt(prepared, place, rng)
            if step is not None:  # a generator: what it has written so far is the try's own
                next(step)
                written = _below(place)
                begin = time.process_time()
                for _ in step:
                    pass
        verdict = Verdict(READ)
    except Exception as error:
        verdict = of_error(error)
        if verdict.outcome == REFUSED and written and (new := sorted(_below(place) - written)):
            verdict = Verdict("left_over", f"{new[:3]} after: {verdict.said}")
    seconds = time.process_time() - begin
    grown = peak() - before
    if verdict.outcome in FINE and grown > target.memory_mb:
        verdict = Verdict("grew", f"{grown:.0f} MB ({verdict.said})")
    if verdict.outcome in FINE and seconds > slow_s:
        verdict = Verdict("hang", f"{seconds:.1f} s ({verdict.said})")
    return verdict


def of_error(error: Exception) -> Verdict:
    """Whether an error is a refusal: one sentence that a command would print."""
    said = errors.sentence(error)
    if said is None:
        frames = traceback.extract_tb(error.__traceback__)[-4:]
        way = " < ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in reversed(frames))
        return Verdict("crash", f"{type(error).__name__}: {str(error)[:200]} at {way}")
    if isinstance(error, MemoryError):
        return Verdict("crash", f"MemoryError: {said}")
    if not said.strip() or len(said) > LONGEST:
        return Verdict("unclear", f"{len(said)} characters: {said[:200]}")
    one_line(said).encode("utf-8", "replace")
    return Verdict(REFUSED, said[:200])


def kind_of(said: str) -> str:
    """What was said without its names and numbers, so that equal refusals are counted as one."""
    return re.sub(r"\d+|'[^']*'|\"[^\"]*\"|/\S+|--\S+=\S*", "_", said)[:80]


def resident_mb() -> float:
    """Memory of this process that lies in the machine's."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


@contextlib.contextmanager
def _peak() -> Iterator[Callable[[], float]]:
    """The most that this process has had since the block began (MB), where the system tells it."""
    with contextlib.suppress(OSError), open("/proc/self/clear_refs", "w") as file:
        file.write("5")
    yield peak_mb


def peak_mb() -> float:
    """The most memory of this process since it began, or since it was last asked to forget it."""
    with open("/proc/self/status") as file:
        found = next(line for line in file if line.startswith("VmHWM"))
    return int(found.split()[1]) * 1024 / 1e6


def _below(place: Path) -> set[str]:
    """All that lies below a folder, and its sizes."""
    return {f"{path.relative_to(place)} {path.lstat().st_size}" for path in place.rglob("*")}
