"""Whose an exception is that is nobody's input: ours, or that of a user's own plug-in."""

from __future__ import annotations

import importlib.metadata
import platform
import re
import sys
import sysconfig
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from dhauds_jax import __version__

_ROOT = Path(__file__).resolve().parents[2]
_OURS = tuple(_ROOT / name for name in ("dhauds_jax", "experiments", "converters", "tests", "benchmarks"))
_LIBRARIES = tuple(Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "platstdlib"))
_INSTALLED = ("site-packages", "dist-packages")
_PLUG_IN = re.compile(r"(?:^|[=,'\" ])([A-Za-z_][\w.]*):[A-Za-z_]\w*")


class Place(NamedTuple):
    """A frame that an exception passed: whose code ("ours", "theirs" or "library"), file, line and function."""

    whose: str
    file: str
    line: int
    function: str


def report(error: BaseException, command: str) -> str:
    """The line below a traceback: in which file of the user's own it came up, or else what to report to us.

    Args:
      error: the exception.
      command: the command line.
    """
    plug_ins = [module for module in dict.fromkeys(_PLUG_IN.findall(command)) if module in sys.modules]
    places = [place for place in _places(error, plug_ins) if place.whose != "library"]
    theirs = [place for place in places if place.whose == "theirs"]
    run = f"{_versions()}, command: {command}"
    if theirs:
        inside = places[-1] == theirs[-1]
        how = "in" if inside else "in a call from"
        doubt = "" if inside else ", and if it is right, report this with the lines above"
        where = f"{theirs[-1].file}, line {theirs[-1].line}, in {theirs[-1].function}"
        return (
            f"the exception came up {how} code that is not of dhauds_jax: {where}; look for the mistake there{doubt} "
            f"({run})"
        )
    doubt = f"; it runs {', '.join(plug_ins)}, which is not of dhauds_jax: look there first" if plug_ins else ""
    return f"this is a bug, please report it with the lines above: {run}{doubt}"


def _versions() -> str:
    try:
        jax = f", jax {importlib.metadata.version('jax')}"
    except importlib.metadata.PackageNotFoundError:
        jax = ""
    return f"dhauds_jax {__version__}{jax}, Python {platform.python_version()}"


def _places(error: BaseException, plug_ins: Sequence[str]) -> Iterator[Place]:
    """The frames that the exception passed, then those of what it came from; the innermost last."""
    tops = {module.partition(".")[0] for module in plug_ins}  # a plug-in may be installed beside the libraries
    for frame, line in traceback.walk_tb(error.__traceback__):
        named = str(frame.f_globals.get("__name__", "")).partition(".")[0] in tops
        file = frame.f_code.co_filename
        yield Place(_whose(file, named), file, line, frame.f_code.co_name)
    if isinstance(error, SyntaxError) and error.filename:
        yield Place(_whose(error.filename, False), error.filename, error.lineno or 0, "its text")
    if error.__cause__ is not None:
        yield from _places(error.__cause__, plug_ins)


def _whose(file: str, named: bool) -> str:
    path = Path(file)
    if not path.is_file():  # <string>, <frozen runpy>
        return "library"
    path = path.resolve()
    if any(path.is_relative_to(place) for place in _OURS):
        return "ours"
    installed = any(part in _INSTALLED for part in path.parts)
    if not named and (installed or any(path.is_relative_to(place) for place in _LIBRARIES)):
        return "library"
    return "theirs"
