"""Cutting LibriSpeech-100: speakers 19, 196 and 1926, whose names begin alike."""

import hashlib

import numpy as np
import pytest
import soundfile

from dhauds_jax.data import sets
from dhauds_jax.data.built import librispeech_100 as built
from dhauds_jax.data.loudness import integrated_loudness
from dhauds_jax.data.sets.librispeech_100 import CLASSES, CUTS, SIZES
from dhauds_jax.errors import BadInput
from tests.data.fakes import few_shot

SMALL = {"train": 8, "val": 2, "test": 1}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    raw, output = tmp_path_factory.mktemp("raw"), tmp_path_factory.mktemp("out")
    few_shot.librispeech_raw(raw)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(built, "SIZES", SMALL)
        notices = built.build(raw, output)
    return raw, output, notices


def listed(output, name):
    data = sets.get(name)
    return {split: data.listing(output, split, False)[0] for split in data.splits}


def test_each_speaker_has_its_own_pieces(place):
    _, output, notices = place
    pieces = sorted(path.name for path in (output / "100spks_segments").iterdir())
    assert len(pieces) == 12 + 12 + 14
    found = listed(output, "librispeech_100")
    for speaker, label in few_shot.LABELS.items():
        own = sorted(name for name in pieces if name.split("_")[0] == speaker)
        taken = [[ref.path.name for ref in refs if ref.label == label] for refs in found.values()]
        assert taken == [own[:8], own[8:10], own[10:11]]
    assert own[:4] == ["196_0.wav", "196_1.wav", "196_10.wav", "196_11.wav"]  # in the order of texts
    assert len(notices) == 2 and "has 3 of the 100 speakers" in notices[0]
    assert notices[1] == "3 speakers have other numbers of pieces (19 has 12, expected 755)"


def test_the_published_mistake_is_kept_under_its_name(place):
    """The published list of 19 is of all names that begin so: sorted, those of 1926 and 196 come before its own."""
    _, output, _ = place
    found = listed(output, "librispeech_100/published")
    of = lambda label: [ref.path.name for ref in found["train"] if ref.label == label]  # noqa: E731
    assert of(few_shot.LABELS["19"]) == of(few_shot.LABELS["1926"])
    assert {name.split("_")[0] for name in of(few_shot.LABELS["19"])} == {"1926"}
    assert {name.split("_")[0] for name in of(few_shot.LABELS["196"])} == {"196"}
    header, first = (output / "librispeech_fscil_train.csv").read_text().splitlines()[:2]
    assert header == "filename,speaker_id,label" and first == "1926_0.wav,19,12"


def test_pieces_are_consecutive_and_at_one_loudness(place):
    raw, output, _ = place
    waves = [soundfile.read(output / "100spks_segments" / f"19_{k}.wav")[0] for k in range(12)]
    assert all(len(wave) == 32_000 for wave in waves)
    whole = np.concatenate(waves)
    readings = sorted((raw / "train-clean-100/19").rglob("*.flac"))
    first = soundfile.read(readings[0])[0]
    gain = whole[: len(first)] @ first / (first @ first)
    np.testing.assert_allclose(whole[: len(first)], gain * first, atol=2**-15)
    assert integrated_loudness(whole[: len(first)], 16_000) == pytest.approx(-23, abs=0.02)


def test_what_is_there_is_not_cut_again(place):
    raw, output, _ = place
    piece = output / "100spks_segments" / "196_3.wav"
    before = piece.read_bytes(), piece.stat().st_mtime_ns
    built.build(raw, output)
    assert (piece.read_bytes(), piece.stat().st_mtime_ns) == before


def test_the_names_of_all_clips_follow_from_the_published_numbers_of_pieces():
    """The public test table has these ends of its first eight classes, and these five pairs of equal lists.

    The digest is of all rows of the 95 other classes as they follow from the published durations.
    """
    names = {speaker: [f"{speaker}_{piece}.wav" for piece in range(count)] for speaker, count in CUTS.items()}
    own = {speaker: built.names_of(speaker, names[speaker]) for speaker in CLASSES}
    ends = {"1069": 95, "1081": 94, "1088": 94, "1116": 96, "125": 94, "1263": 95, "1447": 94, "1455": 95}
    for speaker, last in ends.items():
        rows = built.rows_of({speaker: own[speaker]}, "test", SIZES)
        assert (rows[0][0], rows[-1][0], len(rows)) == (f"{speaker}_684.wav", f"{speaker}_{last}.wav", 100)
    alike = {
        speaker: [n for other in CLASSES if other.startswith(speaker) for n in names[other]] for speaker in CLASSES
    }
    published = {speaker: built.names_of(speaker, alike[speaker], as_published=True)[:750] for speaker in CLASSES}
    mistaken = [speaker for speaker in CLASSES if published[speaker] != own[speaker][:750]]
    assert mistaken == ["19", "196", "200", "426", "831"]
    twins = {"19": "1926", "196": "1963", "200": "2007", "426": "4267", "831": "8312"}
    assert all(published[speaker] == own[twins[speaker]][:750] for speaker in mistaken)
    right = "".join(name for speaker in CLASSES if speaker not in mistaken for name in published[speaker])
    assert hashlib.sha256(right.encode()).hexdigest()[:16] == "d8f12e7a9007e348"


def test_a_folder_of_something_else(tmp_path):
    with pytest.raises(BadInput, match=r"--build=\S+: holds none of the 100 speakers .*train-clean-100"):
        built.build(tmp_path, tmp_path / "out")
