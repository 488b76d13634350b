"""Data sets: the registry, the Arabic layout, loading into memory."""

import subprocess
import sys

import numpy as np
import pytest
import soundfile

from dhauds_jax import names
from dhauds_jax.data import sets
from dhauds_jax.data.loading import load_split
from dhauds_jax.errors import BadInput

WORDS = sets.get("arabic_speech_commands").classes


@pytest.fixture
def arabic(tmp_path):
    """A small copy in the published layout: two clips a class and split, one short, one stereo, one at 8 kHz."""
    root = tmp_path / "arabic-speech-commands"
    rng = np.random.default_rng(0)
    for split in ("train", "val", "test"):
        lines = ["file,class"]
        for k, word in enumerate(WORDS):
            (root / "dataset" / word).mkdir(parents=True, exist_ok=True)
            for take in range(2):
                name = f"dataset/{word}/{split}_{take:02d}.flac"
                samples, rate = rng.normal(size=(16_000, 1)) * 0.1, 16_000
                if split == "test" and (k, take) == (0, 0):
                    samples = samples[:12_001]
                if split == "test" and (k, take) == (1, 0):
                    samples = np.repeat(samples, 2, 1)
                if split == "test" and (k, take) == (2, 0):
                    samples, rate = samples[:8_000], 8_000
                soundfile.write(root / name, samples, rate)
                lines.append(f"{name},{word}")
        (root / f"{split}.csv").write_text("\n".join(lines) + "\n")
    return root


def load(data_dir, **options):
    options = {"sample_rate": 16_000, "length": 16_000, "progress": False, **options}
    return load_split("arabic_speech_commands", data_dir, "test", **options)


def test_unknown_names_list_the_valid_ones():
    with pytest.raises(ValueError, match=r"unknown data set 'nope': expected .* \(23 names: --list\)"):
        sets.get("nope")
    with pytest.raises(ValueError, match=r"unknown split 'dev' of synthetic: expected train, val or test"):
        load_split("synthetic", None, "dev", sample_rate=16_000, length=16_000)


def test_a_folder_that_is_given_as_a_set_is_told_its_flag(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sounds" / "dog").mkdir(parents=True)
    for name in ("sounds", f"{tmp_path}/sounds"):
        with pytest.raises(
            BadInput, match=rf"\(23 names: --list\); a folder of .* --dataset=folder --data_dir={name}$"
        ):
            sets.get(name)


def test_every_name_is_that_of_its_set_and_variants_follow_it():
    found = sets.all_names()
    assert found == tuple(sets.REGISTRY) and len(set(found)) == len(found) == len(sets.REGISTRY)
    assert [name for name in found if "/" not in name] == list(names.DATA_SETS)
    assert all(sets.get(name).name == name for name in found)
    assert [name for name in found if name.startswith("speech_commands_v2")] == [
        "speech_commands_v2",
        "speech_commands_v2/amaut",
    ]
    with pytest.raises(
        BadInput, match=r"unknown data set 'speech_commands_v2/amat': expected .*speech_commands_v2/amaut"
    ):
        sets.get("speech_commands_v2/amat")
    assert "nope" not in sets.REGISTRY and sets.REGISTRY.get("nope") is None


def test_arabic_constants():
    data = sets.get("arabic_speech_commands")
    assert len(WORDS) == 15 and list(WORDS) == sorted(WORDS)
    assert (data.sample_rate, data.length, data.metric) == (16_000, 16_000, "accuracy")
    assert data.order == sets.Order(stretch_both_ways=False)


@pytest.mark.parametrize("parent", [False, True])
def test_arabic_listing(arabic, parent):
    listing = sets.get("arabic_speech_commands").listing
    refs, notices = listing(arabic.parent if parent else arabic, "train", False)
    assert notices == () and len(refs) == 30
    assert refs[0].id == "dataset/down/train_00.flac" and refs[0].label == 0
    assert [ref.label for ref in refs] == [k for k in range(15) for _ in range(2)]
    assert all(ref.path.is_file() for ref in refs)


def test_loading_pads_mixes_and_resamples_with_notices(arabic):
    clips = load(arabic)
    assert clips.waves.shape == (30, 16_000) and clips.waves.dtype == np.float32
    assert clips.labels.tolist() == [k for k in range(15) for _ in range(2)]
    assert clips.lengths[:2].tolist() == [12_001, 16_000]
    assert clips.notices == (
        "1 of 30 files: 2 channels mixed down to one",
        "1 of 30 files: resampled from 8000 Hz to 16000 Hz",
    )
    raw, _ = soundfile.read(arabic / clips.ids[0], dtype="float32")
    head = (16_000 - 12_001) // 2
    np.testing.assert_array_equal(clips.waves[0, head : head + 12_001], raw)
    assert not clips.waves[0, :head].any() and not clips.waves[0, head + 12_001 :].any()


def test_longer_clips_keep_their_head_with_notice(arabic):
    clips = load(arabic, length=10_000)
    assert clips.waves.shape == (30, 10_000) and set(clips.lengths.tolist()) == {10_000}
    assert clips.notices[-1] == "30 of 30 clips are longer than 10000 samples, their heads are kept"
    raw, _ = soundfile.read(arabic / clips.ids[1], dtype="float32")
    np.testing.assert_array_equal(clips.waves[1], raw[:10_000])


def test_absent_files_are_counted_and_the_first_five_named(arabic):
    for path in sorted(arabic.glob("dataset/*/test_01.flac"))[:7]:
        path.unlink()
    with pytest.raises(ValueError) as error:
        load(arabic)
    message = str(error.value)
    assert "test.csv names 30 files and 7 of them are absent" in message
    assert (
        message.count("test_01.flac") == 5 and "dataset/down/test_01.flac" in message and "--allow_partial" in message
    )
    clips = load(arabic, allow_partial=True)
    assert len(clips.ids) == 23 and "7 of them are absent" in clips.notices[0]
    assert "going on with 23" in clips.notices[0]


def test_nothing_left_is_refused_even_if_partial(arabic):
    for path in arabic.glob("dataset/*/test_*.flac"):
        path.unlink()
    with pytest.raises(ValueError, match="so nothing is left"):
        load(arabic, allow_partial=True)


def test_missing_folder_csv_column_and_class(arabic, tmp_path):
    with pytest.raises(ValueError, match=r"needs --data_dir, the folder that holds test\.csv"):
        load(None)
    with pytest.raises(ValueError, match=r"--data_dir=.*nowhere: no such folder"):
        load(tmp_path / "nowhere")
    with pytest.raises(ValueError, match=r"holds no test\.csv and neither does arabic-speech-commands inside it"):
        load(arabic / "dataset")
    (arabic / "test.csv").write_text("name,word\na,b\n")
    with pytest.raises(ValueError, match=r"test\.csv: columns \['name', 'word'\], expected file and class"):
        load(arabic)
    (arabic / "test.csv").write_text("file,class\na.flac,elephant\n")
    with pytest.raises(ValueError, match=r"unknown class 'elephant', expected one of down, eight, "):
        load(arabic)
    (arabic / "test.csv").write_text("file,class\n")
    with pytest.raises(ValueError, match=r"test\.csv: no rows"):
        load(arabic)


def test_a_bad_file_stops_the_loading(arabic):
    path = arabic / "dataset" / "up" / "test_00.flac"
    path.write_bytes(path.read_bytes()[:2_000])
    with pytest.raises(ValueError, match=r"up/test_00\.flac: cannot be read"):
        load(arabic)


def test_bad_files_can_be_skipped_and_are_listed(arabic):
    first, last = arabic / "dataset" / "down" / "test_00.flac", arabic / "dataset" / "up" / "test_01.flac"
    whole = load(arabic)
    first.write_bytes(b"")
    last.write_text("text")
    clips = load(arabic, on_bad_file="skip")
    place = whole.ids.index("dataset/up/test_01.flac")
    kept = [row for row in range(30) if row not in (0, place)]
    assert clips.ids == tuple(whole.ids[row] for row in kept)
    np.testing.assert_array_equal(clips.waves, whole.waves[kept])
    np.testing.assert_array_equal(clips.labels, whole.labels[kept])
    np.testing.assert_array_equal(clips.lengths, whole.lengths[kept])
    assert clips.skipped[0] == ("dataset/down/test_00.flac", "empty (0 bytes), expected a wav, flac, ogg or mp3 file")
    assert clips.skipped[1][0] == "dataset/up/test_01.flac" and clips.skipped[1][1].startswith("cannot be read (")
    assert clips.notices[-1] == (
        "2 of 30 files are bad and were skipped (the first: dataset/down/test_00.flac: empty (0 bytes), "
        "expected a wav, flac, ogg or mp3 file)"
    )
    assert whole.skipped == ()


def test_a_split_of_bad_files_only_is_refused(arabic):
    for path in arabic.glob("dataset/*/test_*.flac"):
        path.write_bytes(b"")
    with pytest.raises(
        ValueError, match=r"all 30 files of arabic_speech_commands test are bad \(the first: dataset/down/"
    ):
        load(arabic, on_bad_file="skip")
    with pytest.raises(ValueError, match="--on_bad_file=mend: expected stop or skip"):
        load(arabic, on_bad_file="mend")


def test_listing_needs_no_tensorflow():
    code = "import sys, dhauds_jax.data.sets, dhauds_jax.data.loading; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
