"""Sets of spoken words and noise corpora, on small copies in the published layouts."""

import itertools
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from dhauds_jax import class_names
from dhauds_jax.data import sets
from dhauds_jax.data.checking import check_copy
from dhauds_jax.data.loading import load_split
from dhauds_jax.data.sets import audio_mnist
from tests.data.fakes import speech
from tests.data.fakes.audio import write_clip

ROOT = Path(__file__).parents[2]
NAMES = tuple(speech.FAKES)
# The table of specs/dhauds.md, section 4.1: fold k tests on group k, validates on the group before.
GROUPS = {
    0: {26, 52, 60, 18, 32, 42, 5, 13, 22, 33, 45, 51},
    1: {28, 56, 7, 19, 35, 1, 6, 16, 23, 34, 46, 53},
    2: {36, 57, 9, 24, 37, 2, 8, 17, 29, 39, 48, 54},
    3: {43, 58, 14, 25, 38, 3, 10, 20, 30, 40, 49, 55},
    4: {12, 47, 59, 15, 27, 41, 4, 11, 21, 31, 44, 50},
}
# Where a published copy lies in its grandparent; in "x/" the folder of the lists is one deeper.
PARENTS = {
    "audio_mnist": "AudioMNIST/data",
    "audio_mnist/fold3": "AudioMNIST/data",
    "audio_mnist/german_accent": "AudioMNIST/data",
    "speech_commands_v1": "SpeechCommands/speech_commands_v0.01",
    "speech_commands_v2": "speech_commands_v0.02/speech_commands_v0.02",
    "speech_commands_v2/amaut": "SpeechCommands/speech_commands_v0.02",
    "free_spoken_digit": "x/free-spoken-digit-dataset",
    "qut_noise": "QUT-NOISE/QUT-NOISE",
    "demand": "DEMAND/DEMAND_16k",
    "demand/48k": "DEMAND/DEMAND_48k",
    "speech_commands_noise": "SpeechCommands/speech_commands_v0.02",
    "esc50": "x/ESC-50",
    "esc50/fold2": "x/ESC-50",
}


@pytest.fixture(scope="module")
def copies(tmp_path_factory):
    """name -> (folder, clips per split), each maker run once a module."""
    made = {}

    def copy(name):
        maker = speech.FAKES[name]
        key = str(getattr(maker, "func", maker)) + str(getattr(maker, "keywords", ""))
        if key not in made:
            folder = tmp_path_factory.mktemp("copy")
            made[key] = (folder, maker(folder))
        return made[key]

    return copy


def fresh(copies, name, tmp_path):
    """A copy that a test may spoil."""
    return Path(shutil.copytree(copies(name)[0], tmp_path / "copy"))


def listed(name, data_dir, split, allow_partial=False):
    refs, notices = sets.get(name).listing(data_dir, split, allow_partial)
    return refs, notices


def labels_of(name, data_dir, split):
    data = sets.get(name, data_dir)
    return {ref.id: data.classes[ref.label] for ref in listed(name, data_dir, split)[0]}


@pytest.mark.parametrize("name", NAMES)
def test_every_split_lists_its_clips(copies, name):
    folder, counts = copies(name)
    data = sets.get(name, folder)
    assert data.splits == tuple(counts)
    for split, count in counts.items():
        refs, notices = listed(name, folder, split)
        assert len(refs) == count and notices == ()
        assert len({ref.id for ref in refs}) == count
        assert all(ref.path.is_file() and ref.path.as_posix().endswith(ref.id) for ref in refs)
        assert {ref.label for ref in refs} <= set(range(len(data.classes)))


@pytest.mark.parametrize("name", [n for n in NAMES if n != "audio_mnist/german_accent"])
def test_splits_are_disjoint(copies, name):
    folder, counts = copies(name)
    parts = [{ref.id for ref in listed(name, folder, split)[0]} for split in counts]
    assert all(not a & b for a, b in itertools.combinations(parts, 2))


@pytest.mark.parametrize("name", NAMES)
def test_published_facts_agree(name):
    data = sets.get(name)
    assert data.licence and data.citation and data.layout and (data.homepage or name == "folder")
    assert set(data.counts) == (set() if name == "folder" else set(data.splits))
    for split, per_class in data.class_counts.items():
        assert set(per_class) == set(data.classes)
        assert sum(per_class.values()) == data.counts[split]


def test_the_docs_have_a_row_for_every_set():
    rows = [line for line in (ROOT / "docs" / "data.md").read_text().splitlines() if line.startswith("|")]
    for name in NAMES:
        if "/" not in name:
            (row,) = [row for row in rows if f"`{name}`" in row.split("|")[2]]
            assert all(f"{count:,}" in row for count in sets.get(name).counts.values())


def test_published_counts():
    v1, v2 = sets.get("speech_commands_v1"), sets.get("speech_commands_v2/amaut")
    assert v1.counts == {"train": 51_088, "val": 6_798, "test": 6_835} and v1.seconds == (0.2, 1.0)
    assert v2.counts == {"train": 84_843, "val": 9_981, "test": 11_005}
    assert [v1.class_counts[split]["yes"] for split in v1.splits] == [1_860, 261, 256]
    assert [v1.class_counts[split]["tree"] for split in v1.splits] == [1_374, 166, 193]
    assert sets.get("audio_mnist/fold2").counts == {"train": 18_000, "val": 6_000, "test": 6_000}
    assert sets.get("audio_mnist/german_accent").counts == {"train": 20_000, "val": 6_000, "test": 10_000}
    assert sets.get("free_spoken_digit").class_counts["train"]["7"] == 240
    totals = {name: sets.get(name).counts["all"] for name in ("qut_noise", "demand/16k", "demand/48k", "esc50")}
    assert totals == {"qut_noise": 20, "demand/16k": 272, "demand/48k": 288, "esc50": 2_000}
    assert sets.get("esc50/fold5").counts == {"train": 1_600, "test": 400}


def test_class_orders_are_those_of_the_checkpoints():
    words = sets.get("speech_commands_v2").classes
    assert words == class_names.SPEECH_COMMANDS_V2
    assert words[:11] == (*("backward", "follow", "five", "bed", "zero", "on", "learn", "two", "house", "tree", "dog"),)
    other = sets.get("speech_commands_v2/amaut").classes
    assert other == class_names.SPEECH_COMMANDS_V2_AMAUT and set(other) == set(words) and other != words
    assert sets.get("speech_commands_v1").classes == class_names.SPEECH_COMMANDS_V1 == other[:30]
    assert sets.get("speech_commands_v1").classes[:4] == ("zero", "one", "two", "three")
    assert sets.get("audio_mnist").classes == sets.get("free_spoken_digit").classes == tuple("0123456789")
    assert sets.get("demand").classes == tuple(sorted(speech.DEMAND_16K))
    assert sets.get("esc50").classes[0] == "dog" and sets.get("esc50").classes[49] == "hand_saw"


@pytest.mark.parametrize("name", PARENTS)
def test_data_dir_may_be_the_folder_or_either_parent(copies, tmp_path, name):
    root = tmp_path / PARENTS[name]
    root.parent.mkdir(parents=True)
    root.symlink_to(copies(name)[0], target_is_directory=True)
    given = [root, *root.parents[:2]]
    if PARENTS[name].startswith("x/"):
        given = [root / ("meta" if "esc50" in name else "recordings"), root, root.parent]
    if name == "speech_commands_noise":
        given.append(root / "_background_noise_")
    split = sets.get(name).splits[-1]
    ids = [[ref.id for ref in listed(name, folder, split)[0]] for folder in given]
    assert ids[0] and all(other == ids[0] for other in ids)
    assert ids[0] == [ref.id for ref in listed(name, str(root), split)[0]]


@pytest.mark.parametrize("fold", range(5))
def test_audio_mnist_folds_have_the_published_speakers(copies, fold):
    name = f"audio_mnist/fold{fold}" if fold else "audio_mnist"
    folder, _ = copies(name)
    people = {s: {int(ref.id[:2]) for ref in listed(name, folder, s)[0]} for s in ("train", "val", "test")}
    assert people["test"] == GROUPS[fold] and people["val"] == GROUPS[(fold + 4) % 5]
    assert people["train"] == set(range(1, 61)) - people["test"] - people["val"]


def test_audio_mnist_labels_and_order(copies):
    folder, _ = copies("audio_mnist")
    labels = labels_of("audio_mnist", folder, "test")
    assert list(labels)[:4] == ["05/0_05_20.wav", "05/5_05_0.wav", "13/3_13_0.wav", "13/8_13_20.wav"]
    assert list(labels.values())[:4] == ["0", "5", "3", "8"]


def test_german_accent_is_compared_exactly(copies):
    name = "audio_mnist/german_accent"
    folder, _ = copies(name)
    people = {s: {int(ref.id[:2]) for ref in listed(name, folder, s)[0]} for s in ("train", "val", "test")}
    assert people["train"] == people["val"] == set(range(2, 42))
    assert people["test"] == {1, *range(42, 61)}
    takes = {ref.id.split("_")[-1] for ref in listed(name, folder, "val")[0]}
    assert takes == {"0.wav"}
    report = check_copy(name, folder, allow_partial=True, progress=False, workers=1)
    twice = [str(finding) for finding in report.findings if finding.kind == "listed twice"]
    assert report.serves
    assert twice == ["listed twice: val: its 40 clips are in train too, expected a split of its own"]


def test_german_accent_needs_a_readable_table(copies, tmp_path):
    name, folder = "audio_mnist/german_accent", fresh(copies, "audio_mnist", tmp_path)
    table = folder / audio_mnist.META
    for text in ("no json", json.dumps({"01": {"age": 3}}), json.dumps(["01"])):
        table.write_text(text)
        with pytest.raises(ValueError, match=r"audioMNIST_meta\.txt: cannot be read .*expected JSON with an accent"):
            listed(name, folder, "train")
    table.unlink()
    with pytest.raises(ValueError, match=r"audioMNIST_meta\.txt: no such file"):
        listed(name, folder, "train")
    assert len(listed("audio_mnist", folder, "train")[0]) == 72


def test_audio_mnist_absent_speakers_and_strange_names(copies, tmp_path):
    folder = fresh(copies, "audio_mnist", tmp_path)
    for path in (folder / "26").iterdir():
        path.unlink()
    message = r"has no clips of 1 of the 12 speakers \(the first: 26\)"
    with pytest.raises(ValueError, match=message + r"; complete the copy, or give --allow_partial"):
        listed("audio_mnist", folder, "test")
    refs, notices = listed("audio_mnist", folder, "test", allow_partial=True)
    assert len(refs) == 22 and notices[0].endswith("(the first: 26); going on with 11")
    assert len(listed("audio_mnist", folder, "val")[0]) == 24
    write_clip(folder / "52" / "._2_52_0.wav", 1, rate=48_000, seconds=0.01)
    assert len(listed("audio_mnist", folder, "test", allow_partial=True)[0]) == 22
    for strange in ("2_51_0.wav", "two_52_0.wav", "2_52_50.wav"):
        path = write_clip(folder / "52" / strange, 1, rate=48_000, seconds=0.01)
        with pytest.raises(ValueError, match=rf"{strange}: expected the name <digit>_52_<take>\.wav"):
            listed("audio_mnist", folder, "test", allow_partial=True)
        path.unlink()


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


@pytest.fixture
def commands(copies, tmp_path):
    return fresh(copies, "speech_commands_v1", tmp_path)


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


def test_free_spoken_digit_splits_by_take(copies):
    folder, _ = copies("free_spoken_digit")
    takes = {
        split: {int(ref.path.stem.split("_")[2]) for ref in listed("free_spoken_digit", folder, split)[0]}
        for split in ("train", "val", "test")
    }
    assert takes == {"train": {10, 49}, "val": {5}, "test": {0}}
    labels = labels_of("free_spoken_digit", folder, "test")
    assert labels["recordings/7_jackson_0.wav"] == "7" and next(iter(labels)) == "recordings/0_george_0.wav"


def test_free_spoken_digit_errors(copies, tmp_path):
    folder = fresh(copies, "free_spoken_digit", tmp_path)
    for path in (folder / "recordings").glob("3_*_0.wav"):
        path.unlink()
    with pytest.raises(ValueError, match=r"\*_<0-4>\.wav has no clips of 1 of the 10 digits \(the first: 3\)"):
        listed("free_spoken_digit", folder, "test")
    assert len(listed("free_spoken_digit", folder, "test", allow_partial=True)[0]) == 9
    write_clip(folder / "recordings" / "3_nobody_0.wav", 1, rate=8_000, seconds=0.1)
    with pytest.raises(ValueError, match=r"3_nobody_0\.wav: expected the name <digit>_<speaker>_<take>\.wav"):
        listed("free_spoken_digit", folder, "val")


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


@pytest.mark.parametrize("name", NAMES)
def test_missing_folders(tmp_path, name):
    split = sets.get(name).splits[0]
    with pytest.raises(ValueError, match="needs --data_dir"):
        listed(name, None, split)
    with pytest.raises(ValueError, match=r"--data_dir=.*nowhere: no such folder"):
        listed(name, tmp_path / "nowhere", split)
    with pytest.raises(ValueError, match=r"--data_dir=.*: (holds no|no folder in it has audio files)"):
        listed(name, tmp_path, split)
    with pytest.raises(ValueError, match=r"unknown split 'dev' of"):
        listed(name, tmp_path, "dev")


@pytest.mark.parametrize("name", ["audio_mnist", "speech_commands_v1", "free_spoken_digit", "qut_noise", "esc50/fold1"])
def test_loading_reads_what_was_written(copies, name):
    folder, counts = copies(name)
    data = sets.get(name)
    split = data.splits[-1]
    length = data.length or data.sample_rate
    clips = load_split(name, folder, split, sample_rate=data.sample_rate, length=length, progress=False)
    assert clips.waves.shape == (counts[split], length) and clips.sample_rate == data.sample_rate
    assert not any("resampled" in notice for notice in clips.notices)
    assert np.all(clips.lengths < length) and float(np.abs(clips.waves).max(axis=1).min()) > 0.2
