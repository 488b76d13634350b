"""What sentences, help texts and pages tell a user to type is there: commands, and flags of that very command."""

import ast
import functools
import importlib
import re
from pathlib import Path

import pytest
from absl.flags import FlagValues

from dhauds_jax.command.flags import flags_of
from experiments.__main__ import commands

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("dhauds_jax", "experiments", "converters")
FILES = sorted(file for package in PACKAGES for file in (ROOT / package).rglob("*.py"))
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]

OF_ALL = {"help", "helpfull", "version", "compilation_cache", "verbosity", "flagfile"}
"""Flags that absl or the runner gives every command."""

OF_OTHERS = {
    "dhauds_jax/benchmark/clap.py": {"lengths", "threads"},  # of benchmarks/torch_clap.py
    "dhauds_jax/benchmark/pytorch.py": {"compile", "threads"},  # of benchmarks/torch_adaptation.py
    "dhauds_jax/command/app.py": {"install", "name"},  # of wsl, and a name for any
    "experiments/__main__.py": {"flag"},  # any
    "experiments/serve.py": {"data"},  # --data-binary of curl
    "dhauds_jax/serve/decode.py": {"data"},  # likewise
    "dhauds_jax/model/onnx.py": {"no"},  # --no-deps of pip
    "dhauds_jax/data/soundfont.py": {"no"},  # likewise
    "dhauds_jax/runs/requests/export.py": {"no"},  # likewise
    "dhauds_jax/train/epoch_log.py": {"logdir"},  # of tensorboard
    "dhauds_jax/zeroshot/reference.py": {"mode", "modality", "temperature"},  # of the published script
    "dhauds_jax/zeroshot/scorers/subtract.py": {"temperature"},  # likewise
    "dhauds_jax/workdir/provenance.py": {"error", "short", "porcelain"},  # of git
}
"""File -> flags in its strings that are not ours."""

FLAG = re.compile(r"(?<![\w-])--(?:no)?(?=[a-z])([a-z][a-z0-9_]*)")


@functools.cache
def flags_by_command():
    """Command -> its flags; of a main the records that it hands to `flags_of`, and what it defines itself."""
    found = {}
    for name, file in commands().items():
        tree, values = ast.parse(file.read_text(encoding="utf-8")), FlagValues()
        origins = {
            alias.name: node.module
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
        }
        own = set()
        for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
            called = getattr(call.func, "attr", "")
            if called == "flags_of":
                records = [getattr(importlib.import_module(origins[arg.id]), arg.id) for arg in call.args]
                flags_of(*records, values=values)
            elif called.startswith("DEFINE_"):
                own.add(call.args[0].value)
        found[name] = own | set(values)
    return found


@functools.cache
def texts(file):
    """The strings of a file, docstrings among them; what an f-string puts in is left out."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]


def named_flags(text):
    """Flags without their dashes; one whose name begins with "no" may be the negation of another."""
    return {re.sub("^--", "", match[0]) for match in FLAG.finditer(text)}


def is_known(flag, known):
    return flag in known or flag.removeprefix("no") in known


def test_every_flag_that_a_sentence_names_exists():
    known = set().union(OF_ALL, *flags_by_command().values())
    absent = {}
    for file in FILES:
        name = file.relative_to(ROOT).as_posix()
        flags = {flag for text in texts(file) for flag in named_flags(text) if not is_known(flag, known)}
        if flags - OF_OTHERS.get(name, set()):
            absent[name] = flags
    assert absent == {}


def test_every_command_that_a_sentence_names_exists():
    modules = {f"experiments.{name}" for name in commands()} - {"experiments.convert"}
    modules |= {"converters.convert", "experiments.NAME"}
    for file in FILES:
        for text in texts(file):
            named = set(re.findall(r"(?:python -m |expected what |as )(experiments\.\w+|converters\.\w+)", text))
            assert named <= modules, file


def command_lines(text):
    """`(command, flags)` of every command line of ours in a text; a backslash goes on with the next line."""
    whole = re.sub(r"\\\s*\n\s*", " ", text)
    for match in re.finditer(r"(?:python -m (?:experiments|converters)\.|\bdhauds )(\w+)((?: +--[^\s`]*)+)", whole):
        yield match[1], named_flags(match[2])


@pytest.mark.parametrize("source", [*PAGES, *commands().values()], ids=lambda path: path.name)
def test_every_command_line_of_a_page_has_flags_of_its_command(source):
    text = source.read_text(encoding="utf-8")
    for command, flags in command_lines(text):
        assert command in flags_by_command(), command
        absent = {flag for flag in flags if not is_known(flag, flags_by_command()[command] | OF_ALL)}
        assert absent == set(), command


def test_what_is_not_there_is_seen():
    text = "give `--epohcs=3`, --nolist or --no_such; python -m experiments.adapt --dataset=a \\\n  --seeds=1 --x=a--b"
    assert named_flags(text) == {"epohcs", "nolist", "no_such", "dataset", "seeds", "x"}
    ((command, flags),) = command_lines(text)
    known = flags_by_command()
    assert {flag for flag in flags if not is_known(flag, known[command])} == {"seeds", "x"}
    assert known["classify"] >= {"audio_dir", "output", "list"} and known["convert"] >= {"family", "list"}
