"""Speech Commands, on small copies in the published layouts."""

import pytest

from tests.data import speech_copies
from tests.data.fakes.audio import write_clip
from tests.data.speech_copies import fresh, labels_of, listed


@pytest.fixture(scope="module")
def copies(tmp_path_factory):
    return speech_copies.copies_in(tmp_path_factory)


@pytest.fixture
def commands(copies, tmp_path):
    return fresh(copies, "speech_commands_v1", tmp_path)


def test_speech_commands_splits_follow_the_lists(copies):
    folder, _ = copies("speech_commands_v2")
    test = labels_of("speech_commands_v2", folder, "test")
    assert list(test.items())[:2] == [
        ("backward/0a0a0a0a_nohash_0.wav", "backward"),
        ("bed/0a0a0a0a_nohash_0.wav", "bed"),
    ]
    assert test == labels_of("speech_commands_v2/amaut", folder, "test")
    train = labels_of("speech_commands_v2", folder, "train")
    assert list(train)[-2:] == ["zero/2c2c2c2c_nohash_0.wav", "zero/2c2c2c2c_nohash_1.wav"]
    assert list(train) == sorted(train) and not any("_background_noise_" in name for name in train)
    refs = {name: listed(name, folder, "val")[0] for name in ("speech_commands_v2", "speech_commands_v2/amaut")}
    numbers = {name: {ref.id[:4]: ref.label for ref in part} for name, part in refs.items()}
    assert [numbers[name]["zero"] for name in refs] == [4, 0] and [numbers[name]["back"] for name in refs] == [0, 30]


def test_speech_commands_absent_files(commands):
    for word in ("bed", "cat"):
        (commands / word / "0a0a0a0a_nohash_0.wav").unlink()
    with pytest.raises(ValueError, match=r"testing_list\.txt names 30 files and 2 of them are absent \(.*: bed/"):
        listed("speech_commands_v1", commands, "test")
    refs, notices = listed("speech_commands_v1", commands, "test", allow_partial=True)
    assert len(refs) == 28 and notices[0].endswith("going on with 28")
    assert len(listed("speech_commands_v1", commands, "train")[0]) == 60


def test_speech_commands_names_with_spaces(commands):
    """Before, a line was split at its spaces: "unknown word in 'take.wav'"."""
    name = "bed/a take.wav"
    (commands / "bed" / "0a0a0a0a_nohash_0.wav").rename(commands / name)
    table = commands / "testing_list.txt"
    table.write_text(table.read_text().replace("bed/0a0a0a0a_nohash_0.wav", f"{name} ").replace("\n", "\r\n"))
    refs, notices = listed("speech_commands_v1", commands, "test")
    assert refs[0].id == name and (len(refs), notices) == (30, ())
    assert name not in {ref.id for ref in listed("speech_commands_v1", commands, "train")[0]}


def test_speech_commands_absent_words(commands):
    for path in (commands / "yes").iterdir():
        path.unlink()
    with pytest.raises(ValueError, match=r"no clips of 1 of the 30 words of speech_commands_v0\.01 \(the first: yes\)"):
        listed("speech_commands_v1", commands, "train")
    refs, notices = listed("speech_commands_v1", commands, "train", allow_partial=True)
    assert len(refs) == 58 and len(notices) == 1


def test_speech_commands_unknown_words(commands):
    write_clip(commands / "elephant" / "0a0a0a0a_nohash_0.wav", 3, rate=16_000, seconds=0.1)
    for split in ("train", "val", "test"):
        with pytest.raises(ValueError, match=r"elephant: holds clips of an unknown word, expected one of the 30 words"):
            listed("speech_commands_v1", commands, split)
    (commands / "elephant" / "0a0a0a0a_nohash_0.wav").unlink()
    with (commands / "validation_list.txt").open("a") as file:
        file.write("elephant/0a0a0a0a_nohash_0.wav\n")
    for split in ("train", "val"):
        with pytest.raises(ValueError, match=r"validation_list\.txt: unknown word in 'elephant/0a0a0a0a"):
            listed("speech_commands_v1", commands, split)
    (commands / "validation_list.txt").write_text("")
    with pytest.raises(ValueError, match=r"validation_list\.txt: no lines"):
        listed("speech_commands_v1", commands, "val")
    (commands / "validation_list.txt").unlink()
    with pytest.raises(ValueError, match=r"validation_list\.txt: no such file"):
        listed("speech_commands_v1", commands, "train")


def test_the_other_version_of_speech_commands_is_noticed(commands, copies):
    with pytest.raises(ValueError, match=r"no clips of 5 of the 35 words of .*0\.02 \(the first: backward, follow"):
        listed("speech_commands_v2", commands, "test")
    folder, _ = copies("speech_commands_v2")
    with pytest.raises(ValueError, match=r"backward: holds clips of an unknown word"):
        listed("speech_commands_v1", folder, "test")
