"""experiments.corrupt: 16-bit files, layout, manifest, and the same bits again."""

import json

import numpy as np
import pytest
import soundfile

from experiments.corrupt_run import CorruptRun, to_int16, write_set
from tests.experiments import tiny


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corrupt")
    tiny.make_arabic(folder / "data")
    tiny.make_noises(folder / "noise")
    return folder


def a_run(place, output, **changes):
    run = CorruptRun(
        dataset="arabic_speech_commands",
        data_dir=str(place / "data"),
        noise_dir=str(place / "noise"),
        corruption=["ENSC"],
        level=["L1"],
        output=str(output),
        profile="reference",
        seed=5,
        split="test",
        allow_partial=False,
    )
    return run._replace(**changes)


def test_samples_are_rounded_and_saturate():
    wave = np.array([0.0, 1.0, -1.0, 2.0, -2.0, 0.5 / 32768, 1.5 / 32768, -0.6 / 32768])
    assert to_int16(wave).tolist() == [0, 32767, -32768, 32767, -32768, 0, 2, -1]


def test_a_cell_is_whole_and_repeats(place, tmp_path):
    assert write_set(a_run(place, tmp_path / "a")).startswith("1 cells written")
    cell = tmp_path / "a" / "ENSC" / "L1"
    manifest = [json.loads(line) for line in (cell / "manifest.jsonl").read_text().splitlines()]
    assert len(manifest) == 15
    assert {entry["snr_db"] for entry in manifest} <= {5.0, 5.5, 6.0}
    assert all(entry["seed"] == 5 and entry["noise"] for entry in manifest)
    write_set(a_run(place, tmp_path / "b"))
    for entry in manifest:
        file = cell / entry["file"]
        info = soundfile.info(file)
        assert (info.subtype, info.samplerate, info.frames) == ("PCM_16", 16_000, 16_000)
        assert file.read_bytes() == (tmp_path / "b" / "ENSC" / "L1" / entry["file"]).read_bytes()
    assert write_set(a_run(place, tmp_path / "a")).startswith("0 cells written, 1 were there already")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"corruption": ["clean"]}, "--corruption=clean writes no corrupted set"),
        ({"corruption": ["ENQ"]}, "QUT-NOISE"),
        ({"noise_dir": None}, "ENSC needs --noise_dir"),
        ({"profile": "faithful"}, "unknown profile 'faithful'"),
        ({"level": ["L9"]}, "unknown level 'L9'"),
    ],
)
def test_bad_input_gets_one_sentence_and_nothing_is_written(place, tmp_path, changes, message):
    with pytest.raises(ValueError, match=message) as caught:
        write_set(a_run(place, tmp_path / "out", **changes))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()
