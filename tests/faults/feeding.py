"""Campaigns that feed: thousands of tries a case in a process of its own, which is watched and replaced.

A line of the record is a block of tries (`Block.count`), named by its first one: `where` counts them by outcome, says
how often each sentence came, and lists those that came out wrong by their numbers. `python -m tests.faults.feeding
MODULE CASE NUMBER` gives one of them again, with its whole traceback.
"""

from __future__ import annotations

import contextlib
import faulthandler
import importlib
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Container, Iterator, Sequence
from pathlib import Path
from typing import Any

from tests.faults import mutations, trying
from tests.faults.outcomes import Outcome, key_of

ROOT = Path(__file__).resolve().parents[2]
WATCHED_S, WAITED_S = 10.0, 120.0
"""A try that took that much of the processor, or has not come back for that long (seconds), is killed; 5 s of the
processor are a finding already."""
START_S = 600.0
"""A child may take that long to import what it reads with and to make its files."""
MEMORY = 6 << 30
"""Bytes of address space that a child may have beside what it has when it begins."""
NAMED = 8
"""Wrong tries that a line of the record names."""


def run(
    campaign: str,
    module: str,
    cases: Sequence[str],
    block: int,
    asked: tuple[int, int, Path, Callable[[Outcome], None], Container[str]],
) -> None:
    """Runs a campaign of cases, block by block; those that were noted are left out.

    Args:
      campaign: its name.
      module: where `TARGETS` has each case's `trying.Target`.
      cases: their names.
      block: tries in one line.
      asked: what a campaign is called with: (tries of a case, seed, place, tell, done).
    """
    tries, seed, place, tell, done = asked
    for case in cases:
        firsts = [seed + first for first in range(0, tries, block) if key_of(case, seed + first) not in done]
        skipped: dict[int, dict[str, Any]] = {}
        while firsts:
            for line in _child(module, case, block, firsts, skipped, place):
                lost = [one for number, one in sorted(skipped.items()) if 0 <= number - line["first"] < block]
                tell(_outcome(campaign, case, line, lost))
                firsts.remove(line["first"])


def _outcome(campaign: str, case: str, line: dict[str, Any], lost: list[dict[str, Any]]) -> Outcome:
    """A block as an outcome: right, or the first thing that came out wrong."""
    wrong = [*line["wrong"], *lost]
    counts = Counter(line["counts"])
    counts.update(one["outcome"] for one in lost)
    where = {"tries": sum(counts.values()), "counts": dict(counts), "kinds": line["kinds"], "peak_mb": line["peak_mb"]}
    if wrong:
        where["wrong"] = wrong[:NAMED]
    word, said = (wrong[0]["outcome"], f"#{wrong[0]['number']}: {wrong[0]['said']}") if wrong else ("right", "")
    return Outcome(campaign, case, line["first"], word, said, line["seconds"], where)


def _child(
    module: str, case: str, block: int, firsts: list[int], skipped: dict[int, dict[str, Any]], place: Path
) -> Iterator[dict[str, Any]]:
    """The lines of a child that works through blocks; one try that ends it is noted in `skipped`, and it ends."""
    place.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place) as folder, open(Path(folder) / "said", "w+b") as errors:
        at = Path(folder) / "at"
        at.write_text("-1")
        words = [module, case, "--blocks", json.dumps([block, firsts, sorted(skipped), folder])]
        child = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.feeding", *words],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=errors,
            env={**os.environ, "JAX_PLATFORMS": "cpu", "TF_CPP_MIN_LOG_LEVEL": "3"},
        )
        hung = _watch(child, at)
        with child.stdout:
            for text in child.stdout:
                yield json.loads(text)
        code = child.wait()
        if code == 0:
            return
        errors.seek(0)
        tail = errors.read().decode("utf-8", "replace")[-600:]
        number = int(at.read_text() or -1)
        if number < 0:
            raise RuntimeError(f"{module} {case}: ended with {code} before the first try: {tail}")
        word, said = "crash", f"ended with {code}: {tail}"
        if hung:
            word, said = "hang", f"over {WATCHED_S:g} s of the processor, or {WAITED_S:g} s in all"
        skipped[number] = {"number": number, "outcome": word, "said": said}


def _watch(child: subprocess.Popen, at: Path) -> list[int]:
    """Watches in a thread that the number in a file changes; kills the child, and fills the list, where it does not."""
    import threading

    killed: list[int] = []

    def watch() -> None:
        last, since, used = "-1", time.monotonic(), 0.0
        while child.poll() is None:
            time.sleep(0.5)
            with contextlib.suppress(OSError, IndexError):
                found, now = at.read_text(), _seconds_of(child.pid)
                if found != last:
                    last, since, used = found, time.monotonic(), now
                waited = time.monotonic() - since
                if waited > START_S if last == "-1" else waited > WAITED_S or now - used > WATCHED_S:
                    killed.append(1)
                    child.kill()
                    return

    threading.Thread(target=watch, daemon=True).start()
    return killed


def _seconds_of(process: int) -> float:
    """Seconds of the processor that a process has had."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def work(module: str, case: str, block: int, firsts: list[int], skipped: Container[int], folder: Path) -> None:
    """What the child does: a line on standard output a block."""
    target = importlib.import_module(module).TARGETS[case]
    prepared = target.prepare(_fresh(folder / "sound"))
    limit = _address_space() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    out = os.dup(1)
    os.dup2(2, 1)  # what a library prints is no line of ours
    number_file = os.open(folder / "at", os.O_WRONLY)
    for first in firsts:
        counts: Counter[str] = Counter()
        kinds: Counter[str] = Counter()
        wrong: list[dict[str, Any]] = []
        begin = time.perf_counter()
        for number in range(first, first + block):
            if number in skipped:
                continue
            os.pwrite(number_file, f"{number:<12}".encode(), 0)
            place = _fresh(folder / "try")
            verdict = trying.judged(target, prepared, place, mutations.draws(0, case, number))
            counts[verdict.outcome] += 1
            kinds[trying.kind_of(verdict.said)] += verdict.outcome == trying.REFUSED
            if verdict.outcome not in trying.FINE:
                wrong.append({"number": number, "outcome": verdict.outcome, "said": verdict.said[:300]})
        line = {
            "first": first,
            "counts": dict(counts),
            "kinds": len([kind for kind, times in kinds.items() if times]),
            "wrong": wrong,
            "peak_mb": round(trying.resident_mb()),
            "seconds": round(time.perf_counter() - begin, 2),
        }
        os.write(out, (json.dumps(line) + "\n").encode())


def _fresh(folder: Path) -> Path:
    """An empty folder, the same one every time where it is empty still."""
    if folder.exists() and any(folder.iterdir()):
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _address_space() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")


def table(tries: Sequence[Outcome]) -> str:
    """The table of such a campaign: tries by outcome, kinds of sentences, the most memory of a process."""
    from tests.faults import page

    words = sorted(
        {word for one in tries for word in one.where["counts"]}, key=lambda word: (word not in trying.FINE, word)
    )
    rows = []
    for case in sorted({one.case for one in tries}):
        mine = [one for one in tries if one.case == case]
        counts = sum((Counter(one.where["counts"]) for one in mine), Counter())
        seconds = sum(one.seconds for one in mine)
        peak = max(one.where["peak_mb"] for one in mine)
        rows.append([case, sum(counts.values()), *(counts[word] for word in words), round(seconds), peak])
    return page.table(["fed", "tries", *words, "seconds", "MB of the process"], rows)


def once(module: str, case: str, number: int) -> None:
    """One try again, with its traceback, its files left where they are."""
    target = importlib.import_module(module).TARGETS[case]
    folder = Path(tempfile.mkdtemp())
    print(folder)
    prepared = target.prepare(_fresh(folder / "sound"))
    step = target.attempt(prepared, _fresh(folder / "try"), mutations.draws(0, case, number))
    for _ in step or ():
        pass
    print("read")


if __name__ == "__main__":
    faulthandler.enable()
    if sys.argv[3] == "--blocks":
        block, firsts, skipped, folder = json.loads(sys.argv[4])
        work(sys.argv[1], sys.argv[2], block, firsts, set(skipped), Path(folder))
    else:
        once(sys.argv[1], sys.argv[2], int(sys.argv[3]))
