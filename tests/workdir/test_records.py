"""Records: whole lines, known keys."""

import json
import os
from pathlib import Path

import jax
import numpy as np
import pytest

from dhauds_jax.workdir import records


def a_record(**changes):
    return {**dict.fromkeys(records.KEYS, 0), "cell": "x", **changes}


def test_append_and_read_keep_order_and_values(tmp_path):
    records.append(tmp_path, a_record(seed=1, curve=[{"epoch": 0}]))
    records.append(tmp_path, a_record(seed=2))
    assert [r["seed"] for r in records.read(tmp_path)] == [1, 2]
    assert records.read(tmp_path)[0]["curve"] == [{"epoch": 0}]


def test_a_torn_line_is_left_out_and_does_not_swallow_the_next(tmp_path):
    records.append(tmp_path, a_record(seed=1))
    with (tmp_path / records.FILE).open("a") as file:
        file.write('{"dataset": "half')
    records.append(tmp_path, a_record(seed=3))
    assert [r["seed"] for r in records.read(tmp_path)] == [1, 3]


def test_a_record_without_a_key_is_refused_and_nothing_is_written(tmp_path):
    record = a_record()
    del record["ece"]
    with pytest.raises(ValueError, match="the record lacks the keys ece"):
        records.append(tmp_path / "new", record)
    assert not (tmp_path / "new").exists()


def test_records_say_their_format_and_those_of_another_never_count_as_done(tmp_path):
    """Format 1 has no key "format": it is read and reported, set aside, and said."""
    old = a_record(cell="old", seed=7)
    del old["parameters_moved"], old["ece"], old["selection"]  # a key that came later must not make it vanish
    (tmp_path / records.FILE).write_text(json.dumps(old) + "\n")
    assert records.done(tmp_path) == ({}, 1)
    records.append(tmp_path, a_record(cell="new"), kind="results")
    found = records.read(tmp_path)
    assert [(r["cell"], r.get("format")) for r in found] == [("old", None), ("new", records.FORMAT)]
    assert (found[0]["seed"], found[0]["parameters_moved"], np.isnan(found[0]["ece"])) == (7, 0, True)
    assert found[0]["selection"]["criterion"] == "unknown"
    done = records.done(tmp_path)
    assert (list(done.cells), done.set_aside) == (["new"], 1)
    assert done.note == ", 1 of another format than 2 set aside (in reports, but run again)"
    assert records.done(tmp_path / "nothing").note == ""
    assert '{"format": 2, ' in (tmp_path / records.FILE).read_text()


def test_nan_never_enters_a_record(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        records.append(tmp_path, a_record(nll=float("nan")))
    assert records.read(tmp_path) == []


def test_bad_files_are_listed_once_each_and_earlier_ones_stay(tmp_path):
    records.note_bad_files(tmp_path / "out", [])
    assert not (tmp_path / "out").exists()
    records.note_bad_files(tmp_path / "out", [("a/1.wav", "empty (0 bytes)"), ("a/2.wav", "cannot\tbe\nread")])
    records.note_bad_files(tmp_path / "out", (("b/3.wav", "no such file"), ("a/1.wav", "truncated")))
    text = (tmp_path / "out" / "bad_files.txt").read_text()
    assert text == "a/1.wav\ttruncated\na/2.wav\tcannot be read\nb/3.wav\tno such file\n"
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["bad_files.txt"]


def test_of_several_processes_the_first_one_alone_writes(tmp_path, monkeypatch):
    monkeypatch.setattr(jax, "process_index", lambda: 1)
    records.append(tmp_path / "out", a_record())
    records.note_bad_files(tmp_path / "out", [("a/1.wav", "empty")])
    assert not (tmp_path / "out").exists()
    monkeypatch.setattr(jax, "process_index", lambda: 0)
    records.note_bad_files(tmp_path / "out", [("a/1.wav", "empty")])
    assert (tmp_path / "out" / "bad_files.txt").read_text() == "a/1.wav\tempty\n"


def test_adding_a_record_reads_one_byte_of_the_earlier_ones(tmp_path, monkeypatch):
    for seed in (1, 2):
        records.append(tmp_path, a_record(seed=seed))
    monkeypatch.setattr(Path, "read_bytes", lambda path: pytest.fail(f"{path} is read"))
    records.append(tmp_path, a_record(seed=3))
    monkeypatch.undo()
    assert [r["seed"] for r in records.read(tmp_path)] == [1, 2, 3]


def test_folders_without_records_are_named(tmp_path):
    with pytest.raises(ValueError, match=r"no records in .*: expected a results\.jsonl there"):
        records.read_all([tmp_path])
    (tmp_path / "results.jsonl").write_text('{"dataset": "of an older version"}\n')
    with pytest.raises(ValueError, match=r"no line of its results\.jsonl has the keys dataset, corruption"):
        records.read_all([tmp_path])


def test_a_write_that_takes_a_part_at_a_time_loses_nothing(tmp_path, monkeypatch):
    """Before, half a record stayed and nobody said so."""
    whole = os.write
    monkeypatch.setattr(os, "write", lambda handle, data: whole(handle, data[:7]))
    records.append(tmp_path, a_record(seed=1, curve=[{"epoch": 0}]))
    assert [(r["seed"], r["curve"]) for r in records.read(tmp_path)] == [(1, [{"epoch": 0}])]
