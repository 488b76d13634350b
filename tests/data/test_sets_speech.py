"""What all sets of spoken words and noise corpora have in common, on small copies in the published layouts."""

import itertools
from pathlib import Path

import numpy as np
import pytest

from dhauds_jax import class_names
from dhauds_jax.data import sets
from dhauds_jax.data.loading import load_split
from tests.data import speech_copies
from tests.data.fakes import speech
from tests.data.speech_copies import listed

ROOT = Path(__file__).parents[2]
NAMES = tuple(speech.FAKES)
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
    return speech_copies.copies_in(tmp_path_factory)


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
