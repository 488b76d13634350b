"""A user's own data: one folder a class."""

import os

import numpy as np
import pytest
import soundfile

from dhauds_jax.cells import targets
from dhauds_jax.data import sets
from dhauds_jax.data.checking import check_copy
from dhauds_jax.data.clip_source import open_clips
from dhauds_jax.data.corrupted import writing
from dhauds_jax.data.corrupted.cell import CellSpec
from dhauds_jax.data.corrupted.files import write_manifests
from dhauds_jax.data.corrupted.reading import list_cell
from dhauds_jax.data.corruptions.noise import Recordings
from dhauds_jax.data.loading import load_split
from dhauds_jax.data.sets import folder_per_class
from dhauds_jax.data.sets.base import check_split
from dhauds_jax.nets import zoo
from tests.data.fakes.audio import write_clip
from tests.data.fakes.speech import split_folders
from tests.data.test_audio import wav
from tests.data.test_headers import streamed


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
    there = r"expected some \(there are 2 in train and 1 in test, which --split may name\)"
    with pytest.raises(ValueError, match=rf"none of its clips is in the split 'val', {there}"):
        listed(tmp_path, "val")


def test_a_split_that_nobody_typed_is_answered_with_the_flag(tmp_path):
    write_clip(tmp_path / "train" / "a" / "x.wav", 1, rate=8_000, seconds=0.1)
    write_clip(tmp_path / "val" / "a" / "x.wav", 2, rate=8_000, seconds=0.1)
    found = sets.get("folder", tmp_path)
    with pytest.raises(ValueError, match=r"^there is no split 'test' of folder: give --split=train or --split=val$"):
        check_split(found, "test")
    with pytest.raises(ValueError, match=r"^unknown split 'tset' of folder: expected"):
        check_split(found, "tset")


def test_what_is_true_of_all_the_folder_is_said_with_the_first_split_alone(tmp_path, capsys):
    """Before, once a split; what is said of a split's own files is said of each."""
    for split in ("train", "test"):
        write_clip(tmp_path / split / "a" / "x.wav", 1, rate=8_000, seconds=0.1)
        (tmp_path / split / "a" / "x.m4a").write_bytes(b"m4a")
    config = zoo.preset("amaut_tiny", ("a",))
    for split, first in (("train", True), ("test", False)):
        targets.load("folder", str(tmp_path), split, config, first=first)
    said = capsys.readouterr().out
    assert said.count("note: 2 .m4a files were left out") == 1
    assert said.count("note: 1 of 1 files: ") == 2 and said.count("clip\n") == 2


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
    with pytest.raises(
        ValueError, match=r"its only folder with audio files is a/, .* give --data_dir=\S+/a if these are"
    ):
        sets.get("folder", tmp_path)
    (tmp_path / "empty" / "cat").mkdir(parents=True)
    with pytest.raises(ValueError, match="no folder in it has audio files that can be read, expected <class>"):
        sets.get("folder", tmp_path / "empty")
    (tmp_path / "empty" / "cat" / "x.m4a").write_bytes(b"x")
    with pytest.raises(
        ValueError, match=r"that can be read; 1 \.m4a file was left out \(the first: cat/x\.m4a\): convert"
    ):
        sets.get("folder", tmp_path / "empty")
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


def make(root, *names):
    """Short clips that differ, or files of one byte where the name is no wav's."""
    for number, name in enumerate(names):
        if name.endswith(".wav"):
            write_clip(root / name, number, rate=16_000, seconds=0.05)
        else:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(b"x")


@pytest.mark.parametrize(
    ("folders", "splits"),
    [
        (("Train", "Validation", "TEST"), ("train", "val", "test")),
        (("training", "valid", "testing"), ("train", "val", "test")),
        (("train", "dev", "eval"), ("train", "val", "test")),
        (("evaluation",), ("test",)),
    ],
)
def test_usual_names_of_splits_are_known_in_any_case(tmp_path, folders, splits):
    for folder in folders:
        make(tmp_path, f"{folder}/cat/a.wav", f"{folder}/dog/deep/er/b.wav")
    data = sets.get("folder", tmp_path)
    assert data.splits == splits and data.classes == ("cat", "dog")
    for folder, split in zip(folders, splits, strict=True):
        assert [ref.id for ref in listed(tmp_path, split)] == [f"{folder}/cat/a.wav", f"{folder}/dog/deep/er/b.wav"]


def test_without_a_validation_folder_a_share_of_train_is_val(tmp_path):
    """Before, `check_data` found nothing wrong with train/ and test/, and training refused them."""
    make(tmp_path, *(f"Train/{name}/{n}.wav" for name in ("cat", "dog") for n in range(20)), "test/cat/a.wav")
    data = sets.get("folder", tmp_path)
    assert data.splits == ("train", "val", "test")
    # By hashlib: SHA-1 of the id modulo 100 is below 10.
    held = ["Train/cat/10.wav", "Train/cat/15.wav"]
    refs, notices = data.listing(tmp_path, "val", False)
    assert [ref.id for ref in refs] == held
    assert notices == ("2 of the 40 clips of train/ are val, by a hash of the name, since no folder val/ has any",)
    assert len(listed(tmp_path, "train")) == 38 and len(listed(tmp_path, "test")) == 1
    assert list(folder_per_class.find_clips(tmp_path, hold_back=False).clips) == ["train", "test"]
    assert check_copy("folder", tmp_path, progress=False).clips == {"train": 38, "val": 2, "test": 1}


def test_recordings_that_lie_in_no_folder_of_a_class_are_said(tmp_path):
    """Before, they "were left out: convert with ffmpeg -i NAME.wav NAME.wav"."""
    make(tmp_path, "a.wav", "b.wav", "c.m4a")
    with pytest.raises(ValueError) as caught:
        sets.get("folder", tmp_path)
    assert str(caught.value).startswith(
        f"--data_dir={tmp_path}: 2 recordings in it lie in no folder of a class (the first: a.wav); 1 .m4a file was "
        "left out (the first: c.m4a): convert with ffmpeg -i NAME.m4a NAME.wav, expected <class>/*.wav"
    )


def test_classes_inside_folders_of_places_are_said(tmp_path):
    make(tmp_path / "in", *(f"{place}/{name}/x.wav" for place in ("home", "park") for name in ("cat", "dog")))
    assert folder_per_class.find_clips(tmp_path / "in").notices == (
        "the classes are home, park, and folders of the same names lie in several of them (cat, dog); if these are the "
        "classes, their folders come first: cat/home/*.wav",
    )
    make(tmp_path / "out", *(f"{name}/day{n}/x.wav" for n in range(2) for name in ("cat", "dog")))
    make(tmp_path / "both", *(f"{name}/{way}/x.wav" for way in ("near", "far") for name in ("cat", "dog")), "cat/y.wav")
    assert folder_per_class.find_clips(tmp_path / "out").notices == ()
    assert folder_per_class.find_clips(tmp_path / "both").notices == ()


def test_a_splits_own_name_wins_and_two_others_are_refused(tmp_path):
    make(tmp_path, "train/cat/a.wav", "val/cat/a.wav", "dev/cat/a.wav", "dev/cat/b.wav")
    refs, notices = sets.get("folder", tmp_path).listing(tmp_path, "val", False)
    assert [ref.id for ref in refs] == ["val/cat/a.wav"]
    assert notices == ("folders beside those of the splits are not used: dev (2 recordings)",)
    (tmp_path / "val").rename(tmp_path / "valid")
    with pytest.raises(ValueError, match=r"dev/ and valid/ are folders of one split, val; expected one$"):
        sets.get("folder", tmp_path)


def test_sub_folders_belong_to_their_class(tmp_path):
    names = ("cat/x.wav", "dog/session1/x.wav", "dog/session2/deep/y.wav", "dog/z.wav")
    make(tmp_path, *names)
    data = sets.get("folder", tmp_path)
    assert data.classes == ("cat", "dog")
    found = {
        ref.id: (data.classes[ref.label], split) for split in data.splits for ref in _listed_or_none(tmp_path, split)
    }
    assert found == {name: (name[:3], folder_per_class.split_of(name)) for name in names}


def _listed_or_none(data_dir, split):
    parts = folder_per_class.find_clips(data_dir).clips
    return listed(data_dir, split) if parts[split] else []


def test_a_class_that_is_called_like_a_split_is_one_where_its_clips_lie_in_it(tmp_path):
    make(tmp_path, "eval/a.wav", "eval/deep/b.wav", "cat/c.wav")
    assert sets.get("folder", tmp_path).classes == ("cat", "eval")


def test_what_is_not_used_is_named(tmp_path):
    make(tmp_path, "cat/a.wav", "dog/b.wav", "cat/c.m4a", "owl/d.M4A", "beside.wav", "labels.csv", "notes/text.txt")
    make(tmp_path, "._labels.csv", ".DS_Store", "__MACOSX/cat/._a.wav", "Thumbs.db")
    (tmp_path / "empty").mkdir()
    (tmp_path / "again").symlink_to(tmp_path / "dog", target_is_directory=True)
    (tmp_path / "cat" / "loop").symlink_to(tmp_path, target_is_directory=True)
    data = sets.get("folder", tmp_path)
    assert data.classes == ("cat", "dog")
    notices = (
        "2 .m4a files were left out (the first: cat/c.m4a): convert with ffmpeg -i NAME.m4a NAME.wav",
        "files beside the class folders are not used: beside.wav, labels.csv",
        "folders without recordings are no classes: empty, notes",
        "folders without a recording that can be read are no classes: owl",
        "links to folders that are read under another name are not followed: again, cat/loop",
    )
    assert folder_per_class.find_clips(tmp_path).notices == notices
    report = check_copy("folder", tmp_path, progress=False)
    assert report.notices == notices and report.files == 2


def test_classes_whose_names_differ_in_case_alone_are_said(tmp_path):
    """Before, a class that is spelled otherwise in another split was a class of its own without a word."""
    for place in ("train/Dog", "train/cat", "val/cat", "test/dog", "test/cat"):
        write_clip(tmp_path / place / "x.wav", 1, rate=16_000, seconds=0.05)
    assert sets.get("folder", tmp_path).classes == ("Dog", "cat", "dog")
    _, notices = sets.get("folder").listing(tmp_path, "test", False)
    assert notices == ("names that differ in case alone are classes of their own: Dog and dog",)


def test_what_is_not_used_beside_splits_is_named(tmp_path):
    make(tmp_path, "train/cat/a.wav", "train/dog/b.m4a", "train/labels.csv", "test/cat/c.wav", "extra/deep/d.wav")
    make(tmp_path, "readme.md", *(f"test/none{i}/x.txt" for i in range(7)))
    assert folder_per_class.find_clips(tmp_path).notices == (
        "1 .m4a file was left out (the first: train/dog/b.m4a): convert with ffmpeg -i NAME.m4a NAME.wav",
        "files beside the class folders are not used: readme.md, train/labels.csv",
        "folders without recordings are no classes: "
        "test/none0, test/none1, test/none2, test/none3, test/none4 and 2 more",
        "folders without a recording that can be read are no classes: train/dog",
        "folders beside those of the splits are not used: extra (1 recording)",
    )


def test_classes_whose_names_are_no_unicode_can_be_printed(tmp_path):
    make(tmp_path, "train/x/a.wav")
    (tmp_path / "train" / "x").rename(tmp_path / "train" / os.fsdecode(b"\xe9tude"))
    assert sets.get("folder", tmp_path).classes == ("\\xe9tude",)
    assert listed(tmp_path, "train")[0].id == os.fsdecode(b"train/\xe9tude/a.wav")


def test_length_and_rate_of_files_that_do_not_say_it(tmp_path):
    path = write_clip(tmp_path / "train" / "cat" / "a.flac", 1, rate=22_050, seconds=0.2)
    streamed(path, np.full(700, 0.25))
    wav(tmp_path / "train" / "dog.wav", bytes(2 * 900), promised=0)
    (tmp_path / "train" / "dog.wav").rename(tmp_path / "train" / "cat" / "b.wav")
    data = sets.get("folder", tmp_path)
    assert (data.sample_rate, data.length) == (16_000, 900)
    clips = load_split("folder", tmp_path, "train", sample_rate=16_000, length=900, progress=False)
    assert clips.lengths.tolist() == [700, 900]


def test_clips_of_every_kind_are_of_their_class(tmp_path):
    """Before, a folder with one wav and nine mp3 had one clip, and a class of mp3 none."""
    sound = 0.3 * np.sin(np.arange(1_600) * 0.1)
    endings = {"WAV": "wav", "MP3": "MP3", "AIFF": "aiff", "AU": "au", "CAF": "Caf", "W64": "w64", "FLAC": "flac"}
    for take, (kind, ending) in enumerate(endings.items()):
        for name in ("cat", "owl") if kind == "MP3" else ("cat",):
            (tmp_path / "train" / name).mkdir(parents=True, exist_ok=True)
            soundfile.write(tmp_path / "train" / name / f"{take}.{ending}", sound, 16_000, format=kind)
    clips = load_split("folder", tmp_path, "train", sample_rate=16_000, length=1_600, progress=False)
    assert clips.classes == ("cat", "owl") and clips.labels.tolist() == [0] * 7 + [1] and clips.notices == ()
    assert np.abs(clips.waves[clips.labels == 0] - sound)[:, 100:-100].max() < 0.05
