"""`dhauds NAME ...` as its console script runs it: from any folder, ours before the user's, commands as records say."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dhauds_jax import __version__
from experiments.__main__ import commands

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = "import sys\nfrom experiments.__main__ import main\nsys.exit(main())\n"


@pytest.fixture
def elsewhere(tmp_path):
    """A user's folder that has an `experiments/` and a `converters/` of its own, and a module."""
    for name in ("experiments", "converters"):
        folder = tmp_path / "work" / name
        folder.mkdir(parents=True)
        for file in ("__init__", "__main__", "adapt", "convert"):
            (folder / f"{file}.py").write_text("raise SystemExit('not this one')\n")
    (tmp_path / "work" / "my_methods.py").write_text("factory = 1\n")
    return tmp_path / "work"


def dhauds(folder, *words, script=SCRIPT):
    """Runs the script that an installation makes, which lies in a folder of its own."""
    place = folder.parent / "bin"
    place.mkdir(exist_ok=True)
    (place / "dhauds").write_text(script)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(place / "dhauds"), *words]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=900)


@pytest.mark.parametrize("words", [(), ("--help",)])
def test_without_a_name_all_commands_are_listed(elsewhere, words):
    done = dhauds(elsewhere, *words)
    assert done.returncode == 0, done.stderr
    for name in commands():
        assert any(line.startswith(f"  {name} ") for line in done.stdout.splitlines()), name
    assert "  train        Trains a source classifier.\n" in done.stdout


@pytest.mark.parametrize("words", [("--version",), ("adapt", "--version")])
def test_the_version_is_printed_at_once(elsewhere, words):
    """Before, it was an unknown command."""
    watched = "import atexit, sys\natexit.register(lambda: print({'jax', 'numpy'} & set(sys.modules) or 'light'))\n"
    done = dhauds(elsewhere, *words, script=watched + SCRIPT)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"dhauds_jax {__version__}\nlight\n", "")


def test_commands_run_from_a_folder_that_has_packages_of_the_same_names(elsewhere):
    done = dhauds(elsewhere, "adapt", "--help")
    assert "Example: python -m experiments.adapt" in done.stdout, done.stderr
    done = dhauds(elsewhere, "convert", "--help")
    assert "python -m converters.convert" in done.stdout, done.stderr


def test_bad_flags_end_with_code_2(elsewhere):
    done = dhauds(elsewhere, "adapt", "--dataset=synthetic")
    assert done.returncode == 2 and done.stderr.startswith("error: --checkpoint: must be given"), done.stderr


def test_an_unknown_name_is_said_with_the_nearest(elsewhere):
    done = dhauds(elsewhere, "adept")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: unknown command 'adept': expected adapt")


def test_records_name_the_module_and_the_users_own_modules_are_found(elsewhere):
    script = (
        "import importlib.util, sys\n"
        "from dhauds_jax.command import app\n"
        "app.run = lambda main, **_: print(app.command(), importlib.util.find_spec('my_methods') is not None)\n"
    )
    done = dhauds(elsewhere, "adapt", "--method=my_methods:factory", "--workdir=out", script=script + SCRIPT)
    assert done.stdout == "python -m experiments.adapt --method=my_methods:factory --workdir=out True\n", done.stderr
