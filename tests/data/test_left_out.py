"""Nothing is passed over in silence: what published sets, noise folders and loaders say of what they do not read."""

import itertools
import os
import shutil

import numpy as np
import pytest
import soundfile

from dhauds_jax.data import sets
from dhauds_jax.data.content import of_split
from dhauds_jax.data.corrupted.verifying import unlisted
from dhauds_jax.data.corruptions import noise_folders
from dhauds_jax.data.corruptions.noise import load_bank
from dhauds_jax.data.loading import load_split
from dhauds_jax.data.pipeline import batches, open_split
from dhauds_jax.data.sets.base import ClipRef, list_split
from dhauds_jax.errors import BadInput
from dhauds_jax.nets import zoo
from dhauds_jax.runs.check_data import CheckRun, check
from dhauds_jax.train.clips import open_clips
from dhauds_jax.train.request import TrainRun
from tests.data.fakes import FAKES
from tests.data.fakes.audio import write_clip

FOLDERS = (
    "audio_mnist",
    "cochl_scene",
    "demand",
    "free_spoken_digit",
    "qut_noise",
    "speech_commands_noise",
    "speech_commands_v1",
)
"""Sets whose clips are found in folders, not in lists."""


@pytest.mark.parametrize("name", FOLDERS)
def test_sets_of_folders_count_what_is_no_wav_and_pass_over_what_systems_leave(tmp_path, name):
    FAKES[name](tmp_path)
    data = sets.get(name)
    split = data.splits[0]
    expected = list_split(data, tmp_path, split, True)
    first = expected[0][0].path
    for other in ("x.m4a", "y.FLAC", f"._{first.name}", ".DS_Store", "Thumbs.db"):
        shutil.copy(first, first.with_name(other))
    root = next(folder for folder in (first.parent.parent, first.parent) if folder != tmp_path.parent)
    for hidden in ("__MACOSX", ".trash"):
        (root / hidden).mkdir()
        shutil.copy(first, root / hidden / first.name)
    refs, notices = list_split(data, tmp_path, split, True)
    assert refs == expected[0] and notices[-len(expected[1]) or len(notices) :] == expected[1]
    said = [notice for notice in notices if notice not in expected[1]]
    assert [notice.partition(" (the first")[0] for notice in said] == [
        "1 .m4a file was left out",
        "1 .flac file was left out",
    ]
    assert said[1].endswith("/y.FLAC): convert with ffmpeg -i NAME.flac NAME.wav") or "(the first: y.FLAC)" in said[1]


@pytest.mark.parametrize(("name", "folder"), [("esc50", "audio"), ("urban_sound_8k", "audio/fold10")])
def test_sets_whose_list_names_every_clip_count_the_others(tmp_path, name, folder):
    """Before, they were passed over without a word."""
    FAKES[name](tmp_path)
    data = sets.get(name)
    split = data.splits[0]
    expected, notices = list_split(data, tmp_path, split, True)
    assert not any("not named" in notice for notice in notices)
    (place,) = [path for path in tmp_path.rglob(folder) if path.is_dir()]
    for other in ("mine.wav", "x.m4a", "y.M4A", "._mine.wav", "notes.txt"):
        (place / other).write_bytes(b"x")
    refs, (*rest, said) = list_split(data, tmp_path, split, True)
    assert (refs, tuple(rest)) == (expected, notices)
    table = next(tmp_path.rglob("esc50.csv" if name == "esc50" else "UrbanSound8K.csv"))
    kinds = f"2 .m4a, 1 .wav (the first: {place.name}/mine.wav)"
    assert said == f"3 recordings are not named in {table} and not used: {kinds}"


def test_a_group_of_which_only_other_kinds_are_there_is_named_with_them(tmp_path):
    FAKES["cochl_scene"](tmp_path)
    scene = next(tmp_path.rglob("Train")) / "Bus"
    for path in list(scene.iterdir()):
        path.rename(path.with_suffix(".m4a"))
    with pytest.raises(
        BadInput, match=r"no clips of 1 of the 13 scenes \(the first: Bus\), and \d+ \.m4a files? w.* left out"
    ):
        list_split(sets.get("cochl_scene"), tmp_path, "train", False)


def test_noises_of_other_kinds_are_counted_where_none_is_found(tmp_path):
    (tmp_path / "QUT-NOISE").mkdir()
    for name in ("CAFE-1.flac", "CAR-1.flac", "._CAFE-1.wav"):
        (tmp_path / "QUT-NOISE" / name).write_bytes(b"x")
    with pytest.raises(BadInput) as error:
        noise_folders.qut(tmp_path, "ENQ", ("CAFE", "CAR"))
    assert str(error.value) == (
        f"--noise_dir={tmp_path}: no recordings of CAFE, CAR for ENQ, expected QUT-NOISE/<CLASS>*.wav (QUT-NOISE "
        "corpus); 2 .flac files were left out (the first: QUT-NOISE/CAFE-1.flac): "
        "convert with ffmpeg -i NAME.flac NAME.wav"
    )


def test_noises_of_other_kinds_are_counted_beside_those_that_are_read(tmp_path):
    """Before, 9 of 10 recordings of a class could be passed over without a word."""
    for name in ("_background_noise_/running_tap.wav", "ESC-50/audio/a.wav"):
        (tmp_path / name).parent.mkdir(parents=True)
        write_clip(tmp_path / name, 0, rate=16_000, seconds=0.05)
        for other in ("b.flac", "c.m4a", "d.M4A", "._e.flac", "README.md"):
            (tmp_path / name).with_name(other).write_bytes(b"x")
    for cell, folder in ((("SCN", "running_tap@10dB"), "_background_noise_"), (("CLP", "esc50@3dB"), "ESC-50/audio")):
        bank = load_bank(tmp_path, *cell, 16_000)
        assert len(bank.names) == 1 and bank.notices == (
            f"noise: 2 .m4a files were left out (the first: {folder}/c.m4a): convert with ffmpeg -i NAME.m4a NAME.wav",
            f"noise: 1 .flac file was left out (the first: {folder}/b.flac): convert with ffmpeg -i NAME.flac NAME.wav",
        )


def test_noises_of_a_folder_with_what_systems_leave(tmp_path):
    for name in ("CochlScene/Train/Bus/a.wav", "CochlScene/__MACOSX/x.wav", "CochlScene/Train/.trash/b.wav"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "CochlScene" / "Train" / "Bus" / "._a.wav").write_bytes(b"x")
    assert [name for name, _ in noise_folders.clips(tmp_path, "cochl_scene", 16_000)] == ["Train/Bus/a.wav"]


def test_a_macs_files_are_no_difference_of_a_cell(tmp_path):
    for name in ("a.wav", "._a.wav", "deep/b.wav"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    assert [found.file for found in unlisted(tmp_path, ["a.wav"])] == ["deep/b.wav"]


def test_loaders_say_what_becomes_of_samples_beyond_full_scale(tmp_path):
    sound = 0.25 * np.sin(np.arange(800))
    for name, wave in (("a.wav", 8 * sound), ("b.wav", 80 * sound), ("c.wav", sound)):
        soundfile.write(tmp_path / name, wave, 16_000, subtype="FLOAT")
    refs = [ClipRef(name, tmp_path / name, 0) for name in ("a.wav", "b.wav", "c.wav")]
    data = sets.get("arabic_speech_commands")._replace(name="mine", listing=lambda *_: (refs, ()))
    clips = load_split(data, tmp_path, "train", sample_rate=16_000, length=800, progress=False)
    np.testing.assert_array_equal(clips.waves[1], np.float32(80 * sound))
    mend = "(the largest, 20, in b.wav); divide by the largest if that is not meant"
    assert clips.notices == (f"2 of 3 files: samples far beyond full scale (1), taken as they are {mend}",)
    split = open_split(data, tmp_path, "train", sample_rate=16_000, width=800, budget_mb=1, progress=False)
    assert split.notices == (
        f"2 of 3 files: samples far beyond full scale (1), cut at full scale, as rows have 16 bit {mend}",
    )
    assert np.abs(split.waves[1].astype(int)).max() == 2**15


@pytest.fixture
def latin(tmp_path):
    """A folder of classes of which every name is in Latin-1."""
    root = tmp_path / os.fsdecode(b"donn\xe9es")
    for number, (split, name) in enumerate(itertools.product(("Train", "Validation"), (b"caf\xe9", b"\xe9tude"))):
        folder = root / split / os.fsdecode(name)
        folder.mkdir(parents=True)
        write_clip(tmp_path / "x.wav", number, rate=16_000, seconds=0.05)
        (tmp_path / "x.wav").rename(folder / os.fsdecode(b"\xe9.wav"))
    (folder / os.fsdecode(b"bad\xe9.wav")).write_bytes(b"")
    (folder / os.fsdecode(b"other\xe9.m4a")).write_bytes(b"x")
    return root


LATIN_NOTICE = (
    r"1 .m4a file was left out (the first: Validation/\xe9tude/other\xe9.m4a): convert with ffmpeg -i NAME.m4a NAME.wav"
)
LATIN_BAD = r"Validation/\xe9tude/bad\xe9.wav"


def test_names_that_are_no_unicode_can_be_trained_on(tmp_path, latin, capsys):
    run = TrainRun(dataset="folder", data_dir=str(latin), workdir=str(tmp_path / "work"), on_bad_file="skip")
    config = zoo.preset("amaut_tiny", ("a", "b")).replace(length=800)
    clips = open_clips(run, sets.get("folder", latin), "val", config, 800, 1.0)
    assert clips.classes == (r"caf\xe9", r"\xe9tude") and clips.labels.tolist() == [0, 1]
    assert clips.ids == tuple(
        os.fsdecode(f"Validation/{name}/\xe9.wav".encode("latin-1")) for name in ("caf\xe9", "\xe9tude")
    )
    reason = "empty (0 bytes), expected a wav, flac, ogg or mp3 file"
    assert capsys.readouterr().out.splitlines()[1:] == [
        f"note: {LATIN_NOTICE}",
        f"note: 1 of 3 files are bad and were skipped (the first: {LATIN_BAD}: {reason})",
    ]
    assert (tmp_path / "work" / "bad_files.txt").read_text() == f"{LATIN_BAD}\t{reason}\n"
    assert len(of_split(clips)) == 16


@pytest.mark.slow
def test_names_that_are_no_unicode_can_be_streamed(tmp_path, latin):
    options = {"sample_rate": 16_000, "width": 800, "on_bad_file": "skip", "progress": False}
    whole = open_split("folder", latin, "val", budget_mb=1, **options)
    streamed = open_split("folder", latin, "val", budget_mb=0, cache_dir=tmp_path / "cache", **options)
    assert streamed.ids == whole.ids and streamed.skipped == whole.skipped and streamed.notices == whole.notices
    (batch,) = batches(streamed, np.arange(2), 2)
    np.testing.assert_array_equal(batch.wave, whole.waves)


def test_names_that_are_no_unicode_can_be_checked(latin, capsys):
    text, serves = check(CheckRun(dataset="folder", data_dir=str(latin)))
    print(text)
    lines = capsys.readouterr().out.splitlines()
    assert not serves and lines[:2] == [
        f"empty: {LATIN_BAD}: empty (0 bytes), expected a wav, flac, ogg or mp3 file",
        f"note: {LATIN_NOTICE}",
    ]
    assert lines[-1] == rf"the copy cannot serve: {latin.parent}/donn\xe9es"
