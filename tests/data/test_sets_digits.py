"""Sets of spoken digits, on small copies in the published layouts."""

import json

import pytest

from dhauds_jax.data.checking import check_copy
from dhauds_jax.data.sets import audio_mnist
from tests.data import speech_copies
from tests.data.fakes.audio import write_clip
from tests.data.speech_copies import fresh, labels_of, listed

# The table of specs/dhauds.md, section 4.1: fold k tests on group k, validates on the group before.
GROUPS = {
    0: {26, 52, 60, 18, 32, 42, 5, 13, 22, 33, 45, 51},
    1: {28, 56, 7, 19, 35, 1, 6, 16, 23, 34, 46, 53},
    2: {36, 57, 9, 24, 37, 2, 8, 17, 29, 39, 48, 54},
    3: {43, 58, 14, 25, 38, 3, 10, 20, 30, 40, 49, 55},
    4: {12, 47, 59, 15, 27, 41, 4, 11, 21, 31, 44, 50},
}


@pytest.fixture(scope="module")
def copies(tmp_path_factory):
    return speech_copies.copies_in(tmp_path_factory)


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
