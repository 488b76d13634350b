"""Compiled programs are kept in the user's cache folder, unless the flag or the environment says otherwise."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dhauds_jax.command import compilation_cache

ROOT = Path(__file__).resolve().parents[2]
WORDS = [
    "experiments.benchmark", "--what=corrupt", "--corruption=WHN", "--seconds=0.25", "--batch=2",
    "--rounds=1", "--json",
]  # fmt: skip
"""Compiles a dozen small programs, and does not measure what the processor can do first."""


def benchmark(home, *flags):
    names = ("XDG_CACHE_HOME", *compilation_cache.VARIABLES)
    env = {name: value for name, value in os.environ.items() if name not in names} | {"HOME": str(home)}
    done = subprocess.run(
        [sys.executable, "-m", *WORDS, *flags], cwd=ROOT, env=env, capture_output=True, text=True, timeout=900
    )
    assert done.returncode == 0, done.stderr[-1000:]
    return {path.name for path in home.rglob("*") if path.name.endswith("-cache")}


@pytest.mark.slow
def test_a_second_run_finds_every_program_of_the_first(tmp_path):
    assert benchmark(tmp_path, "--nocompilation_cache") == set()
    first = benchmark(tmp_path)
    assert len(first) > 3
    assert benchmark(tmp_path) == first


def test_the_folder_is_the_users_and_of_this_processor(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    path = compilation_cache.folder()
    assert path.parent == tmp_path / "dhauds_jax"
    assert len(path.name) == len("programs-") + 8
    monkeypatch.setattr(compilation_cache.platform, "machine", lambda: "another")
    assert compilation_cache.folder() != path


def test_who_set_jaxs_own_variable_keeps_his_folder(monkeypatch):
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "elsewhere")
    assert compilation_cache.use() is None
