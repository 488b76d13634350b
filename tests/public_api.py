"""What the package promises: `python -m tests.public_api` writes it into public_api.txt; `--print` shows it.

Public are the names of `dhauds_jax`, `dhauds_jax.model`, `dhauds_jax.types` and those that docs/extending.md builds on;
the names of `dhauds_jax.names` with the options of what they make; commands with their flags; the forms of files and
the keys of records. Everything else may change in any version (docs/versions.md).
"""

from __future__ import annotations

import ast
import dataclasses
import importlib
import inspect
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import dhauds_jax
from dhauds_jax import model, names, registry, types
from dhauds_jax.incremental import stored
from dhauds_jax.nets import config
from dhauds_jax.workdir import records, saver, vector_files

PLACE = Path(dhauds_jax.__file__).resolve().parents[1]
"""Of the packages, wherever they are installed."""
FILE = Path(__file__).with_suffix(".txt")

BUILT_ON = (
    "data.corruptions:Corruption",
    "data.corruptions:pick",
    "data.corruptions:share",
    "data.sets:ClipRef",
    "data.sets:DataSet",
    "data.sets:Order",
    "metrics:softmax",
    "nets:ClassifierConfig",
    "nets:Family",
    "nets.front_ends:log_mel",
    "nets.masks:GROUPS",
    "nets.normalisers:EVAL",
    "nets.normalisers:batch",
    "nets.zoo:build",
    "nets.zoo:names",
    "nets.zoo:preset",
    "nets.zoo:shapes",
    "tta.losses:entropy",
    "tta.losses:entropy_rows",
    "tta.losses:weighted_mean",
    "tta.methods:default_options",
    "tta.methods:make",
    "tta.protocols:Protocol",
    "tta.protocols:STREAM_OPTIONS",
    "tta.streams:Stream",
    "tta.update:Evaluated",
    "tta.update:first_state",
    "tta.update:gradient_update",
    "zeroshot.unit_vectors:cosines",
)
"""What code of one's own builds on, below `dhauds_jax`: docs/extending.md, and the modules of `dhauds_jax.__all__`."""

INNER = {
    "dhauds_jax.model.Model": (
        *("adapting", "after", "predictions", "traced_probabilities", "window_vectors", "with_weights"),
    )
}
"""Methods by which rooms of the package share a public class: they take and give what is not public."""

FACTORIES = ("METHODS", "SCORERS", "LEARNERS")
"""Tables of `names` whose entries are factories: their options are promised too."""

FORMS = {
    "config.json": config.SCHEMA,
    "extra learner": stored.SCHEMA,
    "info.json": saver.SCHEMA,
    "manifest.json": vector_files.SCHEMA,
    "records": records.SCHEMA,
}
"""What a file is called, and its form."""


def lines() -> list[str]:
    """Everything public, sorted within its part."""
    parts = (_of_python(), _of_names(), _of_commands(), _of_files())
    return [line for part in parts for line in sorted(set(part))]


def _of_python() -> Iterator[str]:
    places = {}
    for module in (model, types):
        places |= {f"{module.__name__}.{name}": getattr(module, name) for name in module.__all__}
    for name in dhauds_jax.__all__:
        found = getattr(dhauds_jax, name)
        home = next((place for place, other in places.items() if other is found), found.__name__)
        yield f"dhauds_jax.{name}{'' if home == name else f' = {home}'}"
    for place in BUILT_ON:
        module, _, name = place.partition(":")
        places[f"dhauds_jax.{module}.{name}"] = getattr(importlib.import_module(f"dhauds_jax.{module}"), name)
    for name, found in places.items():
        yield from _described(name, found)


def _described(name: str, found: Any) -> Iterator[str]:
    """A line of a name, and one of each public method and property of a class."""
    if not inspect.isclass(found):
        yield f"{name}{signature(found)}" if inspect.isroutine(found) else name
    elif _is_ours(found):
        yield f"{name}{_fields(found)}"
        for inner, value in vars(found).items():
            hidden = inner.startswith("_") or inner in (*_names_of_fields(found), *INNER.get(name, ()))
            if not hidden:
                bare = value.__func__ if isinstance(value, classmethod | staticmethod) else value
                yield f"{name}.{inner}{signature(bare) if inspect.isfunction(bare) else ''}"
        if getattr(found, "_is_protocol", False):
            yield f"{name}.__call__{signature(found.__call__)}"
    else:
        yield name


def _is_ours(found: type) -> bool:
    return found.__module__.startswith("dhauds_jax")


def _names_of_fields(found: type) -> tuple[str, ...]:
    if dataclasses.is_dataclass(found):
        return tuple(field.name for field in dataclasses.fields(found))
    return getattr(found, "_fields", ())


def _fields(found: type) -> str:
    """The fields of a record with their defaults, for a class without any its own signature."""
    if _names_of_fields(found):
        return signature(found)
    return "" if getattr(found, "_is_protocol", False) or issubclass(found, Exception) else signature(found)


def signature(function: Any) -> str:
    """Names, kinds and plain defaults of what a function is given; types are in its docstring and are no part of it."""
    kept = []
    for one in inspect.signature(function).parameters.values():
        default = one.default if one.default is one.empty else _Shown(one.default)
        kept.append(one.replace(annotation=one.empty, default=default))
    return str(inspect.Signature(kept))


class _Shown:
    """A default as it is shown: plain values as they are, of others the type."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __repr__(self) -> str:
        return plain(self.value)


def plain(value: Any) -> str:
    """A value in words that no machine and no run changes."""
    if value is None or isinstance(value, bool | int | float | str):
        return repr(value)
    if isinstance(value, tuple | list):
        return f"({', '.join(map(plain, value))})"
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{key}: {plain(each)}' for key, each in value.items())}}}"
    name = getattr(value, "__name__", type(value).__name__)
    return "<made anew>" if name.startswith("_HAS_DEFAULT_FACTORY") else f"<{name}>"


def _of_names() -> Iterator[str]:
    for table, entries in vars(names).items():
        if not table.isupper() or table.startswith("_"):
            continue
        if not isinstance(entries, Mapping):
            yield f"names.{table} {plain(entries)}"
            continue
        for name, place in entries.items():
            options = signature(registry.resolve(place)) if table in FACTORIES else ""
            yield f"names.{table} {name}{options}"


def _of_commands() -> Iterator[str]:
    for file in sorted((PLACE / "experiments").glob("[a-z]*.py")):
        yield f"experiments.{file.stem}"
        for field in (field for request in requests_of(file) for field in dataclasses.fields(request)):
            if "flag" in field.metadata:
                default = "" if field.default is dataclasses.MISSING else f"={plain(field.default)}"
                yield f"experiments.{file.stem} --{field.name}{default}"
    yield "converters.convert"
    text = (PLACE / "converters" / "convert.py").read_text(encoding="utf-8")
    for name in re.findall(r"flags\.DEFINE_\w+\(\s*\"(\w+)\"", text):
        yield f"converters.convert --{name}"


def requests_of(file: Path) -> list[type]:
    """The requests whose fields are a command's flags, as its file names them."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    places = {
        alias.name: node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module
        for alias in node.names
    }
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    made = [call for call in calls if isinstance(call.func, ast.Attribute) and call.func.attr == "flags_of"]
    asked = [word.id for call in made for word in call.args if isinstance(word, ast.Name)]
    return [getattr(importlib.import_module(places[name]), name) for name in asked]


def _of_files() -> Iterator[str]:
    for name, schema in FORMS.items():
        yield f"file {name} format {schema.number}"
    for kind in records.KINDS.values():
        yield from (f"file {kind.file} {key}" for key in kind.keys)


if __name__ == "__main__":
    text = "\n".join(lines()) + "\n"
    print(text, end="") if "--print" in sys.argv else FILE.write_text(text, encoding="utf-8")
