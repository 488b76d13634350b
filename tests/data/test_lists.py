"""Lists of data sets: how they are read, what is said of broken ones, and splits without clips."""

import numpy as np
import pytest
import soundfile

from dhauds_jax.data import sets
from dhauds_jax.data.checking import check_copy
from dhauds_jax.data.clip_source import open_clips
from dhauds_jax.data.corrupted.layouts import layout_of
from dhauds_jax.data.loading import load_split
from dhauds_jax.data.pipeline import open_split
from dhauds_jax.data.sets.base import ClipRef, find_root, read_rows, read_text
from dhauds_jax.errors import BadInput
from tests.data.fakes import FAKES

LISTS = [
    ("arabic_speech_commands", "test.csv"),
    ("audio_mnist/german_accent", "audioMNIST_meta.txt"),
    ("esc50/fold1", "esc50.csv"),
    ("reef_set", "test_annotations.csv"),
    ("reef_set", "reefset_annotations.json"),
    ("reef_set", "reefset_labels_by_dataset.csv"),
    ("speech_commands_v1", "testing_list.txt"),
    ("urban_sound_8k", "UrbanSound8K.csv"),
    ("vocal_sound", "class_labels_indices_vs.csv"),
    ("vocal_sound", "te.json"),
]


def test_rows_by_column(tmp_path):
    path = tmp_path / "list.csv"
    path.write_bytes('\ufefffile,class\r\n"a,\nb", x\r\n\r\nc,y,z\r\n'.encode())
    (first, second) = read_rows(path, ("file", "class"))
    assert first == {"file": "a,\nb", "class": " x"} and (second["file"], second["class"]) == ("c", "y")
    assert read_rows(path, ("file", "class"), skip_spaces=True)[0]["class"] == "x"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"file,class\na,b\xe9\n", "byte 14 is not UTF-8 (perhaps cp1252), expected a text in UTF-8; save it as such"),
        (
            "file,class\na,b\n".encode("utf-16"),
            "byte 0 is not UTF-8 (UTF-16), expected a text in UTF-8; save it as such",
        ),
        (b"file;class\na;b\n", "semicolons separate its columns, expected commas; save it with commas"),
        (b"file\tclass\na\tb\n", "tabs separate its columns, expected commas; save it with commas"),
        (b"name,class\na,b\n", "columns ['name', 'class'], expected file and class"),
        (b"", "is empty, expected the columns file and class"),
        (b"file,class\na,b\nc\n", "line 3 ends before class, expected file and class in each"),
    ],
)
def test_a_broken_list_gets_one_sentence(tmp_path, content, said):
    path = tmp_path / "list.csv"
    path.write_bytes(content)
    with pytest.raises(BadInput) as error:
        read_rows(path, ("file", "class"))
    assert str(error.value) == f"{path}: {said}"


def test_a_field_without_end_gets_one_sentence(tmp_path):
    path = tmp_path / "list.csv"
    path.write_bytes(b'file,class\na,"' + b"b" * 140_000)
    with pytest.raises(
        BadInput, match=r"cannot be read \(field larger than field limit .*\), expected file and class$"
    ):
        read_rows(path, ("file", "class"))


@pytest.mark.parametrize(("name", "file"), LISTS)
def test_every_list_that_is_no_utf_8_is_named(tmp_path, name, file):
    FAKES[name](tmp_path)
    if file.startswith("reefset"):  # which are read where DHAuDS's own list is absent
        (tmp_path / "test_annotations.csv").unlink()
    path = next(tmp_path.rglob(file))
    path.write_bytes(path.read_bytes() + b"\xe9")
    with pytest.raises(BadInput, match=rf"{file}: byte \d+ is not UTF-8"):
        sets.get(name).listing(tmp_path, "test", False)


@pytest.mark.parametrize(("name", "file"), LISTS)
def test_every_list_is_read_with_a_byte_order_mark(tmp_path, name, file):
    FAKES[name](tmp_path)
    if file.startswith("reefset"):
        (tmp_path / "test_annotations.csv").unlink()
        (tmp_path / "train_annotations.csv").unlink()
    expected = sets.get(name).listing(tmp_path, "test", False)
    path = next(tmp_path.rglob(file))
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert sets.get(name).listing(tmp_path, "test", False) == expected


@pytest.mark.parametrize(("name", "file"), [case for case in LISTS if case[1].endswith(".csv")])
def test_every_list_with_semicolons_is_named(tmp_path, name, file):
    FAKES[name](tmp_path)
    if file.startswith("reefset"):
        (tmp_path / "test_annotations.csv").unlink()
    path = next(tmp_path.rglob(file))
    path.write_text(path.read_text().replace(",", ";"))
    with pytest.raises(BadInput) as error:
        sets.get(name).listing(tmp_path, "test", False)
    assert str(error.value) == f"{path}: semicolons separate its columns, expected commas; save it with commas"


def test_a_wrong_list_of_a_corrupted_set_is_named(tmp_path):
    data = sets.get("arabic_speech_commands")
    (tmp_path / "clips.csv").write_bytes(b"id,class\na,\xe9\n")
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "clips.csv").write_text("id,class\n")
    with pytest.raises(BadInput, match=r"clips\.csv: no rows, expected one for each clip$"):
        layout_of(data).clips(data, tmp_path / "empty")
    with pytest.raises(BadInput, match=r"clips\.csv: class '\\udce9', expected one of down, eight, "):
        layout_of(data).clips(data, tmp_path)


def test_a_row_of_esc50_that_ends_early_is_named(tmp_path):
    FAKES["esc50/fold1"](tmp_path)
    table = next(tmp_path.rglob("esc50.csv"))
    table.write_text("filename,fold,target,category\na.wav,1\n")
    with pytest.raises(BadInput) as error:
        sets.get("esc50/fold1").listing(tmp_path, "test", False)
    said = "line 2 ends before category, expected category, filename, fold, target among them in each"
    assert str(error.value).endswith(f"esc50.csv: {said}")


def test_a_list_that_is_no_utf_8_is_a_finding(tmp_path):
    FAKES["arabic_speech_commands"](tmp_path)
    path = next(tmp_path.rglob("val.csv"))
    path.write_bytes(b"file,class\n\xe9")
    report = check_copy("arabic_speech_commands", tmp_path, allow_partial=True, progress=False)
    (found,) = [str(finding) for finding in report.findings if finding.kind == "list"]
    assert (
        found == f"list: val: {path}: byte 11 is not UTF-8 (perhaps cp1252), expected a text in UTF-8; save it as such"
    )
    assert not report.serves


def _mine(clips):
    """A user's own set with these clips of train."""
    arabic = sets.get("arabic_speech_commands")
    return arabic._replace(name="mine", counts={}, class_counts={}, listing=lambda *_: (clips, ()))


READERS = {
    "load_split": lambda data, folder: load_split(data, folder, "train", sample_rate=16_000, length=9, progress=False),
    "open_split": lambda data, folder: open_split(
        data, folder, "train", sample_rate=16_000, width=9, budget_mb=1, progress=False
    ),
    "open_clips": lambda data, folder: open_clips(data, folder, "train"),
    "check_copy": lambda data, folder: check_copy(data, folder, splits=("train",), progress=False),
}


@pytest.mark.parametrize("reader", READERS)
def test_a_split_without_clips_is_refused(reader, tmp_path):
    with pytest.raises(BadInput) as error:
        READERS[reader](_mine([]), tmp_path)
    assert str(error.value) == (
        f"--data_dir={tmp_path}: holds no clips of the split 'train' of mine, expected some; complete the copy or ask "
        "for another split"
    )


def test_a_split_of_one_clip_is_read(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.full(9, 0.5), 16_000)
    clips = READERS["load_split"](_mine([ClipRef("a", tmp_path / "a.wav", 3)]), tmp_path)
    assert clips.ids == ("a",) and clips.labels.tolist() == [3] and np.all(clips.waves == 0.5)


def test_an_excerpt_of_speech_commands_has_no_train(tmp_path):
    """Only the clips that the lists name are there: train, all the rest, is empty."""
    FAKES["speech_commands_v1"](tmp_path)
    data = sets.get("speech_commands_v1")
    for ref in data.listing(tmp_path, "train", False)[0]:
        ref.path.unlink()
    with pytest.raises(BadInput, match=r"holds no clips of the split 'train' of speech_commands_v1, expected some"):
        open_clips(data, tmp_path, "train", allow_partial=True)
    assert len(open_clips(data, tmp_path, "test").ids) == 30


def test_a_macs_hidden_files_do_not_make_a_folder_the_right_one(tmp_path):
    (tmp_path / "._a.wav").write_bytes(b"no audio")
    inner = tmp_path / "inner"
    inner.mkdir()
    (inner / "a.WAV").write_bytes(b"")
    assert find_root(tmp_path, ("inner",), "*.wav", "mine") == inner
    (tmp_path / "._1_b_2.wav").write_bytes(b"no audio")
    with pytest.raises(
        BadInput, match=r"holds no \*_\*_\*\.wav and neither does inner inside it, expected the folder of m"
    ):
        find_root(tmp_path, ("inner",), "*_*_*.wav", "mine")


def test_a_byte_order_mark_is_no_text(tmp_path):
    (tmp_path / "a.txt").write_bytes("\ufeffa/b.wav\n".encode())
    assert read_text(tmp_path / "a.txt") == "a/b.wav\n"
