"""The quickstart keeps its promises: each corruption costs at least 5 points, adaptation gives back as many."""

import re

import numpy as np
import pytest

from dhauds_jax.errors import BadInput
from dhauds_jax.runs import quickstart as quickstarts
from dhauds_jax.runs.adapt import Results
from dhauds_jax.runs.quickstart import Quickstart, outcome, quickstart
from dhauds_jax.workdir import records


@pytest.mark.as_shipped
def test_the_whole_story(tmp_path, capsys):
    run = Quickstart(workdir=str(tmp_path / "out"), method=["source", "dhauds"])
    said = quickstart(run, "the command")
    assert said.startswith("14 records reported")
    found = records.read(tmp_path / "out")
    clean = next(r for r in found if r["corruption"] == "clean")["non_adapted"]
    broken = [r for r in found if r["corruption"] != "clean" and r["method"] == "dhauds"]
    assert [r["corruption"] for r in broken] == ["WHN", "ENQ", "END1", "END2", "ENSC", "PSH"]
    before = np.mean([r["non_adapted"] for r in broken])
    after = np.mean([r["adapted_last"] for r in broken])
    assert clean > 0.9
    assert clean - max(r["non_adapted"] for r in broken) > 0.05  # PSH costs least: 12 points where this was written
    assert clean - before > 0.3
    assert after - before > 0.05
    assert all(r["profile"] == "corrected" and r["options"]["gent_views"] == "both" for r in broken)
    text = (tmp_path / "out" / "report" / "report.md").read_text()
    assert "![spectrograms](spectrograms.png)" in text
    for name in ("gain-1.png", "curves-1.png", "spectrograms.png"):
        assert (tmp_path / "out" / "report" / name).read_bytes().startswith(b"\x89PNG")
    lines = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"\[ *\d+ s\] on \d+ x .+", lines[0])
    assert [line.split("] ")[1][:3] for line in lines if line.startswith("[")] == ["on ", "1/3", "2/3", "3/3"]
    assert "clean accuracy" in "\n".join(lines)


def test_the_last_lines_are_of_this_run_alone(tmp_path, monkeypatch, capsys):
    """Before, records of an earlier --epochs or --level in the folder were averaged in."""
    record = {"corruption": "WHN", "level": "L2", "method": "source", "non_adapted": 0.5, "adapted_last": 0.5}
    records.append(tmp_path, {**dict.fromkeys(records.KEYS, 0), **record, "cell": "older", "adapted_last": 0.1})
    found = Results([record], 0, "")
    monkeypatch.setattr(quickstarts, "train_and_save", lambda run, command, options: "already trained")
    monkeypatch.setattr(quickstarts, "results", lambda run, command, programs: found)
    monkeypatch.setattr(quickstarts, "write_report", lambda folders: "reported")
    assert quickstart(Quickstart(workdir=str(tmp_path)), "c") == "reported"
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "  source    50.0 %  (+0.0 points)"
    assert f"0 records written, 1 was there already: {tmp_path / 'results.jsonl'}" in lines


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"corruption": ["WNH"]}, "unknown corruption 'WNH': expected WHN"),
        ({"method": ["tnt"]}, "unknown method 'tnt': expected tent"),
        ({"level": ["L3"]}, "'L3'"),
        ({"profile": "fixed"}, "fixed"),
        ({"epochs": 0}, "--epochs=0: expected at least 1"),
        ({"train_epochs": 0}, "--train_epochs"),
    ],
)
def test_what_cannot_be_is_said_before_the_training(tmp_path, monkeypatch, wrong, said):
    """Before, a wrong corruption was told after a minute of training."""
    monkeypatch.setattr(quickstarts, "train_and_save", lambda *given: pytest.fail("it trained"))
    with pytest.raises(BadInput, match=re.escape(said)):
        quickstart(Quickstart(workdir=str(tmp_path / "out"), **wrong), "c")
    assert not (tmp_path / "out").exists()


def test_the_outcome_in_a_few_lines():
    def cell(corruption, method, before, after):
        return {"corruption": corruption, "level": "L2", "method": method, "non_adapted": before, "adapted_last": after}

    found = [cell("clean", "source", 0.95, 0.95)]
    for corruption, before, after in (("WHN", 0.2, 0.8), ("PSH", 0.6, 0.7)):
        found += [cell(corruption, "source", before, before), cell(corruption, "dhauds", before, after)]
    assert outcome(found).splitlines() == [
        "clean accuracy 95.0 %",
        "corrupted, mean over cells 40.0 %",
        "  source    40.0 %  (+0.0 points)",
        "  dhauds    75.0 %  (+35.0 points)",
    ]
