"""What `--list` prints: the names that a command takes, with a line each, without importing what they stand for."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from dhauds_jax import names, registry
from dhauds_jax.requests import listed
from dhauds_jax.wording import counted

ROOT = Path(__file__).resolve().parents[2]

KINDS: Mapping[str, Mapping[str, str] | str] = {
    "data set": names.DATA_SETS,
    "net": "dhauds_jax.nets.zoo:names",
    "model": "dhauds_jax.nets.boxed:names",
    "method": names.METHODS,
    "corruption": {**names.CORRUPTIONS, **names.SHIFTS, **names.OWN_NOISES, **names.TRANSMISSIONS},
    "protocol": names.PROTOCOLS,
    "criterion": {**names.CRITERIA, **names.CRITERIA_WITH_VIEWS},
    "scorer": names.SCORERS,
    "learner": names.LEARNERS,
    "recipe": "dhauds_jax.recipes.training:names",
}
"""Kind -> its names with their places, or the place of a function that gives the names (perhaps with a line each)."""

BESIDE = {
    "corruption": f"and {names.CLEAN}; {listed(names.SHIFTS)} are written CODE:LEVEL, "
    f"{listed(names.OWN_NOISES)} CODE:FOLDER, all but shifts have --level {' or '.join(names.LEVELS)}; "
    f"{listed(names.TRANSMISSIONS)} also S0 to S1, and in mixtures, CODE+CODE",
    "data set": "and variants, such as audio_mnist/fold1 (docs/data.md)",
}
"""What is to be said beside the names."""


def text(kinds: Iterable[str]) -> str:
    """The names of the kinds, a paragraph each."""
    return "\n\n".join("\n".join(_paragraph(kind)) for kind in kinds)


def _paragraph(kind: str) -> Iterator[str]:
    table = KINDS[kind]
    if isinstance(table, str):
        found = registry.resolve(table)()
        lines = dict(found) if isinstance(found, Mapping) else dict.fromkeys(found, "")
    else:
        files = Counter(place.partition(":")[0] for place in table.values())
        lines = {name: summary(place, files[place.partition(":")[0]] == 1) for name, place in table.items()}
    width = max(map(len, lines), default=0)
    yield f"{kind}: {counted(len(lines), 'name')}"
    for name, line in lines.items():
        yield f"  {name:{width}}  {line}".rstrip()
    if kind in BESIDE:
        yield f"  {BESIDE[kind]}"


def summary(place: str, alone: bool) -> str:
    """The first line of a docstring, "" where there is none; the file is read, not imported, as it may need JAX.

    Args:
      place: "package.module:attribute".
      alone: whether the attribute has its module for itself: then the module's docstring is about it.
    """
    module, _, attribute = place.partition(":")
    file = ROOT.joinpath(*module.split(".")).with_suffix(".py")
    if not file.is_file():
        return ""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    own, whole = _docstring(tree, attribute), ast.get_docstring(tree)
    return ((whole or own if alone else own or whole) or "").partition("\n")[0]


def _docstring(tree: ast.Module, name: str) -> str | None:
    """Of a function, a class or an assignment at the top of a module."""
    for node, after in zip(tree.body, [*tree.body[1:], None]):
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == name:
            return ast.get_docstring(node)
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if any(isinstance(target, ast.Name) and target.id == name for target in targets):
            said = after.value if isinstance(after, ast.Expr) else None
            return said.value if isinstance(said, ast.Constant) and isinstance(said.value, str) else None
    return None
