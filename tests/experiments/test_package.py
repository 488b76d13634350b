"""What is installed: a wheel with all tables and without tests, light public names."""

import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from shutil import copy, copytree, ignore_patterns

import pytest

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


def test_versions_agree():
    assert f"version: {dhauds_jax.__version__}" in (ROOT / "CITATION.cff").read_text().splitlines()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["scripts"] == {"dhauds": "experiments.__main__:main"}
