"""Compiled programs are kept in the user's cache folder, unless the flag or the environment says otherwise."""

import os
import subprocess
import sys
import time
from pathlib import Path

import jax
import pytest

from dhauds_jax.command import compilation_cache
from dhauds_jax.errors import BadInput

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
    monkeypatch.setattr(compilation_cache, "bounded", lambda: True)
    path = compilation_cache.folder()
    assert path.parent == tmp_path / "dhauds_jax"
    assert len(path.name) == len("programs-") + 8
    with monkeypatch.context() as patched:  # without the package, which writes no times of last use
        patched.setattr(compilation_cache, "bounded", lambda: False)
        assert compilation_cache.folder() == path.with_name(f"{path.name}-unbounded")
    monkeypatch.setattr(compilation_cache.platform, "machine", lambda: "another")
    assert compilation_cache.folder() != path


def test_who_set_jaxs_own_variable_keeps_his_folder(monkeypatch):
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "elsewhere")
    assert compilation_cache.use() is None


CHILD = """
import os, pwd, sys
{before}
from dhauds_jax.command import compilation_cache
import jax, jax.numpy as jnp
print(compilation_cache.use())
for i in range(3):
    jax.jit(lambda x: x * i + 1)(jnp.ones(i + 2))
"""
NOBODY = "pwd.getpwuid = lambda uid: {}[uid]"
"""As in a container that runs with a number which no user has."""
NO_FILELOCK = "sys.modules['filelock'] = None"


def child(before, **env):
    """A process that compiles three programs; HOME and XDG_CACHE_HOME are there where they are given."""
    names = ("XDG_CACHE_HOME", "HOME", *compilation_cache.VARIABLES)
    env = {name: value for name, value in os.environ.items() if name not in names} | env
    words = [sys.executable, "-c", CHILD.format(before=before)]
    done = subprocess.run(words, cwd=ROOT, env=env, capture_output=True, text=True, timeout=900)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.strip()


def test_where_there_is_no_home_there_is_no_cache(tmp_path, monkeypatch):
    """Before, `RuntimeError: Could not determine home directory`, before anything was done."""
    assert child(NOBODY) == "None"
    (tmp_path / "file").write_text("")
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR", raising=False)
    for place in (tmp_path / "file", tmp_path / "file" / "below"):  # as closed to us as to root
        monkeypatch.setenv("XDG_CACHE_HOME", str(place))
        assert compilation_cache.use() is None


def test_a_cache_that_cannot_be_written_is_left_alone(tmp_path, monkeypatch):
    def refused(folder, flag):
        raise BadInput(f"--{flag}={folder}: cannot be written to (Read-only file system)")

    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(compilation_cache, "check_folder", refused)
    before = jax.config.jax_compilation_cache_dir
    assert compilation_cache.use() is None
    assert jax.config.jax_compilation_cache_dir == before


@pytest.mark.slow
def test_environments_with_and_without_filelock_share_a_home_and_both_keep_programs(tmp_path):
    """Before, ten warnings of a missing "-atime" a command, and nothing was kept."""
    home = {"HOME": str(tmp_path)}
    for _ in range(2):
        one, other = child(NO_FILELOCK, **home), child("", **home)
        assert other + "-unbounded" == one
        for place, beside in ((one, False), (other, True)):
            programs = list(Path(place).glob("*-cache"))
            assert len(programs) >= 3
            assert all(p.with_name(p.name.removesuffix("-cache") + "-atime").exists() is beside for p in programs)


def test_a_program_whose_writer_was_killed_stops_no_other(tmp_path):
    for name, age in (("torn", 600), ("new", 0), ("whole", 600)):
        program = tmp_path / f"{name}-cache"
        program.write_bytes(b"")
        os.utime(program, (time.time() - age,) * 2)
    (tmp_path / "whole-atime").write_bytes(b"12345678")
    compilation_cache._remove_torn(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"new-cache", "whole-cache", "whole-atime"}
