#!/usr/bin/env python3
"""Lowers one package at a time until the tests fail, and tries other Pythons and what is not installed.

Example: python -m benchmarks.versions --packages=jax,flax,optax,orbax-checkpoint,numpy
A lower release (the last of each minor one, newest first) is put before the installed one on the import path, nothing
else changes, and the tests of `--subset` run; the first that fails ends the descent. `--whole` runs the whole quick set
for the lowest release that passed the subset. What the installed packages ask of the lowered one is noted beside: pip
refuses what passes only against it. `--rows=without` hides TensorFlow and PyTorch, `--rows=plugins` puts JAX's
plug-ins of CUDA on the path of a machine without a GPU, `--pythons=3.12` installs `.[test]` for another interpreter
(minutes; one that is not there is noted as not run). A line a row in `--output`; rows that are there are not run again.
`--report` puts the table on docs/versions.md.
"""

from __future__ import annotations

import argparse
import functools
import importlib.metadata as metadata
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.version import Version

from benchmarks import pages
from dhauds_jax import files

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("jax", "flax", "optax", "orbax-checkpoint", "numpy")
TOGETHER = {"jax": ("jaxlib",)}
"""What has the same version number and goes with a package."""
SUBSET = (
    "tests/tta/test_losses.py", "tests/tta/test_sgd.py", "tests/nets/test_checkpoint.py", "tests/workdir/test_saver.py",
    "tests/cells/test_programs.py", "tests/dsp/test_stft.py",
)  # fmt: skip
"""Each of the lowered packages is used by some of these: optimisers, networks, checkpoints, compiled steps, draws."""
QUICK = "not slow and not as_shipped"
HIDDEN = ("tensorflow", "tensorflow_datasets", "torch", "torchaudio")
PLUGINS = ("jax-cuda12-plugin", "jax-cuda12-pjrt")
_HIDING = """
from importlib.machinery import PathFinder
_found = PathFinder.find_spec
PathFinder.find_spec = classmethod(
    lambda cls, name, path=None, target=None: (
        None if name.partition(".")[0] in {names!r} else _found(name, path, target)
    )
)
"""


class Campaign:
    """Runs tests with something else on the import path and writes a line a row."""

    def __init__(self, args: argparse.Namespace):
        self.args, self.rows = args, {row["row"]: row for row in read(args.output)}

    def note(self, row: str, **found: Any) -> dict[str, Any]:
        command = " ".join(["python -m benchmarks.versions", *(word for word in sys.argv[1:] if "output" not in word)])
        self.rows[row] = {"row": row, "python": platform.python_version(), **found, "command": command}
        files.write_atomically(self.args.output, "".join(json.dumps(row) + "\n" for row in self.rows.values()))
        print(row, found["outcome"], found.get("why", ""), flush=True)
        return self.rows[row]

    def run(self, row: str, path: Path | None, tests: Sequence[str], **more: Any) -> dict[str, Any]:
        """The row of tests with a folder before the others on the import path; taken from the output if it is there."""
        if row in self.rows:
            return self.rows[row]
        found = run_tests(self.args.python, path, tests, self.args)
        return self.note(row, tests=" ".join(tests) or "whole quick set", **more, **found)

    def descend(self, package: str) -> None:
        """Lowers a package until the subset fails, then runs the whole quick set for the last that passed."""
        passed = None
        for version in lower_ones(package, self.args.steps):
            row = f"{package} {version}"
            asked = asked_of(package, version)
            place = self.args.cache / f"{package}-{version}"
            if row not in self.rows and not overlay(place, [f"{name}=={version}" for name in _with(package)]):
                self.note(row, tests="", outcome="not run", why="pip installs no wheel of it", asked=asked)
                continue
            found = self.run(row, place, self.args.subset, asked=asked)
            if found["outcome"] != "passed":
                break
            passed = place, row
        if passed and self.args.whole:
            self.run(f"{passed[1]}, whole", passed[0], (), asked="")

    def interpreter(self, version: str) -> None:
        """Installs `.[test]` for another Python and runs the subset, or the whole quick set with `--whole`."""
        row, found = f"Python {version}", shutil.which(f"python{version}")
        works = found and subprocess.run([found, "--version"], capture_output=True).returncode == 0
        if row in self.rows and self.rows[row]["outcome"] != "not run":
            return
        if not works:
            self.note(row, outcome="not run", why="no such interpreter on this machine", tests="")
            return
        place = self.args.cache / f"python-{version}"
        python = str(place / "bin" / "python")
        if not (place / "installed").is_file():
            shutil.rmtree(place, ignore_errors=True)
            subprocess.run([found, "-m", "venv", str(place)], check=True)
            words = [python, "-m", "pip", "install", "-q", "--disable-pip-version-check", "-e", ".[test]"]
            done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
            if done.returncode:
                self.note(row, outcome="failed", why=f"pip: {done.stderr.strip().splitlines()[-1]}", tests="")
                return
            (place / "installed").touch()
        tests = () if self.args.whole else self.args.subset
        self.note(row, tests=" ".join(tests) or "whole quick set", **run_tests(python, None, tests, self.args))


def run_tests(python: str, path: Path | None, tests: Sequence[str], args: argparse.Namespace) -> dict[str, Any]:
    """Passed or failed, counts, the first error's last line, seconds."""
    env = {**os.environ, "JAX_PLATFORMS": "cpu", "JAX_COMPILATION_CACHE_DIR": str(args.cache / "programs")}
    env["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.1"  # rows that share a JAX share what they compile
    if path is not None:
        env["PYTHONPATH"] = os.pathsep.join([str(path), *filter(None, [os.environ.get("PYTHONPATH")])])
    workers = ["-n", "0"] if tests else ["-n", "2"]
    words = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", QUICK, *workers, *tests]
    begun = time.perf_counter()
    child = subprocess.Popen(
        words, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    try:
        out, _ = child.communicate(timeout=args.limit_s)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        out, _ = child.communicate()
    counts = {word: int(count) for count, word in re.findall(r"(\d+) (passed|failed|skipped|error)s?\b", out[-400:])}
    passed = child.returncode == 0
    why = {} if passed else {"why": _reason(out)}
    return {"outcome": "passed" if passed else "failed", **why, **counts, "seconds": round(time.perf_counter() - begun)}


def _reason(out: str) -> str:
    """The first error that pytest names."""
    named = re.findall(r"^E\s{2,}(\S.*(?:Error|Warning|error).*)$", out, re.MULTILINE) or re.findall(
        r"^(\w[\w.]*(?:Error|Warning):.*)$", out, re.MULTILINE
    )
    lines = [line for line in out.splitlines() if line.strip()]
    return (named or lines[-1:] or ["nothing said"])[0][:200]


def _with(package: str) -> tuple[str, ...]:
    return (package, *TOGETHER.get(package, ()))


def lower_ones(package: str, steps: int) -> Iterator[str]:
    """The last release of each minor one below the installed, newest first; below a first patch also its own."""
    words = [sys.executable, "-m", "pip", "index", "versions", package, "--disable-pip-version-check"]
    said = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    (listed,) = re.findall(r"^Available versions: (.*)$", said, re.MULTILINE)
    have, last = Version(metadata.version(package)), None
    lower = sorted((v for v in map(Version, listed.split(", ")) if v < have and not v.is_prerelease), reverse=True)
    for version in lower:
        if version.release[:2] != last:
            last = version.release[:2]
            yield str(version)
            steps -= 1
        if not steps:
            return


def overlay(place: Path, wanted: Iterable[str]) -> bool:
    """Installs packages alone, without what they ask for, into a folder; whether pip found them."""
    if (place / "installed").is_file():
        return True
    shutil.rmtree(place, ignore_errors=True)
    words = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--only-binary=:all:", f"--target={place}"]
    if subprocess.run([*words, "--disable-pip-version-check", *wanted], capture_output=True).returncode:
        return False
    (place / "installed").touch()
    return True


@functools.cache
def _requirements() -> list[tuple[str, Requirement]]:
    found = []
    for one in metadata.distributions():
        if one.metadata["Name"] != "dhauds_jax":
            found += [(one.metadata["Name"], Requirement(line)) for line in one.requires or ()]
    return [(name, asked) for name, asked in found if asked.marker is None or asked.marker.evaluate({"extra": ""})]


def asked_of(package: str, version: str) -> str:
    """What installed packages ask of this one and this version is not."""
    asked = [
        f"{name} asks for {asked.name}{asked.specifier}"
        for name, asked in _requirements()
        if asked.name.lower() in _with(package) and name not in _with(package) and not asked.specifier.contains(version)
    ]
    return "; ".join(sorted(set(asked)))


def read(output: Path) -> list[dict[str, Any]]:
    """The rows of earlier calls."""
    return [json.loads(line) for line in output.read_text("utf-8").splitlines()] if output.is_file() else []


def table(rows: Iterable[dict[str, Any]]) -> str:
    """A row each: what was lowered, what ran, what came of it and why."""
    lines = ["| with | Python | tests | outcome | why | who asks for more |", "|---|---|---|---|---|---|"]
    for row in rows:
        count = ", ".join(f"{row[word]} {word}" for word in ("passed", "failed", "error", "skipped") if word in row)
        tests = row["tests"] if row["tests"] in ("", "whole quick set") else "subset"
        cells = (row["row"], row["python"], tests, f"{row['outcome']}{f' ({count})' if count else ''}")
        shown = [*cells, f"`{row['why']}`" if row.get("why") else "", row.get("asked", "")]
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in shown) + " |")
    return "\n".join(lines)


def without(campaign: Campaign) -> None:
    """Hides packages that are no dependencies: no import finds them."""
    place = campaign.args.cache / "without"
    place.mkdir(parents=True, exist_ok=True)
    (place / "sitecustomize.py").write_text(_HIDING.format(names=set(HIDDEN)))
    campaign.run(f"without {', '.join(HIDDEN)}", place, () if campaign.args.whole else campaign.args.subset)


def plugins(campaign: Campaign) -> None:
    """JAX's CUDA plug-ins, without CUDA's libraries, beside a CPU."""
    place, version = campaign.args.cache / "plugins", metadata.version("jax")
    row = f"{' and '.join(PLUGINS)} {version}"
    if overlay(place, [f"{name}=={version}" for name in PLUGINS]):
        campaign.run(row, place, () if campaign.args.whole else campaign.args.subset)
    else:
        campaign.note(row, outcome="not run", why="pip installs no wheel of it", tests="")


def as_it_is(campaign: Campaign) -> None:
    """The installed versions, which are the bounds of pyproject.toml or above."""
    named = ", ".join(f"{name} {metadata.version(name)}" for name in PACKAGES)
    campaign.run(f"as installed: {named}", None, () if campaign.args.whole else campaign.args.subset)


ROWS: dict[str, Callable[[Campaign], None]] = {"installed": as_it_is, "without": without, "plugins": plugins}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    listed = lambda text: tuple(filter(None, text.split(",")))  # noqa: E731
    parser.add_argument("--packages", type=listed, default=PACKAGES, help="which to lower, commas between")
    parser.add_argument("--rows", type=listed, default=tuple(ROWS), help=f"others, of {', '.join(ROWS)}")
    parser.add_argument("--pythons", type=listed, default=(), help="other interpreters, such as 3.12,3.13")
    parser.add_argument("--subset", type=lambda text: tuple(text.split()), default=SUBSET, help="test files")
    parser.add_argument("--whole", action="store_true", help="the whole quick set at the border and for other rows")
    parser.add_argument("--steps", type=int, default=6, help="lower releases of a package at the most")
    parser.add_argument("--limit_s", type=float, default=3600.0, help="seconds that one run of tests may take")
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--cache", type=Path, default=Path("out/versions"), help="where packages are installed")
    parser.add_argument("--output", type=Path, default=Path("docs/records/faults/versions.jsonl"))
    parser.add_argument("--report", nargs="?", const=ROOT / "docs/versions.md", type=Path, help="page; nothing is run")
    args = parser.parse_args()
    args.cache, args.output = args.cache.absolute(), args.output.absolute()
    if args.report:
        pages.fill(args.report, "versions", table(read(args.output)))
        return
    args.output.parent.mkdir(parents=True, exist_ok=True)
    campaign = Campaign(args)
    for name in args.rows:
        ROWS[name](campaign)
    for package in args.packages:
        campaign.descend(package)
    for version in args.pythons:
        campaign.interpreter(version)


if __name__ == "__main__":
    main()
