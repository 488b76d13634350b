"""Noise corpora and ESC-50, on small copies in the published layouts."""

import pytest

from dhauds_jax.data import sets
from tests.data import speech_copies
from tests.data.fakes import speech
from tests.data.fakes.audio import write_clip
from tests.data.speech_copies import labels_of, listed


@pytest.fixture(scope="module")
def copies(tmp_path_factory):
    return speech_copies.copies_in(tmp_path_factory)


@pytest.mark.parametrize(
    ("name", "strange", "message"),
    [
        ("qut_noise", "FOREST-GREEN-1.wav", r"unknown class 'FOREST', expected .*CAFE, CAR, HOME"),
        ("demand", "SCAFE/ch01.wav", r"SCAFE: unknown environment, expected one of DKITCHEN"),
        ("speech_commands_noise", "_background_noise_/rain.wav", r"rain\.wav: unknown background noise"),
    ],
)
def test_noise_corpora_refuse_strange_files_and_absent_classes(tmp_path, name, strange, message):
    count = speech.FAKES[name](tmp_path)["all"]
    write_clip(tmp_path / strange, 1, rate=16_000, seconds=0.05)
    with pytest.raises(ValueError, match=message):
        listed(name, tmp_path, "all")
    (tmp_path / strange).unlink()
    refs, _ = listed(name, tmp_path, "all")
    assert len(refs) == count and [ref.id for ref in refs] == sorted(ref.id for ref in refs)
    first = [ref for ref in refs if ref.label == refs[0].label]
    for ref in first:
        ref.path.unlink()
    with pytest.raises(ValueError, match=rf"has no clips of 1 of .* \(the first: {sets.get(name).classes[0]}\)"):
        listed(name, tmp_path, "all")
    left, notices = listed(name, tmp_path, "all", allow_partial=True)
    assert len(left) == count - len(first) and len(notices) == 1


def test_noise_labels(copies):
    assert labels_of("qut_noise", copies("qut_noise")[0], "all")["REVERB-POOL-2.wav"] == "REVERB"
    assert labels_of("demand/48k", copies("demand/48k")[0], "all")["SCAFE/ch02.wav"] == "SCAFE"
    assert labels_of("demand", copies("demand")[0], "all")["TMETRO/ch01.wav"] == "TMETRO"
    noises = labels_of("speech_commands_noise", copies("speech_commands_noise")[0], "all")
    assert noises["running_tap.wav"] == "running_tap" and len(noises) == 6


def test_esc50_folds(copies):
    folder, _ = copies("esc50")
    labels = labels_of("esc50", folder, "all")
    assert labels["audio/1-10040-A-40.wav"] == "helicopter" and labels["audio/5-10014-A-14.wav"] == "chirping_birds"
    folder, _ = copies("esc50/fold3")
    assert {ref.path.name[0] for ref in listed("esc50/fold3", folder, "test")[0]} == {"3"}
    assert {ref.path.name[0] for ref in listed("esc50/fold3", folder, "train")[0]} == {"1", "2", "4", "5"}


def test_esc50_errors(tmp_path):
    speech.esc50(tmp_path)
    (tmp_path / "audio" / "1-10000-A-0.wav").unlink()
    with pytest.raises(ValueError, match=r"esc50\.csv names 50 files and 1 of them are absent .*audio/1-10000-A-0"):
        listed("esc50", tmp_path, "all")
    assert len(listed("esc50", tmp_path, "all", allow_partial=True)[0]) == 49
    assert len(listed("esc50/fold2", tmp_path, "test")[0]) == 10
    table = tmp_path / "meta" / "esc50.csv"
    text = table.read_text()
    for wrong in (",6,0,dog,", ",1,1,dog,", ",1,0,elephant,", ",1,x,dog,"):
        table.write_text(text.replace(",1,0,dog,", wrong))
        with pytest.raises(ValueError, match=r"1-10000-A-0\.wav has fold .*expected a fold from 1 to 5 and one of"):
            listed("esc50", tmp_path, "all")
    table.write_text(text.splitlines()[0] + "\n")
    with pytest.raises(ValueError, match=r"esc50\.csv: no rows of fold 1, 2, 3, 4, 5"):
        listed("esc50", tmp_path, "all")
    table.write_text("name,class\na.wav,dog\n")
    with pytest.raises(ValueError, match=r"esc50\.csv: columns \['name', 'class'\], expected category, filename"):
        listed("esc50", tmp_path, "all")
