"""Speakers as classes, and digits by speaker: variants that share ids, and so draws, with their plain set."""

import jax
import numpy as np
import pytest

from dhauds_jax import class_names
from dhauds_jax.data import sets
from dhauds_jax.data.corruptions import clip_keys
from dhauds_jax.errors import BadInput


@pytest.fixture
def arabic(tmp_path):
    """Two takes of every word by every speaker, 18, 6 and 6 of them; the files are empty, as none is read."""
    rows = {"train": [], "val": [], "test": []}
    for speaker in range(1, 31):
        split = "train" if speaker <= 18 else "val" if speaker <= 24 else "test"
        for word in class_names.ARABIC_SPEECH_COMMANDS:
            for take in (1, 2):
                name = f"dataset/{word}/{speaker:08d}_NO_{take:02d}.flac"
                (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
                (tmp_path / name).touch()
                rows[split].append(f"{name},{word}\n")
    for split, lines in rows.items():
        (tmp_path / f"{split}.csv").write_text("file,class\n" + "".join(lines))
    return tmp_path


def listed(name, folder, split):
    return sets.get(name).listing(folder, split, False)[0]


def test_a_voice_is_learnt_from_digits_and_tested_on_other_words(arabic):
    name = "arabic_speech_commands/speakers"
    parts = {split: listed(name, arabic, split) for split in ("train", "test")}
    assert {split: len(refs) for split, refs in parts.items()} == {"train": 600, "test": 300}
    words = {split: {ref.id.split("/")[1] for ref in refs} for split, refs in parts.items()}
    assert words["test"] == {"up", "down", "left", "right", "stop"} and len(words["train"]) == 10
    assert not words["train"] & words["test"]
    data = sets.get(name)
    for refs in parts.values():
        assert [ref.id for ref in refs] == sorted(ref.id for ref in refs)
        assert all(data.classes[ref.label] in ref.id for ref in refs)
        assert np.bincount([ref.label for ref in refs]).tolist() == [len(refs) // 30] * 30
    whole = {ref.id for split in ("train", "val", "test") for ref in listed("arabic_speech_commands", arabic, split)}
    assert {ref.id for refs in parts.values() for ref in refs} == whole
    assert data.counts == {"train": 3_000, "test": 1_500} and data.class_counts["test"]["00000030"] == 50


def test_a_clip_of_no_known_speaker_is_named(arabic):
    (arabic / "dataset/up/00000031_NO_01.flac").touch()
    with (arabic / "val.csv").open("a") as table:
        table.write("dataset/up/00000031_NO_01.flac,up\n")
    with pytest.raises(BadInput, match=r"up/00000031_NO_01\.flac is of no known speaker, expected .* to 00000030"):
        listed("arabic_speech_commands/speakers", arabic, "test")
    assert len(listed("arabic_speech_commands/speakers", arabic, "train")) == 600


@pytest.fixture
def digits(tmp_path):
    (tmp_path / "recordings").mkdir()
    for digit in range(10):
        for speaker in ("george", "jackson", "lucas", "nicolas", "theo", "yweweler"):
            for take in (0, 4, 5, 24, 25, 49):
                (tmp_path / "recordings" / f"{digit}_{speaker}_{take}.wav").touch()
    return tmp_path


def test_pairs_are_each_digit_of_each_speaker(digits):
    data = sets.get("free_spoken_digit/pairs")
    assert (
        len(data.classes) == 60 and data.classes[:2] == ("0_george", "0_jackson") and data.splits == ("train", "test")
    )
    for split, takes in (("train", ("5", "24")), ("test", ("0", "4"))):
        refs = listed(data.name, digits, split)
        assert len(refs) == 120
        assert {(data.classes[ref.label], ref.id) for ref in refs} == {
            (pair, f"recordings/{pair}_{take}.wav") for pair in data.classes for take in takes
        }
    assert data.counts == {"train": 1_200, "test": 300} and data.class_counts["train"]["9_theo"] == 20


def test_a_clip_is_corrupted_as_in_the_plain_set(digits):
    plain = [ref.id for ref in listed("free_spoken_digit", digits, "test")]
    pairs = [ref.id for ref in listed("free_spoken_digit/pairs", digits, "test")]
    assert plain == pairs
    keys = [clip_keys(0, name, "WHN", "L2", plain) for name in ("free_spoken_digit", "free_spoken_digit/pairs")]
    assert np.array_equal(*(jax.random.key_data(key) for key in keys))
