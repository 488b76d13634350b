"""What is installed: a wheel with all tables and without tests, light public names."""

import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from shutil import copy, copytree, ignore_patterns

import pytest
from packaging.requirements import Requirement

import dhauds_jax

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_a_wheel_holds_the_packages_their_tables_and_no_tests(tmp_path):
    source = tmp_path / "source"
    for name in ("dhauds_jax", "converters", "experiments", "tests", "benchmarks"):
        copytree(ROOT / name, source / name, ignore=ignore_patterns("__pycache__", "goldens"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        copy(ROOT / name, source / name)
    build = "from setuptools.build_meta import build_wheel; build_wheel('out')"
    done = subprocess.run([sys.executable, "-c", build], cwd=source, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    (wheel,) = (source / "out").glob("*.whl")
    inside = zipfile.ZipFile(wheel)
    names = set(inside.namelist())
    tables = {f"experiments/recipes/{file.name}" for file in (ROOT / "experiments" / "recipes").iterdir()}
    assert tables <= names and "dhauds_jax/py.typed" in names
    modules = [
        file for package in ("dhauds_jax", "converters", "experiments") for file in (ROOT / package).rglob("*.py")
    ]
    assert {file.relative_to(ROOT).as_posix() for file in modules} <= names
    info = f"dhauds_jax-{dhauds_jax.__version__}.dist-info"
    assert {name.partition("/")[0] for name in names} == {"dhauds_jax", "converters", "experiments", info}
    assert "dhauds = experiments.__main__:main" in inside.read(f"{info}/entry_points.txt").decode()


def test_public_names_are_there_and_light_until_used():
    code = (
        "import sys, dhauds_jax\n"
        "from dhauds_jax import BadInput\n"
        "assert 'methods' in dir(dhauds_jax) and 'jax' not in sys.modules\n"
        "print(BadInput.__name__, hasattr(dhauds_jax, 'nothing'))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=900)
    assert done.stdout == "BadInput False\n", done.stderr
    for name in dhauds_jax.__all__:
        assert getattr(dhauds_jax, name).__name__.rpartition(".")[2] == name


@pytest.mark.parametrize(
    ("system", "machine", "name"),
    [
        ("linux", "x86_64", "tensorflow-cpu"),
        ("linux", "aarch64", "tensorflow"),
        ("darwin", "arm64", "tensorflow"),
        ("win32", "AMD64", "tensorflow-cpu"),
    ],
)
def test_tensorflow_comes_by_the_name_that_has_a_wheel_there(system, machine, name):
    """As looked up in the registry: tensorflow-cpu 2.21 has wheels for x86-64 alone, tensorflow 2.21 for the others."""
    extra = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["data"]
    found = [Requirement(text) for text in extra]
    place = {"sys_platform": system, "platform_machine": machine}
    taken = [one.name for one in found if one.marker is None or one.marker.evaluate(place)]
    assert taken == [name, "tensorflow-datasets", "importlib_resources"]


def test_what_jax_needs_to_export_is_asked_for():
    """It asks for it nowhere itself: `experiments.export` ended in an ImportError after the README's installation."""
    named = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    assert [one.partition(">")[0] for one in named if one.startswith("flatbuffers")] == ["flatbuffers"]


def test_versions_agree():
    assert f"version: {dhauds_jax.__version__}" in (ROOT / "CITATION.cff").read_text().splitlines()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["scripts"] == {"dhauds": "experiments.__main__:main"}
