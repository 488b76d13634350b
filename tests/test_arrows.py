"""Which room may import which; docs/architecture.md draws the same table, and is held to it."""

import ast
import functools
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("dhauds_jax", "converters", "experiments")

GROUND = {
    "types": (),
    "class_names": (),
    "names": (),
    "errors": (),
    "requests": ("errors",),
    "schemas": ("dhauds_jax", "errors"),
    "files": ("errors",),
    "json_texts": ("errors", "wording"),
    "arrays": ("errors",),
    "interrupts": (),
    "digests": (),
    "threefry": (),
    "processors": (),
    "estimates": ("wording",),
    "progress": ("estimates",),
    "wording": (),
    "registry": ("errors", "names"),
    "factory_options": ("errors", "wording"),
    "parallel": ("errors", "registry"),
    "metrics": ("errors", "names", "registry"),
    "calibration": ("errors", "metrics", "names", "types"),
}
"""The ground floor, files that every room may import, and what they import of each other."""

ROOMS = {
    "dsp": (),
    "command": (),
    "workdir": (),
    "nets": ("dsp",),
    "data": ("dsp",),
    "tta": ("nets", "dsp"),
    "converters": ("nets", "command"),
    "cells": ("nets", "data", "dsp", "tta", "workdir"),
    "zeroshot": ("dsp.unit_rows", "tta.selection"),
    "incremental": ("dsp.unit_rows", "nets", "tta"),
    "model": ("cells.input_statistics", "data", "dsp.mixing", "nets", "tta", "workdir.saver", "zeroshot"),
    "train": ("nets", "data", "dsp", "tta", "workdir"),
    "serve": ("nets", "data", "dsp", "tta", "model", "workdir"),
    "benchmark": ("nets", "data", "dsp", "tta", "incremental", "command"),
    "recipes": ("cells.request", "nets", "data", "tta"),
    "report": ("workdir.records", "tta.selection"),
    "runs": (
        "benchmark",
        "cells",
        "command",
        "data",
        "dsp",
        "incremental",
        "model",
        "nets",
        "recipes",
        "report",
        "serve",
        "train",
        "tta",
        "workdir",
        "zeroshot",
    ),
    "experiments": ("command", "runs", "cells.request", "train.request", "serve.request"),
}
"""Every room, floor by floor, and what it imports beside the ground floor: rooms, or single modules of them."""

HEAVY = {
    "torch": ("converters",),
    "tensorflow": ("data.pipeline", "data.corrupted.beam_builder"),
    "tensorflow_datasets": ("data.pipeline", "data.corrupted.beam_builder"),
    "tensorboardX": ("train.epoch_log",),
    "tokenizers": ("nets.clap_tokenizer",),
    "jax2onnx": ("model.onnx",),
    "onnxruntime": ("model.onnx",),
    "soxr": ("data.resampling", "data.soundscapes.mixing"),
    "starlette": ("serve", "runs.serve"),
    "uvicorn": ("serve", "runs.serve"),
    "prometheus_client": ("serve", "runs.serve"),
    "httpx": ("runs.ask",),
    "ray": ("serve.ray_app", "serve.ray_cluster", "serve.ray_router", "runs.sweep_ray"),
    "tinysoundfont": ("data.soundfont",),
}
"""Packages, and the only places that may import them."""

BARE = ("jax", "flax", "optax", "orbax", "chex", "absl", "numpy", "jaxtyping", "tqdm")
BARE_ROOMS = (
    "dsp",
    "nets",
    "tta",
    "benchmark",
    "parallel",
    "types",
    "names",
    "errors",
    "registry",
    "metrics",
    "requests",
    "schemas",
    "json_texts",
)
"""Rooms that must run where only these packages are installed (a GPU machine), besides what they import lazily."""


def modules():
    """Dotted name -> file of every module of the packages."""
    files = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    return {".".join(f.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): f for f in files}


MODULES = modules()


def imports_of(file, eager=False):
    """Full names of what a file imports: modules, or `module.name` where the name is no module of ours.

    With `eager` only what is imported when the file is, not inside functions.
    """
    names = set()
    nodes = _eager(_parsed(file)) if eager else _import_nodes(file)
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            module = _absolute(node, file)
            names |= {f"{module}.{alias.name}" for alias in node.names}
    return names


@functools.cache
def _parsed(file):
    return ast.parse(file.read_text())


@functools.cache
def _import_nodes(file):
    return [node for node in ast.walk(_parsed(file)) if isinstance(node, ast.Import | ast.ImportFrom)]


def _eager(tree):
    waiting = list(tree.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        yield node
        waiting += list(ast.iter_child_nodes(node))


def _absolute(node, file):
    if not node.level:
        return node.module
    above = file.relative_to(ROOT).with_suffix("").parts[: -node.level]
    return ".".join([*above, *([node.module] if node.module else [])])


def place_of(name):
    """The module of ours that an imported name lies in, without "dhauds_jax."; None for other packages."""
    while name and name not in MODULES:
        name = name.rpartition(".")[0]
    return name.removeprefix("dhauds_jax.") if name else None


def room_of(place):
    return place.partition(".")[0]


def arrows():
    """(module, imported module) of every arrow between rooms, both without "dhauds_jax."."""
    found = set()
    for module, file in MODULES.items():
        here = module.removeprefix("dhauds_jax.")
        places = {place_of(name) for name in imports_of(file)}
        found |= {(here, there) for there in places if there and room_of(there) != room_of(here)}
    return sorted(found)


def allowed(here, there):
    room = room_of(here)
    if room in GROUND:
        return there in GROUND[room]
    if there in GROUND or there == "dhauds_jax":
        return True
    return any(there == one or there.startswith(f"{one}.") for one in ROOMS.get(room, ()))


def test_every_arrow_stands_in_the_table():
    wrong = [f"{here} -> {there}" for here, there in arrows() if not allowed(here, there)]
    assert not wrong, wrong


def test_every_room_stands_in_the_table():
    rooms = {room_of(module.removeprefix("dhauds_jax.")) for module in MODULES} - {"dhauds_jax"}
    assert rooms <= {*GROUND, *ROOMS}, rooms - {*GROUND, *ROOMS}


def test_the_table_has_no_circle():
    below = {room: {room_of(one) for one in rooms} for room, rooms in {**GROUND, **ROOMS}.items()}
    while below:
        floor = {room for room, rooms in below.items() if not rooms & set(below)}
        assert floor, f"a circle among {sorted(below)}"
        below = {room: rooms for room, rooms in below.items() if room not in floor}


@pytest.mark.parametrize(
    ("text", "arrow"),
    [
        ("from dhauds_jax import tta", ("nets.x", "tta")),
        ("from dhauds_jax.tta import losses", ("nets.x", "tta.losses")),
        ("import dhauds_jax.data.loading", ("nets.x", "data.loading")),
        ("from ..tta.losses import entropy", ("nets.x", "tta.losses")),
        ("def f():\n    from experiments import adapt", ("nets.x", "experiments.adapt")),
    ],
)
def test_an_arrow_is_seen_however_it_is_written(tmp_path, monkeypatch, text, arrow):
    file = tmp_path / "dhauds_jax" / "nets" / "x.py"
    file.parent.mkdir(parents=True)
    file.write_text(text + "\n")
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    monkeypatch.setitem(MODULES, "dhauds_jax.nets.x", file)
    monkeypatch.setattr(sys.modules[__name__], "MODULES", {"dhauds_jax.nets.x": file, **MODULES})
    places = {place_of(name) for name in imports_of(file)}
    assert arrow[1] in places
    assert not allowed(*arrow)


def test_heavy_packages_stay_where_they_belong():
    for module, file in MODULES.items():
        here = module.removeprefix("dhauds_jax.")
        top = {name.split(".")[0] for name in imports_of(file)}
        for package, places in HEAVY.items():
            inside = any(here == place or here.startswith(f"{place}.") for place in places)
            assert inside or package not in top, f"{module} imports {package}"


def test_what_a_gpu_machine_runs_needs_few_packages():
    ours = {*PACKAGES}
    for module, file in MODULES.items():
        if room_of(module.removeprefix("dhauds_jax.")) in BARE_ROOMS:
            top = {name.split(".")[0] for name in imports_of(file, eager=True)} - ours - set(sys.stdlib_module_names)
            assert top <= {*BARE}, f"{module} imports {sorted(top - {*BARE})}"


def test_importing_the_package_is_light():
    code = "import sys, dhauds_jax; sys.exit(any(k in sys.modules for k in ('jax', 'numpy', 'flax')))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, timeout=900).returncode == 0


def mermaid():
    """The drawing of the rooms as docs/architecture.md holds it: an arrow for every entry of `ROOMS`."""
    lines = ["flowchart TD"]
    for room, rooms in reversed(ROOMS.items()):
        lines += [f"  {room} --> {other}" for other in dict.fromkeys(room_of(one) for one in rooms)]
    return "\n".join(lines)


def test_the_drawing_of_the_rooms_is_the_table():
    page = (ROOT / "docs" / "architecture.md").read_text()
    (drawn,) = re.findall(r"```mermaid\n(.*?)\n```", page, re.DOTALL)
    assert drawn == mermaid()
