"""Where a number comes from."""

import importlib.util
import os
import shutil
import subprocess
from pathlib import Path

from dhauds_jax import processors
from dhauds_jax.workdir import provenance


def test_everything_is_filled():
    assert set(provenance.versions()) >= {"python", "jax", "flax", "numpy"}
    assert provenance.device() == f"1 x cpu, {processors.available_cores()} cores"
    assert 50 < provenance.peak_memory_mb() < 64_000
    found = provenance.provenance("python -m x", 1.5)
    assert (found["command"], found["seconds"]) == ("python -m x", 1.5)
    assert set(found) == {
        "seconds", "command", "git_revision", "versions", "device", "peak_memory_mb",
    }  # fmt: skip


def test_the_device_is_named_where_the_system_does_not_say_which_cores_are_ours(monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert provenance.device() == "1 x cpu, 6 cores"


def git(folder, *words):
    named = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false")
    done = subprocess.run(["git", "-C", str(folder), *named, *words], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def a_copy(folder):
    """The module as it is when it is installed at `folder`."""
    folder.mkdir(parents=True)
    path = Path(shutil.copy(provenance.__file__, folder))
    spec = importlib.util.spec_from_file_location("a_copy_of_provenance", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_revision_is_of_the_code_and_not_of_a_repository_that_it_is_installed_in(tmp_path):
    assert a_copy(tmp_path / "nowhere").git_revision() == "unknown"
    users = tmp_path / "users"
    users.mkdir()
    git(users, "init", "-q")
    (users / "own.py").write_text("x = 1\n")
    git(users, "add", "own.py")
    git(users, "commit", "-q", "-m", "own")
    installed = a_copy(users / ".venv" / "lib" / "dhauds_jax")
    assert installed.git_revision() == "unknown"
    ours = a_copy(users / "source")
    git(users, "add", "source")
    git(users, "commit", "-q", "-m", "a clone")
    commit = git(users, "rev-parse", "--short=12", "HEAD")
    assert ours.git_revision() == commit
    (users / "own.py").write_text("x = 2\n")
    assert ours.git_revision() == f"{commit}+changes"
