"""Where the code that says the numbers can be changed by one operator, and which tests are its own.

cosmic-ray finds the places and makes the changes. Left out are those that say nothing of the tests: of annotations,
which nothing evaluates, of `jax.jit` above a function, which changes no value, bitwise operators for arithmetic ones,
which no float has, and `is` for `==`.
"""

from __future__ import annotations

import ast
import difflib
import hashlib
import random
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

TTA = ("losses", "multilabel_losses", "update", "sgd", "wrappers", "protocols", "vectorised_protocols")

TRANSMITTED = ("tests/data/test_transmissions.py", "tests/data/test_transmission_kinds.py")
OWN: Mapping[str, tuple[str, ...]] = {
    "dhauds_jax/cells/cell.py": ("tests/cells/test_running.py", "tests/cells/test_scoring.py"),
    "dhauds_jax/cells/checking.py": ("tests/cells/test_planned.py", "tests/cells/test_worklist.py"),
    "dhauds_jax/cells/loops.py": ("tests/cells/test_running.py", "tests/cells/test_scoring.py"),
    "dhauds_jax/cells/read_sets.py": ("tests/cells/test_targets.py", "tests/cells/test_worklist.py"),
    "dhauds_jax/cells/request.py": ("tests/cells/test_worklist.py", "tests/tta/test_sliding.py"),
    "dhauds_jax/cells/source.py": ("tests/cells/test_running.py", "tests/cells/test_planned.py"),
    "dhauds_jax/cells/subsets.py": ("tests/cells/test_worklist.py",),
    "dhauds_jax/cells/vectorised_loops.py": ("tests/runs/test_study.py",),
    "dhauds_jax/data/corruptions/applying.py": ("tests/data/test_corruptions.py", "tests/data/test_draws.py"),
    "dhauds_jax/data/corruptions/base.py": ("tests/data/test_draws.py", "tests/data/test_shifts.py"),
    "dhauds_jax/data/corruptions/clipping.py": TRANSMITTED,
    "dhauds_jax/data/corruptions/codec.py": TRANSMITTED,
    "dhauds_jax/data/corruptions/draws.py": ("tests/data/test_draws.py", "tests/data/test_pinned_draws.py"),
    "dhauds_jax/data/corruptions/lookup.py": ("tests/data/test_corruptions.py", "tests/data/test_transmissions.py"),
    "dhauds_jax/data/corruptions/microphone.py": TRANSMITTED,
    "dhauds_jax/data/corruptions/noise_folders.py": ("tests/data/test_noise.py", "tests/data/test_left_out.py"),
    "dhauds_jax/data/corruptions/packet_loss.py": TRANSMITTED,
    "dhauds_jax/data/corruptions/pitch.py": ("tests/data/test_pinned_draws.py", "tests/data/test_corruptions.py"),
    "dhauds_jax/data/corruptions/random_words.py": TRANSMITTED[:1],
    "dhauds_jax/data/corruptions/recorded.py": ("tests/data/test_shifts.py", "tests/data/test_own_noises.py"),
    "dhauds_jax/data/corruptions/replay.py": TRANSMITTED,
    "dhauds_jax/data/corruptions/rooms.py": TRANSMITTED,
    "dhauds_jax/data/corruptions/severity.py": TRANSMITTED,
    "dhauds_jax/data/corruptions/stretch.py": ("tests/data/test_stretching.py", "tests/data/test_corruptions.py"),
    "dhauds_jax/data/corruptions/telephone.py": TRANSMITTED,
    "dhauds_jax/data/corruptions/uniform.py": ("tests/data/test_shifts.py",),
    "dhauds_jax/data/corruptions/white_noise.py": ("tests/data/test_pinned_draws.py", "tests/data/test_shifts.py"),
    "dhauds_jax/dsp/spectra.py": ("tests/dsp/test_stft.py", "tests/dsp/test_rooms.py", TRANSMITTED[1]),
    "dhauds_jax/dsp/telephone.py": ("tests/dsp/test_telephone.py", *TRANSMITTED),
    "dhauds_jax/tta/protocols.py": ("tests/tta/test_streams.py", "tests/tta/test_sliding.py"),
    "dhauds_jax/tta/update.py": ("tests/nets/test_masks.py", "tests/tta/test_methods.py"),
    "dhauds_jax/tta/vectorised_protocols.py": ("tests/tta/test_vectorised.py",),
    "dhauds_jax/tta/wrappers.py": ("tests/tta/test_streams.py",),
}
"""The tests of those that have no test file of their name."""

ARITHMETIC = ("Add", "Sub", "Mul", "Div", "FloorDiv", "Mod", "Pow")
IDENTITY = ("Is", "IsNot")


@dataclass(frozen=True)
class Mutant:
    """One change: `occurrence` counts the places of `operator` in `file`; lines are as they stand, stripped."""

    file: str
    line: int
    operator: str
    occurrence: int
    before: str
    after: str

    @property
    def key(self) -> tuple[str, str, int, str, str]:
        return (self.file, self.operator, self.occurrence, self.before, self.after)

    def row(self) -> dict[str, Any]:
        return asdict(self)


def modules(root: Path) -> list[str]:
    """Files that are changed, relative to the repository."""
    found = [f"dhauds_jax/tta/{name}.py" for name in TTA] + ["dhauds_jax/metrics.py"]
    for room in ("dsp", "cells", "data/corruptions"):
        found += [
            str(file.relative_to(root)) for file in sorted((root / "dhauds_jax" / room).glob("*.py"))
            if file.name != "__init__.py"
        ]  # fmt: skip
    return found


def own_tests(module: str) -> tuple[str, ...]:
    """The test files of a module: those of `OWN`, else the one of its name in the same room of `tests/`."""
    if module in OWN:
        return OWN[module]
    place = Path(module.replace("dhauds_jax/data/corruptions", "dhauds_jax/data"))
    return (str(Path("tests", *place.parts[1:-1], f"test_{place.name}")),)


def digest(root: Path) -> str:
    """Sixteen hex digits of all that is changed: a sample is of these sources."""
    found = hashlib.sha256()
    for name in modules(root):
        found.update(name.encode() + (root / name).read_bytes())
    return found.hexdigest()[:16]


def sample(root: Path, seed: int, count: int) -> list[Mutant]:
    """The first `count` places of a shuffle of all, and one change of each: any number is a uniform sample.

    Raises:
      ModuleNotFoundError: cosmic-ray is not installed.
    """
    draws = random.Random(seed)
    places: dict[tuple[str, Any], list[tuple[str, int]]] = {}
    for module in modules(root):
        for operator, occurrence, span in _changes(root / module):
            places.setdefault((module, span), []).append((operator, occurrence))
    order = sorted(places)
    draws.shuffle(order)
    found = []
    for module, span in order:
        operator, occurrence = draws.choice(sorted(places[module, span]))
        before, after = _lines(root / module, operator, occurrence)
        if before != after and _compiles(mutated((root / module).read_text(encoding="utf-8"), operator, occurrence)):
            found.append(Mutant(module, span[0][0], operator, occurrence, before, after))
        if len(found) == count:
            break
    return found


def mutated(source: str, operator: str, occurrence: int) -> str:
    """A module's text with one change.

    Raises:
      ValueError: there is no such place.
    """
    from cosmic_ray import mutating, plugins

    text = mutating.mutate_code(source, plugins.get_operator(operator)(), occurrence)
    if text is None:
        raise ValueError(f"no place {occurrence} of {operator}")
    return text


def now(root: Path, mutant: Mutant) -> Mutant:
    """A change that was drawn before other lines of its file changed, where it is now.

    Raises:
      ValueError: its line is no more.
    """
    for operator, occurrence, span in _changes(root / mutant.file):
        if operator == mutant.operator:
            lines = _lines(root / mutant.file, operator, occurrence)
            if lines == (mutant.before, mutant.after):
                return replace(mutant, line=span[0][0], occurrence=occurrence)
    raise ValueError(f"{mutant.file}: no line {mutant.before!r}")


def _changes(file: Path) -> Iterator[tuple[str, int, Any]]:
    """Operator, which of its places, and from where to where, of all that count."""
    from cosmic_ray import plugins
    from cosmic_ray.ast import ast_nodes, get_ast_from_path

    source = file.read_text(encoding="utf-8")
    left_out = _left_out(source)
    nodes = list(ast_nodes(get_ast_from_path(file)))
    for name in plugins.operator_names():
        kind = plugins.get_operator(name)
        if kind.arguments() or not _counts(name.partition("/")[2]):
            continue
        spans = (span for node in nodes for span in kind().mutation_positions(node))
        for occurrence, (start, end) in enumerate(spans):
            if not any(first <= start and end <= last for first, last in left_out):
                yield name, occurrence, (start, end)


def _counts(operator: str) -> bool:
    words = operator.split("_")
    if words[0] == "ReplaceBinaryOperator":
        return (words[1] in ARITHMETIC) == (words[2] in ARITHMETIC)
    if words[0] == "ReplaceComparisonOperator":
        return (words[1] in IDENTITY) == (words[2] in IDENTITY)
    return True


def _left_out(source: str) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Spans of annotations and of `jax.jit` above functions."""
    found = []
    for node in ast.walk(ast.parse(source)):
        parts = [getattr(node, "annotation", None), getattr(node, "returns", None)]
        parts += [part for part in getattr(node, "decorator_list", ()) if "jit" in ast.unparse(part)]
        for part in parts:
            if isinstance(part, ast.expr):
                # From the line's begin, for a decorator's place is its "@".
                begin = (part.lineno, 0) if part not in parts[:2] else (part.lineno, part.col_offset)
                found.append((begin, (part.end_lineno, part.end_col_offset + 1)))
    return found


def _compiles(source: str) -> bool:
    """The `*` before parameters that have names alone is one of multiplication to the tool."""
    try:
        ast.parse(source)
    except SyntaxError:
        return False
    return True


def _lines(file: Path, operator: str, occurrence: int) -> tuple[str, str]:
    """What the change takes out and what it puts in."""
    source = file.read_text(encoding="utf-8")
    rows = difflib.ndiff(source.splitlines(), mutated(source, operator, occurrence).splitlines())
    kept = [row for row in rows if row[:1] in "-+"]
    return tuple(" / ".join(row[2:].strip() for row in kept if row[0] == sign) for sign in "-+")
