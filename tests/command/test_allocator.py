"""Large blocks are cheap where the C library is glibc: in huge pages, or because the process keeps freed memory."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from dhauds_jax.command import allocator

ROOT = Path(__file__).resolve().parents[2]
COUNTED = """
import ctypes, resource
{before}
library = ctypes.CDLL(None)
library.malloc.restype, library.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
library.free.argtypes = [ctypes.c_void_p]
def touched(size=160_000_000):
    block = library.malloc(size)  # not by numpy, which asks for huge pages by itself
    ctypes.memset(block, 1, size)
    library.free(block)
for _ in range(2):
    touched()
begun = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
touched()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - begun)
"""


def test_a_large_block_is_reused_without_page_faults():
    script = COUNTED.format(before="from dhauds_jax.command import allocator\nprint(allocator.keep_freed_memory())")
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=900, check=True).stdout
    taken, faults = out.split()
    assert taken == str(platform.libc_ver()[0] == "glibc")
    # 160 MB are 39,000 pages of 4 KB.
    assert taken == "False" or int(faults) < 1000


@pytest.mark.parametrize("mine", ["", "glibc.malloc.tcache_count=3", "glibc.malloc.hugetlb=0"])
def test_a_command_starts_again_with_huge_pages_and_keeps_its_arguments(tmp_path, mine):
    before = "import os, sys\nfrom dhauds_jax.command import allocator\nallocator.use('mine')\n"
    said = "print(os.environ.get('GLIBC_TUNABLES', ''), os.getpid(), *sys.argv[1:], sep='|')"
    (tmp_path / "mine.py").write_text(COUNTED.format(before=before + said), encoding="utf-8")
    environment = {name: value for name, value in os.environ.items() if name != allocator.VARIABLE}
    environment |= {"PYTHONPATH": f"{tmp_path}:{ROOT}", **({allocator.VARIABLE: mine} if mine else {})}
    words = [sys.executable, "-m", "mine", "--a=b c", "-m"]
    with subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, text=True) as process:
        settings, number, *arguments = process.stdout.readline().strip().split("|")
        faults = int(process.stdout.readline())
    assert process.returncode == 0
    assert (int(number), arguments) == (process.pid, ["--a=b c", "-m"])
    restarts = allocator.mode() == "madvise" and (allocator.glibc() or (0, 0)) >= allocator.SINCE
    asked = restarts and "hugetlb" not in mine
    assert settings == (":".join([*([mine] if mine else []), "glibc.malloc.hugetlb=1"]) if asked else mine)
    assert platform.libc_ver()[0] != "glibc" or faults < 1000  # 39,000 without either


@pytest.fixture
def calls(monkeypatch, tmp_path):
    """What `use` does, on a system with huge pages where they are asked for and a new glibc."""
    found = []
    (tmp_path / "enabled").write_text("always [madvise] never\n", encoding="ascii")
    monkeypatch.setattr(allocator, "MODES", tmp_path / "enabled")
    monkeypatch.setattr(allocator, "glibc", lambda: (2, 36))
    monkeypatch.setattr(
        allocator, "keep_freed_memory", lambda one_arena=True: found.append("one arena" if one_arena else "kept")
    )
    monkeypatch.setattr(os, "execve", lambda program, words, environment: found.append(environment["GLIBC_TUNABLES"]))
    monkeypatch.setattr(sys, "orig_argv", ["python", "-X", "dev", "-m", "experiments.adapt", "--seed=1"])
    monkeypatch.delenv("GLIBC_TUNABLES", raising=False)
    return found


HUGE = "glibc.malloc.hugetlb=1"


def test_a_process_that_is_not_the_commands_alone_goes_on_as_it_is(calls, monkeypatch):
    for words, expected in (
        (
            ["python", "-m", "experiments.adapt"],
            [HUGE, "one arena"],
        ),  # the second: `execve` came back, which it does not
        (["python", "-m", "experiments", "adapt"], [HUGE, "one arena"]),
        (["/usr/bin/python", "/usr/bin/dhauds", "adapt", "-m"], ["one arena"]),
        (["/usr/bin/python", "/usr/bin/dhauds", "adapt"], [HUGE, "one arena"]),
        (["python", "-m", "pytest", "-m", "slow"], ["one arena"]),
        (["python", "-c", "..."], ["one arena"]),
        (["python"], ["one arena"]),
    ):
        monkeypatch.setattr(sys, "orig_argv", words)
        allocator.use("experiments.adapt")
        assert calls == expected, words
        calls.clear()


def test_where_there_are_no_huge_pages_to_ask_for_freed_memory_is_kept(calls, monkeypatch, tmp_path):
    for modes, version, expected in (
        ("always madvise [never]", (2, 36), ["one arena"]),
        ("[always] madvise never", (2, 36), ["kept"]),
        ("always [madvise] never", (2, 31), ["one arena"]),
        ("always [madvise] never", None, ["one arena"]),
        ("nonsense", (2, 36), ["one arena"]),
        ("always [madvise] never", (2, 36), [HUGE, "one arena"]),
        (None, (2, 36), ["one arena"]),
    ):
        (tmp_path / "enabled").unlink(missing_ok=True)
        if modes is not None:
            (tmp_path / "enabled").write_text(modes, encoding="ascii")
        monkeypatch.setattr(allocator, "glibc", lambda version=version: version)
        allocator.use("experiments.adapt")
        assert calls == expected, (modes, version)
        calls.clear()


def test_a_system_that_forbids_to_start_again_runs_the_command_all_the_same(calls, monkeypatch):
    def refused(*_):
        raise PermissionError("not here")

    monkeypatch.setattr(os, "execve", refused)
    allocator.use("experiments.adapt")
    assert calls == ["one arena"]


@pytest.mark.parametrize(("set_to", "expected"), [("1", ["kept"]), ("0", ["one arena"])])
def test_who_has_the_setting_in_the_environment_has_decided(calls, monkeypatch, set_to, expected):
    monkeypatch.setenv("GLIBC_TUNABLES", f"glibc.malloc.tcache_count=3:glibc.malloc.hugetlb={set_to}")
    allocator.use("experiments.adapt")
    assert calls == expected
