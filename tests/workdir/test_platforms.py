"""What another system does not have is taken away here: macOS has no affinity of processes, Windows no POSIX locks."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dhauds_jax.workdir import locks, provenance, records
from tests.runs import tiny

ROOT = Path(__file__).resolve().parents[2]
CHILD = """
import os, pathlib, runpy, sys
for name in ("sched_getaffinity", "sched_setaffinity", "pread", "preadv", "pwrite", "fork", "link", "getuid"):
    if hasattr(os, name):
        delattr(os, name)
sys.modules["fcntl"] = sys.modules["resource"] = sys.modules["filelock"] = None
opened = pathlib.Path.read_text
def read_text(path, *args, **kwargs):
    if str(path).startswith("/proc/"):
        raise FileNotFoundError(2, "No such file or directory", str(path))
    return opened(path, *args, **kwargs)
pathlib.Path.read_text = read_text
sys.argv[0] = "adapt"
runpy.run_module("experiments.adapt", run_name="__main__", alter_sys=True)
"""


@pytest.mark.slow
def test_a_command_goes_its_whole_road_without_them(tmp_path):
    """Before, `os.sched_getaffinity` came up when the first record was written, after all the work."""
    data, source = tiny.make_arabic(tmp_path / "data"), tiny.make_checkpoint(tmp_path / "source")
    words = ["--dataset=arabic_speech_commands", f"--data_dir={data}", f"--checkpoint={source}", "--method=source",
             "--corruption=WHN", "--protocol=online", f"--workdir={tmp_path / 'out'}"]  # fmt: skip
    done = subprocess.run([sys.executable, "-c", CHILD, *words], cwd=ROOT, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith(f"device: 1 x cpu, {os.cpu_count()} cores; seed 0\n")
    (record,) = records.read(tmp_path / "out")
    assert (record["peak_memory_mb"], record["device"]) == (0.0, f"1 x cpu, {os.cpu_count()} cores")


def test_a_lock_is_held_without_the_kernels(tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "fcntl", None)
    monkeypatch.delattr(os, "link")
    with locks.held(tmp_path):
        assert json.loads((tmp_path / locks.FILE).read_text())["pid"] == os.getpid()
    assert list(tmp_path.iterdir()) == []


def test_memory_that_the_system_does_not_tell_is_0(monkeypatch):
    monkeypatch.setattr(provenance, "resource", None)
    assert provenance.peak_memory_mb() == 0.0
