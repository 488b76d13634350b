"""Runs a command by its name, from any folder: `dhauds NAME ...` is `python -m experiments.NAME ...`.

Without a name it lists the commands. The current folder is searched for modules too, behind the installed packages, so
that `--method=my_package.my_module:factory` finds the user's own code; a folder `experiments/` of theirs hides nothing.
"""

from __future__ import annotations

import ast
import importlib
import os
import runpy
import sys
from pathlib import Path

from dhauds_jax import __version__, registry

FOLDER = Path(__file__).resolve().parent
BAD_NAME = 2
"""Exit code for a command that there is not."""


def commands() -> dict[str, Path]:
    """Name -> file of every command."""
    mains = sorted(path for path in FOLDER.glob("*.py") if not path.stem.startswith("_"))
    return {**{path.stem: path for path in mains}, "convert": FOLDER.parent / "converters" / "convert.py"}


def listing() -> str:
    """Every command with the first sentence of its docstring; nothing is imported."""
    width = max(map(len, commands()))
    lines = [f"  {name:{width}}  {_first_sentence(path)}" for name, path in commands().items()]
    return "\n".join(["usage: dhauds NAME --flag=value ... (dhauds NAME --help lists the flags)", "", *lines])


def _first_sentence(path: Path) -> str:
    said = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return " ".join(said.partition("\n\n")[0].split())


def main() -> int:
    """Runs the command that the first word names; returns the exit code where it does not end the process itself."""
    words = sys.argv[1:]
    if not words or words[0] in ("help", "-h", "-help", "--help", "--list"):
        print(listing())
        return 0
    if words[0] in ("--version", "-version", "-V", "version"):
        print(f"dhauds_jax {__version__}")
        return 0
    name, known = words[0], commands()
    if name not in known:
        print(
            f"error: {registry.unknown('command', name, known).partition(' (')[0]}; dhauds lists all", file=sys.stderr
        )
        return BAD_NAME
    importlib.import_module("converters")  # ours, before the current folder may hold others of these names
    if os.getcwd() not in sys.path and "" not in sys.path:
        sys.path.append(os.getcwd())
    module = "converters.convert" if name == "convert" else f"experiments.{name}"
    del sys.argv[1]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
