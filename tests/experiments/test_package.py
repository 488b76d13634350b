"""What is installed: an sdist and a wheel with all tables and without tests, which run anywhere; light public names."""

import os
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path
from shutil import copy

import pytest
from packaging.requirements import Requirement

import dhauds_jax
from tests.distributions import BESIDE, PACKAGES, build

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def distributions(tmp_path_factory):
    """The sdist, and the wheel that is built from it alone."""
    return build(tmp_path_factory.mktemp("dist"))


@pytest.mark.slow
def test_sdist_and_wheel_hold_the_packages_their_tables_and_no_tests(distributions):
    sdist, wheel = distributions
    inside = zipfile.ZipFile(wheel)
    names = set(inside.namelist())
    tables = {f"experiments/recipes/{file.name}" for file in (ROOT / "experiments" / "recipes").iterdir()}
    assert tables <= names and "dhauds_jax/py.typed" in names
    data = [file for name in ("nets/boxes", "serve/page") for file in (ROOT / "dhauds_jax" / name).rglob("*.*")]
    modules = [file for package in PACKAGES for file in (ROOT / package).rglob("*.py")]
    assert len(data) > 7 and {file.relative_to(ROOT).as_posix() for file in (*data, *modules)} <= names
    version = dhauds_jax.__version__
    info = f"dhauds_jax-{version}.dist-info"
    assert {name.partition("/")[0] for name in names} == {*PACKAGES, info}
    assert "dhauds = experiments.__main__:main" in inside.read(f"{info}/entry_points.txt").decode()
    with tarfile.open(sdist) as packed:
        top = {name.split("/")[1] for name in packed.getnames() if "/" in name}
    assert top == {*PACKAGES, *BESIDE, "PKG-INFO", "setup.cfg", "dhauds_jax.egg-info"}


@pytest.mark.slow
def test_the_wheel_runs_outside_the_tree(distributions, tmp_path):
    """With this environment's packages; .ci/run tries it in one that has only what the wheel asks for."""
    site, place, copied = tmp_path / "site", tmp_path / "place", tmp_path / "copied" / "tests"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(site)]
    subprocess.run([*pip, str(distributions[1])], check=True, timeout=900)
    place.mkdir()
    copied.mkdir(parents=True)
    copy(ROOT / "tests" / "public_api.py", copied)
    env = {**os.environ, "PYTHONPATH": f"{site}{os.pathsep}{copied.parent}", "JAX_PLATFORMS": "cpu"}

    def said(*words):
        run = {"cwd": place, "env": env, "capture_output": True, "text": True, "timeout": 900}
        done = subprocess.run([sys.executable, "-P", *map(str, words)], **run)
        assert done.returncode == 0, done.stderr
        return done.stdout

    version = dhauds_jax.__version__
    assert said(ROOT / "tests" / "installed.py", ROOT) == f"dhauds_jax {version} in {site / 'dhauds_jax'}: it runs\n"
    assert said("-m", "tests.public_api", "--print") == (ROOT / "tests" / "public_api.txt").read_text()


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
