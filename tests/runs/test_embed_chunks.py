"""experiments.embed of a set whose recordings fall into pieces: ids, label sets, groups, and each piece by itself."""

import csv

import numpy as np
import pytest
import soundfile

from dhauds_jax.runs.embed import embed
from dhauds_jax.runs.requests.embed import EmbedRun
from dhauds_jax.workdir import vectors
from tests.data.fakes.scenes import tut_sed
from tests.runs import tiny


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("chunks")
    tut_sed(folder / "data", rate=tiny.RATE)
    tiny.make_checkpoint(folder / "checkpoint")
    return folder


def run_of(place, output, **changes):
    given = {"dataset": "tut_sed", "data_dir": str(place / "data"), "split": ("all",)}
    return EmbedRun(checkpoint=str(place / "checkpoint"), output=str(output), **{**given, **changes})


def test_pieces_of_recordings_have_any_number_of_labels(place, tmp_path, capsys):
    assert embed(run_of(place, tmp_path / "a"), "c").startswith("8 clips embedded")
    assert "tut_sed (all): 8 clips\n" in capsys.readouterr().out
    found = vectors.read(tmp_path / "a")
    with (tmp_path / "a" / "index.csv").open(newline="") as file:
        rows = [*csv.DictReader(file)]
    assert [(row["key"].rpartition("/")[2], row["label"]) for row in rows] == [
        ("a1.wav#0", "dishes;rustling"),
        ("a1.wav#10", "dishes"),
        ("a1.wav#20", ""),
        ("b1.wav#0", ""),
        ("b2.wav#0", "bird singing"),
        ("c1.wav#0", "car;people walking"),
        ("c1.wav#10", "people walking"),
        ("c1.wav#20", "car"),
    ]
    assert found.label_rows.sum(1).tolist() == [2, 1, 0, 0, 1, 2, 1, 1]
    assert found.folds == ("3", "3", "3", "3", "1", "3", "3", "3")
    assert found.groups[5:] == ("audio/street/c1.wav",) * 3 and set(found.splits) == {"all"}
    np.testing.assert_allclose(found.seconds, [10, 10, 1, 10, 4, 10, 10, 10])
    assert embed(run_of(place, tmp_path / "a", export=("hear",)), "c").endswith(" (and hear)")
    label = tmp_path / "a" / "hear" / "fold01" / "audio" / "street" / "c1.wav#0.target-labels.json"
    assert label.read_text() == '["car", "people walking"]'
    # The piece as a file of its own, as the published system writes it, has the same vector.
    wave, rate = soundfile.read(place / "data/TUT-sound-events-2017-development/audio/street/c1.wav", dtype="int16")
    (tmp_path / "cut").mkdir()
    soundfile.write(tmp_path / "cut" / "p.wav", wave[10 * rate : 20 * rate], rate, subtype="PCM_16")
    changes = {"dataset": None, "data_dir": None, "audio_dir": str(tmp_path / "cut")}
    embed(run_of(place, tmp_path / "b", **changes), "c")
    np.testing.assert_array_equal(vectors.read(tmp_path / "b").vectors[0], found.vectors[6])
    assert embed(run_of(place, tmp_path / "a"), "c").startswith("8 clips were embedded already")


def test_a_recording_that_cannot_be_read_is_left_out(place, tmp_path, capsys):
    bad = place / "data/TUT-sound-events-2016-development/audio/residential_area/b2.wav"
    kept = bad.read_bytes()
    bad.write_bytes(kept[:1_000])
    try:
        embed(run_of(place, tmp_path), "c")
    finally:
        bad.write_bytes(kept)
    assert "skipped: audio/residential_area/b2.wav#0: truncated" in capsys.readouterr().out
    assert len(vectors.read(tmp_path).ids) == 7
