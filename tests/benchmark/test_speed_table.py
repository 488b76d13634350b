"""The table of networks and methods beside PyTorch: rows that are there, not settled, not measured; the driver."""

import json
import subprocess

import pytest

from benchmarks import speed_history, speed_rows, speed_table
from benchmarks.speed_table import Row
from dhauds_jax.benchmark import pytorch
from dhauds_jax.nets import zoo
from tests.test_docs import ROOT

ROW = Row("forward", "amaut_arabic15", "", 8)


def record(row=ROW, **more):
    about = {"what": row.what, "net": row.net, "batch": row.batch, **({"method": row.method} if row.method else {})}
    theirs = {"seconds": 0.03, "mode": "compiled"}
    found = {"vs_torch": 1.5, "vs_torch_interval": [1.45, 1.6], "vs_torch_rounds": 7, "settled": True, "seconds": 0.02}
    return {**about, **found, "torch": theirs, "date": "2026-12-01", "peak_share": 0.5, **more}


def test_a_row_says_its_ratio_or_why_there_is_none():
    first = ["`amaut_arabic15`", "forward", "8"]
    assert speed_table.cells(ROW, record())[3:] == [
        "20",
        "30",
        "compiled",
        "**1.50** (1.45 to 1.60)",
        "50 %",
        "2026-12-01",
    ]
    assert speed_table.cells(ROW, None) == [*first, "", "", "", "not measured", "", ""]
    swings = speed_table.cells(ROW, record(settled=False, vs_torch_rounds=31))
    assert swings[6] == "not settled: 1.50 (1.45 to 1.60) in 31 rounds"
    assert speed_table.cells(ROW, {"reason": "no room"})[6] == "not measured: no room"


def test_every_network_and_every_method_has_a_row():
    rows = speed_table.rows()
    assert len(set(rows)) == len(rows)
    assert {row.net for row in rows if row.what == "forward"} == set(pytorch.NETS)
    assert {row.net for row in rows if row.what == "adapt"} == set(pytorch.NETS)
    assert {row.method for row in rows if row.net == speed_table.METHODS_NET} == {"", *pytorch.METHODS}
    assert [row.net for row in rows] == sorted((row.net for row in rows), key=pytorch.NETS.index)
    without = [net for net in pytorch.NETS if zoo.preset(net, ("a", "b")).family == "spectrogram_transformer"]
    assert {*without, "vggish"} == set(speed_table.WITHOUT_NORM)


def test_the_page_shows_the_records():
    page = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")
    assert speed_table.filled(page, speed_table.read(ROOT / speed_table.RECORDS)) == page


def test_what_is_lacking_is_measured_and_what_fails_is_said(tmp_path, monkeypatch, capsys):
    rows = [ROW, Row("adapt", "amaut_arabic15", "tent", 8)]
    monkeypatch.setattr(speed_table, "rows", lambda: rows)
    asked = []

    def run(words, **how):
        asked.append(words[1:])
        failed = "--what=adapt" in words
        said = "" if failed else "a word\n" + json.dumps(record()) + "\n"
        return subprocess.CompletedProcess(words, int(failed), said, "error: no room\n" if failed else "")

    monkeypatch.setattr(speed_rows.subprocess, "run", run)
    path = tmp_path / "records" / "rows.jsonl"
    speed_rows.main([f"--records={path}", "--", "--rounds=7"])
    found = speed_table.read(path)
    assert found[rows[0]]["vs_torch"] == 1.5 and found[rows[1]]["reason"] == "error: no room"
    assert asked[0] == [*rows[0].command.split()[1:], "--rounds=7"]
    speed_rows.main([f"--records={path}"])
    assert len(asked) == 2 and "0 of 2 rows are lacking" in capsys.readouterr().out
    speed_rows.main([f"--records={path}", "--only=forward", "--again"])
    assert len(asked) == 3 and len(path.read_text().splitlines()) == 3
    speed_rows.main([f"--records={path}", "--again", "--minutes=0"])
    assert len(asked) == 3


def test_the_history_is_of_one_machine_and_begins_at_one(tmp_path, monkeypatch):
    shared = {"git_revision": "abc", "device": "cpu", "versions": {"jax": "1"}}
    seconds = iter([2.0, 1.0, 4.0])

    def measured(flags):
        return [{"what": "forward", "net": flags, "batch": 8, "seconds": next(seconds), **shared}]

    monkeypatch.setattr(speed_history, "measured", measured)
    words = [f"--records={tmp_path / 'speed.jsonl'}", f"--picture={tmp_path / 'speed.png'}", "--flags=one"]
    for note in ("here", "here", "there"):
        speed_history.main([*words, f"--note={note}"])
    found = speed_history.read(tmp_path / "speed.jsonl")
    assert [each["note"] for each in found] == ["here", "here", "there"] and found[0]["git_revision"] == "abc"
    assert speed_history.series(found) == {
        ("here cpu", "forward one 8"): [(0, 1.0), (1, 0.5)],
        ("there cpu", "forward one 8"): [(2, 1.0)],
    }
    assert (tmp_path / "speed.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("flags", speed_history.FIXED)
def test_flags_of_the_history_are_those_of_the_benchmark(flags):
    from dhauds_jax.runs.requests.benchmark import Benchmark

    names = {word.removeprefix("--").partition("=")[0] for word in flags.split()}
    assert names <= set(Benchmark.defaults())
