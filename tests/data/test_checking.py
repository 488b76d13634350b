"""Checking a copy: each kind of damage gives its own finding, and nothing else does."""

import shutil
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from dhauds_jax.data import checking, measuring, sets
from dhauds_jax.data.checking import Finding, check_copy
from dhauds_jax.data.sets.base import ClipRef
from tests.data.fakes import FAKES
from tests.runs.tiny import RATE, make_arabic, tone

ARABIC = sets.get("arabic_speech_commands")
WORDS = ARABIC.classes
COUNTS = {"train": 30, "val": 15, "test": 15}
TINY = ARABIC._replace(
    counts=COUNTS,
    class_counts={split: dict.fromkeys(WORDS, count // 15) for split, count in COUNTS.items()},
    seconds=(0.25, 0.25),
)


@pytest.fixture
def copy(tmp_path):
    """Two, one and one take of every word; `make_arabic` gives all splits the same takes."""
    folder = make_arabic(tmp_path / "arabic-speech-commands")
    for label, word in enumerate(WORDS):
        write(folder / "dataset" / word / "val_0.wav", tone(label, 10))
        write(folder / "dataset" / word / "test_0.wav", tone(label, 11))
    return folder


def check(folder, dataset=TINY, **options):
    return check_copy(dataset, folder, progress=False, **options)


def lines(report):
    return [str(finding) for finding in report.findings]


def write(path, wave, rate=RATE, subtype="PCM_16"):
    soundfile.write(path, wave, rate, subtype=subtype)


def test_a_whole_copy_has_no_findings(copy):
    report = check(copy)
    assert report.findings == () and report.serves and report.notices == ()
    assert (report.files, report.clips, report.published) == (60, COUNTS, COUNTS)
    assert report.audio_seconds == pytest.approx(60 * 0.25) and report.quiet == 0
    assert lines(check(copy.parent)) == []


def test_damaged_files_are_named_with_what_was_found_and_expected(copy):
    up = copy / "dataset" / "up"
    (up / "train_0.wav").write_bytes(b"")
    (up / "train_1.wav").write_text("this is text under the name of a wav")
    whole = (up / "val_0.wav").read_bytes()
    (up / "val_0.wav").write_bytes(whole[:30])
    (up / "test_0.wav").write_bytes(whole[:4_044])
    write(copy / "dataset" / "one" / "test_0.wav", np.full(4_000, np.nan), subtype="FLOAT")
    write(copy / "dataset" / "one" / "train_0.wav", np.zeros(0))
    report = check(copy)
    assert not report.serves
    assert lines(report) == [
        "unreadable: dataset/up/train_1.wav: cannot be read (Format not recognised), expected a wav, flac, ogg or mp3 "
        "file",
        "unreadable: dataset/up/val_0.wav: truncated, a RIFF header without audio (30 bytes), expected a whole file",
        "unreadable: dataset/one/test_0.wav: 4000 of 4000 samples are NaN or infinite, expected finite numbers",
        "unreadable: dataset/up/test_0.wav: truncated, its header promises 8000 bytes of audio and 4000 exist, "
        "expected a whole file",
        "empty: dataset/one/train_0.wav: holds no samples, expected at least one",
        "empty: dataset/up/train_0.wav: empty (0 bytes), expected a wav, flac, ogg or mp3 file",
    ]
    assert [finding.split for finding in report.findings] == ["train", "val", "test", "test", "train", "train"]


def test_warnings_do_not_keep_a_copy_from_serving(copy):
    two, six = copy / "dataset" / "two", copy / "dataset" / "six"
    write(two / "test_0.wav", np.zeros(4_000))
    write(two / "val_0.wav", np.full(4_000, 0.25))
    write(two / "train_0.wav", tone(2, 0, 2_000), 8_000)
    write(two / "train_1.wav", tone(2, 1, 5_000))
    write(six / "train_0.wav", 4e-3 * tone(2, 0))  # RMS 0.3 / sqrt(2) * 4e-3 = 8.5e-4, just below 1e-3
    shutil.copy(six / "train_1.wav", six / "test_0.wav")
    write(six / "val_0.wav", soundfile.read(six / "train_1.wav")[0], subtype="PCM_24")
    report = check(copy)
    assert report.serves and report.quiet == 1
    assert lines(report) == [
        "silent: dataset/two/val_0.wav: its 4000 samples differ by less than a step of 16 bit, expected sound",
        "silent: dataset/two/test_0.wav: its 4000 samples differ by less than a step of 16 bit, expected sound",
        "off-rate: dataset/two/train_0.wav: 8000 Hz, expected 16000 Hz (it is resampled)",
        "off-length: dataset/two/train_1.wav: 0.312 s, expected 0.25 s",
        "duplicated: dataset/six/val_0.wav: the same samples as dataset/six/train_1.wav, which is in train, "
        "expected another recording",
        "duplicated: dataset/six/test_0.wav: the same samples as dataset/six/train_1.wav, which is in train, "
        "expected another recording",
    ]


def test_a_folder_of_ones_own_has_no_rate_to_be_off(tmp_path):
    """Before, files of a second rate were called off-rate, though such a set's rate is the files' own."""
    for take, rate in enumerate((22_050, 22_050, 16_000)):
        path = tmp_path / "train" / f"class{take % 2}" / f"{take}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path, tone(take, take), rate)
    report = check_copy("folder", tmp_path, progress=False)
    assert report.findings == () and report.notices == (
        "2 files at 22050 Hz, 1 file at 16000 Hz; the set's rate is 22050 Hz, the commonest, and the others are "
        "resampled",
    )
    (tmp_path / "train" / "class0" / "2.wav").unlink()
    assert check_copy("folder", tmp_path, progress=False).notices == ()


def test_samples_beyond_full_scale_and_channels_that_cancel_are_warnings(copy):
    write(copy / "dataset" / "two" / "test_0.wav", 1_000 * tone(2, 11), subtype="FLOAT")
    write(copy / "dataset" / "two" / "val_0.wav", np.stack([tone(2, 10), -tone(2, 10)], 1))
    peak = np.abs(np.float32(1_000 * tone(2, 11))).max()
    report = check(copy)
    assert report.serves and lines(report) == [
        "silent: dataset/two/val_0.wav: its 4000 samples differ by less than a step of 16 bit, expected sound",
        f"loud: dataset/two/test_0.wav: samples up to {peak:.4g}, expected at most 1, full scale (they are taken as "
        "they are)",
        "cancelling: dataset/two/val_0.wav: its channels cancel: their mean, which is taken, is over 20 dB quieter "
        "than they are, expected channels in phase, or one",
    ]


def test_one_step_of_16_bit_is_not_silence(copy):
    write(copy / "dataset" / "two" / "test_0.wav", np.tile(np.array([0, 1], np.int16), 2_000))
    assert lines(check(copy)) == []


def test_absent_files_and_classes(copy):
    (copy / "dataset" / "six" / "train_1.wav").unlink()
    (copy / "dataset" / "ten" / "x").mkdir(parents=True)
    for path in (copy / "dataset" / "zero").glob("*.wav"):
        path.unlink()
    findings = [
        f"absent: train: {copy}/train.csv names 30 files and 3 of them are absent (the first: dataset/six/train_1.wav, "
        "dataset/zero/train_0.wav, dataset/zero/train_1.wav); complete the copy, or give --allow_partial to go on "
        "without them",
        f"absent: val: {copy}/val.csv names 15 files and 1 of them are absent (the first: dataset/zero/val_0.wav); "
        "complete the copy, or give --allow_partial to go on without them",
        f"absent: test: {copy}/test.csv names 15 files and 1 of them are absent (the first: dataset/zero/test_0.wav); "
        "complete the copy, or give --allow_partial to go on without them",
        "count: train: 27 clips, expected 30",
        "count: val: 14 clips, expected 15",
        "count: test: 14 clips, expected 15",
        "missing class: train/zero: 0 clips, expected 2",
        "missing class: val/zero: 0 clips, expected 1",
        "missing class: test/zero: 0 clips, expected 1",
        "class count: train/six: 1 clip, expected 2",
    ]
    report = check(copy)
    assert lines(report) == findings and not report.serves
    report = check(copy, allow_partial=True)
    assert lines(report) == findings and report.serves and report.notices == ()


def test_classes_without_published_counts_must_have_a_clip(copy):
    (copy / "val.csv").write_text("file,class\ndataset/up/val_0.wav,up\n")
    report = check(copy, TINY._replace(counts={}, class_counts={}))
    assert lines(report) == [f"missing class: val/{word}: 0 clips, expected some" for word in WORDS if word != "up"]


def test_a_list_that_cannot_be_read_is_a_finding_and_the_rest_is_checked(copy):
    (copy / "val.csv").unlink()
    report = check(copy, allow_partial=True)
    assert lines(report) == [
        f"list: val: --data_dir={copy}: holds no val.csv and neither does arabic-speech-commands inside it, expected "
        "the folder of arabic_speech_commands or its parent"
    ]
    assert not report.serves and report.files == 45 and report.clips == {"train": 30, "test": 15}


def test_only_the_splits_asked_for_are_checked(copy):
    (copy / "val.csv").unlink()
    (copy / "dataset" / "up" / "train_0.wav").write_bytes(b"")
    report = check(copy, splits=("test",))
    assert report.findings == () and report.clips == {"test": 15} and report.files == 15
    with pytest.raises(ValueError, match="unknown split 'dev' of arabic_speech_commands: expected train, val or test"):
        check(copy, splits=("test", "dev"))


def test_clips_listed_twice(copy):
    with (copy / "test.csv").open("a") as file:
        file.write("dataset/up/train_0.wav,up\ndataset/up/test_0.wav,up\n")
    report = check(copy, TINY._replace(counts={}, class_counts={}))
    assert lines(report) == [
        "listed twice: dataset/up/train_0.wav: listed 2 times, in train and test, expected once",
        "listed twice: dataset/up/test_0.wav: listed 2 times, in test and test, expected once",
    ]
    assert not report.serves and report.files == 60


def test_a_validation_split_that_is_the_test_split_is_a_warning(copy):
    shutil.copy(copy / "test.csv", copy / "val.csv")
    report = check(copy)
    assert lines(report) == ["listed twice: val: its 15 clips are those of test, expected a split of its own"]
    assert report.serves and report.files == 45
    shutil.copy(copy / "test.csv", copy / "train.csv")
    assert not check(copy).serves


def test_recordings_of_no_common_length(tmp_path):
    def listing(data_dir, split, allow_partial):
        names = ("street.wav", "cafe.wav")
        return [ClipRef(name, tmp_path / name, label) for label, name in enumerate(names)], ("a note",)

    write(tmp_path / "street.wav", tone(0, 0, 7_000))
    write(tmp_path / "cafe.wav", np.stack([tone(1, 0), tone(2, 0)], 1))
    noise = ARABIC._replace(
        name="noise", classes=("street", "cafe"), length=0, splits=("noise",), listing=listing, counts={},
        class_counts={}, seconds=None,
    )  # fmt: skip
    report = check(tmp_path, noise)
    assert report.findings == () and report.notices == ("a note",) and report.clips == {"noise": 2}


@pytest.mark.parametrize("name", [name for name in FAKES if "/fold" not in name])
def test_small_copies_of_every_set_lack_nothing_but_clips(name, tmp_path):
    counts = FAKES[name](tmp_path / "copy")
    report = check(tmp_path / "copy", name, allow_partial=True)
    assert report.serves and report.clips == counts
    shortened = {"count", "missing class", "class count", "off-length"}
    as_published = {"off-rate", "listed twice"} if report.notices or name.endswith("german_accent") else set()
    assert {finding.kind for finding in report.findings} <= shortened | as_published


def test_what_cannot_be_checked_at_all(tmp_path):
    with pytest.raises(ValueError, match=r"nowhere: no such folder, expected the folder of arabic_speech_commands"):
        check(tmp_path / "nowhere")
    with pytest.raises(ValueError, match=r"holds no train\.csv and neither does arabic-speech-commands"):
        check(tmp_path)
    with pytest.raises(ValueError, match="synthetic is made in memory, so there is no copy to check"):
        check(None, "synthetic")
    with pytest.raises(ValueError, match="unknown data set 'nope'"):
        check(tmp_path, "nope")


@pytest.mark.parametrize("workers", [1, 3])
def test_threads_and_processes_find_the_same(copy, monkeypatch, workers):
    (copy / "dataset" / "up" / "train_0.wav").write_bytes(b"")
    expected = check(copy, workers=2)
    monkeypatch.setattr(measuring, "_WORTH_PROCESSES", 0)
    found = check(copy, workers=workers)
    assert found._replace(seconds=0) == expected._replace(seconds=0)
    assert lines(found) == ["empty: dataset/up/train_0.wav: empty (0 bytes), expected a wav, flac, ogg or mp3 file"]


def test_names_that_are_not_unicode_can_be_printed(tmp_path):
    path = tmp_path / b"caf\xe9.wav".decode("utf-8", "surrogateescape")
    assert checking._name(path, tmp_path) == "caf\\xe9.wav"


def test_a_reader_imports_neither_jax_nor_tensorflow():
    code = "import sys, dhauds_jax.data.measuring; sys.exit(bool({'jax', 'tensorflow', 'torch'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=900).returncode == 0


def test_a_finding_without_expectation_is_a_sentence():
    assert str(Finding("list", "val", "val", "it is gone", "", True)) == "list: val: it is gone"
