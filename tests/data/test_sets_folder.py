"""A user's own data: one folder a class."""

import os

import pytest

from dhauds_jax.data import sets
from dhauds_jax.data.clip_source import open_clips
from dhauds_jax.data.corrupted import writing
from dhauds_jax.data.corrupted.cell import CellSpec
from dhauds_jax.data.corrupted.files import write_manifests
from dhauds_jax.data.corrupted.reading import list_cell
from dhauds_jax.data.corruptions.noise import Recordings
from dhauds_jax.data.loading import load_split
from dhauds_jax.data.sets import folder_per_class
from tests.data.fakes.audio import write_clip
from tests.data.fakes.speech import split_folders


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    folder = tmp_path_factory.mktemp("copy")
    split_folders(folder)
    return folder


def listed(data_dir, split):
    return sets.get("folder").listing(data_dir, split, False)[0]


def test_folder_with_split_folders(copy):
    data = sets.get("folder", copy)
    assert data.classes == ("cat", "dog", "owl") and (data.sample_rate, data.length) == (16_000, 4_800)
    labels = {ref.id: data.classes[ref.label] for ref in listed(copy, "test")}
    assert labels["test/owl/1.flac"] == "owl" and list(labels) == sorted(labels)
    assert sets.get("folder").classes == () and data.splits == ("train", "val", "test")


def test_folder_with_one_split_only_knows_all_classes_of_it(tmp_path):
    write_clip(tmp_path / "test" / "b" / "x.wav", 1, rate=22_050, seconds=0.1)
    write_clip(tmp_path / "train" / "a" / "x.WAV", 2, rate=22_050, seconds=0.2)
    write_clip(tmp_path / "train" / "c" / "y.wav", 3, rate=44_100, seconds=0.3)
    (tmp_path / "train" / "notes").mkdir()
    write_clip(tmp_path / ".cache" / "z" / "x.wav", 4, rate=8_000, seconds=0.1)
    data = sets.get("folder", tmp_path)
    assert data.splits == ("train", "test") and data.classes == ("a", "b", "c")
    assert data.sample_rate == 22_050 and data.length == 6_615
    assert [ref.label for ref in listed(tmp_path, "test")] == [1]
    with pytest.raises(ValueError, match=r"none of its 3 clips is in the split 'val'"):
        listed(tmp_path, "val")


def test_folder_split_by_hash(tmp_path):
    # SHA-1 of the id modulo 100, worked out with hashlib by hand: below 10 val, below 20 test.
    known = {
        **dict.fromkeys(("cat/0.wav", "cat/3.wav", "dog/16.wav", "dog/17.wav"), "val"),  # 8, 3, 2, 6
        **dict.fromkeys(("cat/6.wav", "cat/15.wav", "dog/7.wav", "dog/14.wav"), "test"),  # 14, 17, 18, 16
        **dict.fromkeys(("cat/1.wav", "cat/2.wav", "dog/0.wav", "dog/1.wav"), "train"),  # 98, 20, 53, 29
    }
    assert {clip: folder_per_class.split_of(clip) for clip in known} == known
    for clip in known:
        write_clip(tmp_path / clip, 1, rate=16_000, seconds=0.05)
    found = {ref.id: split for split in ("train", "val", "test") for ref in listed(tmp_path, split)}
    assert found == known
    ids = [f"cat/{n}.wav" for n in range(4_000)]
    shares = {split: sum(folder_per_class.split_of(clip) == split for clip in ids) for split in ("val", "test")}
    # 4,000 draws of probability 0.1: mean 400, standard deviation 19.
    assert all(abs(share - 400) < 80 for share in shares.values())


def test_folder_names_are_the_same_on_every_machine(tmp_path):
    decomposed, composed = "cafe\u0301", "caf\u00e9"
    write_clip(tmp_path / decomposed / "x.wav", 1, rate=16_000, seconds=0.05)
    assert sets.get("folder", tmp_path).classes == (composed,)
    split = folder_per_class.split_of(f"{composed}/x.wav")
    assert [ref.id for ref in listed(tmp_path, split)] == [f"{composed}/x.wav"]


def test_names_that_are_no_unicode_are_read_and_corrupted(tmp_path):
    """A copy from another system may have names in Latin-1."""
    name = os.fsdecode(b"caf\xe9.wav")
    for folder in ("cat", "emu"):
        write_clip(tmp_path / "x.wav", 1, rate=16_000, seconds=0.01)
        (tmp_path / "in" / "test" / folder).mkdir(parents=True)
        (tmp_path / "x.wav").rename(tmp_path / "in" / "test" / folder / name)
    data = sets.get("folder", tmp_path / "in")
    assert data.length == 160 and data.splits == ("test",)
    source = open_clips(data, tmp_path / "in", "test")
    assert source.ids == (f"test/cat/{name}", f"test/emu/{name}")
    assert folder_per_class.split_of(source.ids[0]) == "train"
    cell = CellSpec(data, "WHN", "L2", 3)
    written = writing.write_cell(cell, source, None, tmp_path / "out", progress=False)
    write_manifests(data, tmp_path / "in", tmp_path / "out", ids=source.ids, labels=source.labels)
    assert written.record["clips"] == 2
    refs, notices = list_cell(data, tmp_path / "out", "WHN", "L2")
    assert [(ref.id, ref.label) for ref in refs] == list(zip(source.ids, source.labels)) and notices == ()
    bank = Recordings([ref.path for ref in refs], 8_000)
    assert bank.samples(1) == 80


def test_folder_refuses_two_layouts_at_once_and_unreadable_files(tmp_path):
    write_clip(tmp_path / "a" / "cat" / "x.wav", 1, rate=16_000, seconds=0.05)
    with pytest.raises(ValueError, match="no folder in it has audio files, expected <class>"):
        sets.get("folder", tmp_path)
    broken = tmp_path / "b" / "cat" / "x.wav"
    broken.parent.mkdir(parents=True)
    broken.write_bytes(b"no audio")
    with pytest.raises(ValueError, match="none of its 1 audio files can be read"):
        sets.get("folder", tmp_path / "b")
    write_clip(tmp_path / "b" / "train" / "cat" / "x.wav", 1, rate=16_000, seconds=0.05)
    with pytest.raises(ValueError, match=r"audio files lie in cat/ and also in class folders of train/"):
        listed(tmp_path / "b", "train")


def test_loading_resolves_the_classes_of_a_folder(copy):
    clips = load_split("folder", copy, "val", sample_rate=16_000, length=4_000, progress=False)
    assert clips.classes == ("cat", "dog", "owl") and clips.labels.tolist() == [0, 1, 2]
    assert clips.lengths.tolist() == [3_200, 4_000, 4_000]
    assert clips.notices == ("1 of 3 clips are longer than 4000 samples, their heads are kept",)
