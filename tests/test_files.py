"""Files and folders that appear whole or not at all."""

import os
import socket
from pathlib import Path

import numpy as np
import pytest

from dhauds_jax import files, processors


@pytest.mark.parametrize(
    ("content", "expected"),
    [("é\r\nb\n", "é\r\nb\n".encode()), (b"\x00\xff", b"\x00\xff"), (lambda file: file.write(b"w"), b"w")],
)
def test_text_bytes_and_a_writer_replace_what_was_there(tmp_path, content, expected):
    path = tmp_path / "new" / "folder" / "file.txt"
    for _ in range(2):
        files.write_atomically(path, content)
        assert path.read_bytes() == expected
        assert list(path.parent.iterdir()) == [path]


@pytest.fixture
def calls(monkeypatch):
    """Names of files and folders in the order in which they were put on the disk ("sync") and renamed ("rename")."""
    found, fsync = [], os.fsync

    def synced(handle):
        found.append(("sync", Path(os.readlink(f"/proc/self/fd/{handle}")).name.partition(".tmp")[0]))
        fsync(handle)

    monkeypatch.setattr(os, "fsync", synced)
    for name in ("rename", "replace"):
        rename = getattr(os, name)

        def renamed(one, other, rename=rename):
            found.append(("rename", Path(other).name))
            rename(one, other)

        monkeypatch.setattr(os, name, renamed)
    return found


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="names of open files are asked of Linux")
def test_what_is_written_is_on_the_disk_before_it_gets_its_name(tmp_path, calls):
    """Before, a file that had its name could be empty after the power went, and passed for a finished one."""
    files.write_atomically(tmp_path / "file", "text")
    assert calls == [("sync", "file"), ("rename", "file")]
    calls.clear()
    made = tmp_path / "folder.tmp"
    (made / "below").mkdir(parents=True)
    (made / "below" / "one").write_text("1")
    files.put_in_place(made, tmp_path / "folder")
    assert calls == [("sync", "below"), ("sync", "one"), ("sync", "folder"), ("rename", "folder")]


def test_of_many_files_the_file_system_is_told_at_once(tmp_path, calls, monkeypatch):
    for number in range(4):
        (tmp_path / f"{number}").write_text("1")
    monkeypatch.setattr(files, "_MANY", 3)
    if files._synced_whole(tmp_path):  # Linux
        files.sync(tmp_path)
        assert calls == []
    monkeypatch.setattr(files, "_synced_whole", lambda folder: False)
    files.sync(tmp_path)
    assert len(calls) == 5


def test_a_writer_of_arrays_gets_a_file_that_can_seek(tmp_path):
    files.write_atomically(tmp_path / "a.npz", lambda file: np.savez(file, x=np.arange(3)))
    with np.load(tmp_path / "a.npz") as stored:
        assert stored["x"].tolist() == [0, 1, 2]


def test_a_writer_that_fails_leaves_the_older_file_and_nothing_else(tmp_path):
    path = tmp_path / "file"
    files.write_atomically(path, "older")

    def write(file):
        file.write(b"half")
        raise RuntimeError("power")

    with pytest.raises(RuntimeError, match="power"):
        files.write_atomically(path, write)
    assert path.read_text() == "older"
    assert list(tmp_path.iterdir()) == [path]


def test_temporary_names_differ_between_calls_processes_and_machines(monkeypatch):
    path, names = Path("folder/name.csv"), set()
    for host in ("one", "two"):
        monkeypatch.setattr(socket, "gethostname", lambda host=host: host)
        for pid in (7, 8):
            monkeypatch.setattr(os, "getpid", lambda pid=pid: pid)
            names |= {files.temporary_beside(path) for _ in range(3)}
    assert len(names) == 12
    assert {name.parent for name in names} == {path.parent}
    assert all(name.name.startswith("name.csv.tmp-") for name in names)


def test_a_folder_is_put_in_the_place_of_an_older_one(tmp_path):
    folder = tmp_path / "made"
    for text in ("first", "second"):
        temporary = files.temporary_beside(folder)
        temporary.mkdir()
        (temporary / text).touch()
        files.put_in_place(temporary, folder)
        assert [path.name for path in folder.iterdir()] == [text]
        assert list(tmp_path.iterdir()) == [folder]


def test_cores_are_counted_where_the_system_does_not_say_which_are_ours(monkeypatch):
    assert processors.available_cores() >= 1
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert processors.available_cores() == 6
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert processors.available_cores() == 1


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (os.fsdecode(b"caf\xe9.wav"), "caf\\xe9.wav"),
        ("caf\u00e9.wav", "caf\u00e9.wav"),
        ("caf\\xe9.wav", "caf\\x5cxe9.wav"),
        ("a\\b\\x.wav", "a\\b\\x.wav"),
        ("two\nlines\x1b\x7f", "two\\x0alines\\x1b\\x7f"),
        (Path("a") / "b.wav", "a/b.wav"),
    ],
)
def test_names_are_escaped_where_no_text_can_hold_them_and_stay_different(name, expected):
    assert files.printable(name) == expected
    expected.encode("utf-8")


def test_tables_have_unix_line_ends(tmp_path):
    files.write_csv(tmp_path / "table.csv", [("name", "value"), ("a, b", 1.5)])
    assert (tmp_path / "table.csv").read_bytes() == b'name,value\n"a, b",1.5\n'
