"""Campaign feed_flags: command lines of drawn flags and values, parsed and checked until the work would begin.

A case is a command, in a process of its own, since flags are the process's. What would begin the work (compiling,
reading clips, writing, other processes, the network) raises `Begun` instead. Paths are drawn in the try's own folder.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import pkgutil
import sys
from collections.abc import Callable, Container, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tests.faults import feeding, mutations
from tests.faults.mutations import one_of
from tests.faults.outcomes import Outcome
from tests.faults.trying import Target

TRIES, BLOCK = 360, 40

COMMANDS = (
    *("adapt", "ask", "audioset", "benchmark", "check_data", "classify", "corrupt", "crossval", "elect", "embed"),
    *("evaluate", "export", "incremental", "leaderboard", "learn", "listen", "load", "pretrain", "quickstart"),
    *("report", "serve", "soundscapes", "study", "sweep", "train", "tune", "zeroshot", "convert"),
)

KNOWN = {
    "dataset": ("synthetic", "synthetic", "home_sounds", "folder", "esc50", "synthetic+synthetic", "nosuch"),
    "checkpoint": ("words15", "words15", "out", "file.txt"),
    "net": ("amaut_tiny", "hubert_tiny", "words15", "nosuch"),
    "method": ("source", "tent", "dhauds,tent", "norm", "nosuch"),
    "corruption": ("WHN", "ENQ,TST", "clean", "SCN:running_tap@10dB", "UNI:0.005", "nosuch"),
    "level": ("L1", "L2", "L1,L2", "L9"),
    "protocol": ("offline", "online", "episodic", "nosuch"),
    "options": ("lr=0.1", "lr=x", "nosuch=1", "lr=", "lr"),
    "family": ("hubert", "clap", "vggish", "nosuch"),
    "recipes": ("dhauds", "synthetic", "file.txt", "table.csv"),
    "embeddings": ("folder", "file.txt", "nosuch"),
    "learner": ("ncm", "fetril", "nosuch"),
    "url": ("http://127.0.0.1:1", "nosuch", "http://[", "file:///etc"),
    "host": ("127.0.0.1", "nosuch.invalid", "::1"),
    "coordinator": ("127.0.0.1:1", "nosuch", ":"),
}
"""Words that go further than drawn ones."""

_PATHS = ("out", "folder", "file.txt", "nosuch/deep", "table.csv", "link", "x" * 300, "a b", "$x$", "é", "file.txt/x")
_PATHLIKE = ("dir", "workdir", "output", "file", "truth", "subset", "config", "source", "text", "class_names", "fill")


class Begun(BaseException):
    """The work would begin."""


class Command(NamedTuple):
    """A command whose flags are defined in this process, and the names of these."""

    main: Callable[[], str]
    flags: Any
    names: tuple[str, ...]


def prepared(name: str, folder: Path) -> Command:
    """Imports a command and all that it may import, then takes the work out of it."""
    from absl import flags

    module = importlib.import_module("converters.convert" if name == "convert" else f"experiments.{name}")
    importlib.import_module("dhauds_jax.command.app")
    for package in ("dhauds_jax", "converters"):
        for found in pkgutil.walk_packages(importlib.import_module(package).__path__, f"{package}."):
            if not found.name.endswith((".convert", ".__main__")):  # whose flags are another command's
                with contextlib.suppress(ImportError):
                    importlib.import_module(found.name)
    _without_work()
    sys.argv = [f"experiments/{name}.py"]
    own = flags.FLAGS.flags_by_module_dict()
    names = [flag.name for key, defined in own.items() if not key.startswith("absl") for flag in defined]
    return Command(module.main, flags.FLAGS, tuple(sorted({*names, "list", "help", "version"} & set(flags.FLAGS))))


def _begun(*_: Any, **__: Any) -> Any:
    raise Begun


def _without_work() -> None:
    """Puts `_begun` in place of what computes, reads clips, writes, starts processes or asks the network."""
    import asyncio
    import socket
    import subprocess
    import urllib.request

    import jax

    from dhauds_jax import files
    from dhauds_jax.data import clip_source, loading
    from dhauds_jax.data.pipeline import open_split
    from dhauds_jax.workdir import records
    from dhauds_jax.workdir.saver import Saver

    jax.jit = jax.eval_shape = jax.distributed.initialize = _begun
    asyncio.run = socket.create_connection = subprocess.run = subprocess.Popen = urllib.request.urlopen = _begun
    Saver.save = Saver.load = _begun
    taken = (files.write_atomically, files.put_in_place, records.append)
    taken += (loading.load_split, clip_source.open_clips, open_split)
    for module in [module for name, module in sys.modules.items() if name.startswith(("dhauds_jax", "converters"))]:
        for attribute, value in list(vars(module).items()):
            if any(value is one for one in taken):
                setattr(module, attribute, _begun)


def drawn(command: Command, rng: np.random.Generator) -> list[str]:
    """The words of a command line."""
    words = []
    required = [name for name in command.names if command.flags[name].validators and rng.random() < 0.97]
    count, hostile = int(rng.integers(0, 7)), one_of(rng, (0.0, 0.1, 0.4))
    some = [one_of(rng, command.names) for _ in range(count)]
    for name in dict.fromkeys([*required, *some]):
        flag = command.flags[name]
        value = _value(rng, name, flag, likely=rng.random() >= hostile)
        spelled = name if rng.random() < 0.97 else name[: max(1, len(name) // 2)]
        if flag.boolean and rng.random() < 0.7:
            words.append(one_of(rng, (f"--{spelled}", f"--no{spelled}")))
        else:
            words += [f"--{spelled}={value}"] if rng.random() < 0.95 else [f"--{spelled}", value]
    if rng.random() < 0.05:
        words.append(one_of(rng, ("stray", "-x", "--", "--nosuch=1", "--undefok=a", "--flagfile=nosuch", "é")))
    order = rng.permutation(len(words))
    return [word for word in (words[i] for i in order) if _can_be_given(word)]


def _can_be_given(word: str) -> bool:
    """Whether a system hands a word to a program."""
    try:
        return b"\0" not in os.fsencode(word)
    except UnicodeEncodeError:
        return False


def _value(rng: np.random.Generator, name: str, flag: Any, likely: bool) -> str:
    """A value: one that may be right, or one that nobody expects."""
    if likely:
        if name in KNOWN:
            return one_of(rng, KNOWN[name])
        if flag.default is not None and rng.random() < 0.3:
            return str(flag.default_as_str).strip("'")
        choices = getattr(flag.parser, "enum_values", None)
        if choices:
            return one_of(rng, choices)
        if any(part in name for part in _PATHLIKE):
            return one_of(rng, _PATHS)
        kind = flag.flag_type()
        if kind == "int":
            return one_of(rng, ("0", "1", "2", "7", "-1", "100"))
        if kind == "float":
            return one_of(rng, ("0", "0.5", "1", "1e-3", "-1", "10"))
    text = one_of(rng, mutations.HOSTILE)
    return text if not text.startswith(("/", "~")) and ".." not in text else one_of(rng, _PATHS)


def attempt(command: Command, place: Path, rng: np.random.Generator) -> Iterator[None]:
    """Parses a command line and calls the command's main, up to its work."""
    from dhauds_jax.command import app

    (place / "folder").mkdir()
    (place / "file.txt").write_text("a text\n")
    (place / "table.csv").write_text("file,label\na.wav,dog\n")
    (place / "link").symlink_to("folder")
    words = drawn(command, rng)
    before, sys.argv = os.getcwd(), [sys.argv[0], *words]
    os.chdir(place)
    try:
        yield
        for name in command.flags:
            command.flags[name].unparse()
        command.flags.unparse_flags()
        said = io.StringIO()
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
            try:
                app._help_or_parse(list(sys.argv))
                command.main()
            except Begun:
                return
            except SystemExit as end:
                _check_end(end.code, said.getvalue())
            except Exception as error:
                error.add_note(repr(words))
                raise
    finally:
        os.chdir(before)


def _check_end(code: Any, said: str) -> None:
    """Raises what a command that ended itself amounts to: `BadInput` for a refusal."""
    from dhauds_jax.errors import BadInput

    lines = [line for line in said.splitlines() if not line.startswith(("device:", "W0", "I0"))]
    if code == app_code() and len([line for line in lines if line.startswith("error: ")]) != 1:
        raise RuntimeError(f"no one sentence: {said[:300]!r}")
    if code not in (None, 0):
        raise BadInput(f"{code}: {said[:200]}")


def app_code() -> int:
    """The exit code for bad input."""
    from dhauds_jax.command import app

    return app.BAD_INPUT


TARGETS = {name: Target(partial(prepared, name), attempt, memory_mb=512) for name in COMMANDS}


def run(tries: int, seed: int, place: Path, tell: Callable[[Outcome], None], done: Container[str]) -> None:
    """The campaign (see `campaigns`)."""
    feeding.run("feed_flags", __name__, list(TARGETS), BLOCK, (tries, seed, place, tell, done))


tables = feeding.table
