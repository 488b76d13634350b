"""Transmissions in commands: -C sets and their manifests, adapted cells, versions of libsndfile."""

import json

import pytest
import soundfile

from dhauds_jax.data import corruptions as C
from dhauds_jax.runs.adapt import adapt
from dhauds_jax.runs.corrupt import CorruptRun, run_command
from dhauds_jax.workdir import records
from tests.runs import adapt_runs


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return adapt_runs.made(tmp_path_factory.mktemp("transmissions"))


@pytest.mark.slow
def test_a_set_has_folders_of_levels_and_severities_and_says_what_libsndfile_made_it(
    place, tmp_path, monkeypatch, capsys
):
    run = CorruptRun(
        dataset="arabic_speech_commands",
        data_dir=str(place / "data"),
        corruption=["CLI+CDC"],
        level=["L1", "S0.25"],
        output=str(tmp_path),
        verify="",
    )
    assert run_command(run).startswith("2 cells written")
    folder = tmp_path / "CLI+CDC" / "S0.25"
    record = json.loads((folder / "cell.json").read_text())
    assert record["made_with"] == {"libsndfile": soundfile.__libsndfile_version__}
    lines = [json.loads(line) for line in (folder / "manifest.jsonl").read_text().splitlines()]
    assert {line["CDC"]["codec"] for line in lines} <= {"mp3", "opus", "vorbis", "mu_law"}
    draws = C.replayed(lines)
    assert draws.choices["CDC.severity"].tolist() == [0.25] * len(lines)
    assert run_command(run.replace(verify="samples")).startswith("2 cells agree")
    assert "made with" not in capsys.readouterr().out
    monkeypatch.setattr(soundfile, "__libsndfile_version__", "9.9")
    assert run_command(run.replace(level=["L1"])).startswith("0 cells written")
    expected = (
        f"note: {tmp_path / 'CLI+CDC' / 'L1'}: made with libsndfile {record['made_with']['libsndfile']}, here is 9.9"
    )
    assert expected in capsys.readouterr().out
    run_command(run.replace(verify="samples"))
    assert capsys.readouterr().out.count("here is 9.9: samples may differ, draws do not") == 2


@pytest.mark.slow
def test_adapted_cells_and_streams_of_them(place, tmp_path):
    run = adapt_runs.a_run(
        place,
        tmp_path,
        method=["norm"],
        corruption=["MIC", "CLI+PLO", "CDC:S0.5"],
        protocol=["online", "continual"],
        profile="corrected",
    )
    adapt(run, "c")
    found = {(r["corruption"], r["level"], r["protocol"]): r for r in records.read(tmp_path)}
    joined = ("MIC+(CLI+PLO)+CDC", "L2+S0.5", "continual")
    assert set(found) == {("MIC", "L2", "online"), ("CLI+PLO", "L2", "online"), ("CDC", "S0.5", "online"), joined}
    version = soundfile.__libsndfile_version__
    assert (
        found["CDC", "S0.5", "online"]["options"]["draw_libsndfile"]
        == version
        == found[joined]["options"]["draw_libsndfile"]
    )
    assert "draw_libsndfile" not in found["MIC", "L2", "online"]["options"]
    assert [one["corruption"] for one in found[joined]["domains"]] == ["MIC", "CLI+PLO", "CDC"]
    adapt(run, "c")
    assert len(list(records.read(tmp_path))) == len(found)
