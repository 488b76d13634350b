"""Corrupted sets on disk: the published layouts and lists, and reading their cells."""

import csv
from pathlib import Path

import numpy as np
import pytest
import soundfile

from dhauds_jax.data import sets
from dhauds_jax.data.corrupted.files import write_manifests
from dhauds_jax.data.corrupted.layouts import cell_path, clip_length, file_name, layout_of
from dhauds_jax.data.corrupted.reading import list_cell, load_cell
from dhauds_jax.data.resampling import resample_wave
from tests.data.fakes import FAKES
from tests.data.fakes.environmental import reef_set

PUBLISHED = {
    "speech_commands_v2": ("SpeechCommandsV2-C", "PSH/L2", 14, 16_000, (16_000, 16_000)),
    "speech_commands_v2/amaut": ("SpeechCommandsV2-C", "PSH/L2", 14, 16_000, (16_000, 16_000)),
    "vocal_sound": ("VocalSound-C", "audio_16k/PSH/L2", 14, 160_000, (160_000, 160_000)),
    "vocal_sound/44k": ("VocalSound-C", "data_44k/PSH/L2", 14, 441_000, (441_000, 441_000)),
    "reef_set": ("ReefSet-C", "PSH/L2", 14, 30_080, (31_884, 33_689)),
    "reef_set/multiple": ("ReefSet-C", "PSH/L2", 14, 30_080, (31_884, 33_689)),
    "urban_sound_8k": ("UrbanSound8K-C", "audio/PSH/L2", 8, 176_400, (186_984, 197_568)),
    "urban_sound_8k/fold3": ("UrbanSound8K-C", "audio/PSH/L2", 8, 176_400, (186_984, 197_568)),
    "arabic_speech_commands": ("arabic_speech_commands-C", "PSH/L2", 14, 16_000, (16_000, 16_000)),
}
RATE = 16_000


@pytest.mark.parametrize("name", PUBLISHED)
def test_layouts_are_the_published_ones(name):
    folder, cell, count, length, stretched = PUBLISHED[name]
    data = sets.get(name)
    layout = layout_of(data)
    assert (layout.folder, str(cell_path(layout, "PSH", "L2")), 2 * len(layout.corruptions)) == (folder, cell, count)
    assert {clip_length(data, layout, "WHN", level) for level in ("L1", "L2")} == {length}
    assert tuple(clip_length(data, layout, "TST", level) for level in ("L1", "L2")) == stretched
    with pytest.raises(ValueError, match="unknown level 'L3'"):
        cell_path(layout, "PSH", "L3")


def test_urban_sound_has_four_corruptions():
    layout = layout_of(sets.get("urban_sound_8k"))
    with pytest.raises(ValueError, match="unknown corruption of UrbanSound8K-C 'ENQ': expected WHN, ENSC, PSH or TST"):
        cell_path(layout, "ENQ", "L1")
    assert layout_of(sets.get("urban_sound_8k"), "train").corruptions == layout.corruptions


def test_shifts_have_cells_too():
    layout = layout_of(sets.get("urban_sound_8k"))
    assert str(cell_path(layout, "UNI", "0.005")) == "audio/UNI/0.005"
    assert str(cell_path(layout, "SCN", "running_tap@10dB")) == "audio/SCN/running_tap@10dB"
    with pytest.raises(ValueError, match=r"unknown level '0\.0050' of UNI"):
        cell_path(layout, "UNI", "0.0050")


def test_files_keep_the_names_of_the_clips():
    names = {
        "up/a.wav": "up/a.wav",
        "dataset/up/b_NO_1.flac": "dataset/up/b_NO_1.wav",
        "test/3_s.00": "test/3_s.00.wav",
    }
    assert {clip: str(file_name(clip)) for clip in names} == names


def published(name, folder, corruption, level, seconds=0.01):
    """A clean copy and a cell with the authors' paths, spelt out by hand: `(data set, clean refs, -C folder)`."""
    FAKES[name](folder / "clean")
    data = sets.get(name)
    refs, _ = data.listing(folder / "clean", "test", False)
    root = folder / layout_of(data).folder
    for ref in refs:
        inside = {"vocal_sound": "audio_16k/", "urban_sound_8k": "audio/"}.get(name.split("/")[0], "")
        path = root / f"{inside}{corruption}/{level}/{ref.id}"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, np.full(int(seconds * data.sample_rate), 0.25), data.sample_rate, subtype="PCM_16")
    write_manifests(
        data, folder / "clean", root, ids=[ref.id for ref in refs], labels=np.array([r.label for r in refs])
    )
    return data, refs, root


@pytest.mark.parametrize(
    "name",
    [
        "speech_commands_v2",
        "speech_commands_v2/amaut",
        "vocal_sound",
        "reef_set",
        "urban_sound_8k",
        "urban_sound_8k/fold3",
    ],
)
def test_a_published_cell_has_the_clean_ids_and_labels(name, tmp_path):
    data, refs, root = published(name, tmp_path, "TST", "L1")
    for where in (root, tmp_path):
        found, notices = list_cell(data, where, "TST", "L1")
        assert [(ref.id, ref.label) for ref in found] == [(ref.id, ref.label) for ref in refs] and notices == ()
    found[0].path.unlink()
    found[-1].path.unlink()
    with pytest.raises(ValueError, match=rf"names {len(refs)} files and 2 of them are absent \(the first: ") as caught:
        list_cell(data, root, "TST", "L1")
    assert layout_of(data).manifest in str(caught.value) and "\n" not in str(caught.value)
    assert len(list_cell(data, root, "TST", "L1", allow_partial=True)[0]) == len(refs) - 2
    with pytest.raises(ValueError, match=r"no folder .*WHN/L2, the cells there are: TST-L1"):
        list_cell(data, root, "WHN", "L2")
    with pytest.raises(ValueError, match=f"expected the folder of {layout_of(data).folder} or its parent"):
        list_cell(data, Path(__file__).parent, "WHN", "L2")


def test_lists_are_copied(tmp_path):
    cases = {
        "speech_commands_v2": {"testing_list.txt"},
        "vocal_sound": {"datafiles/te.json", "meta/te_meta.csv", "class_labels_indices_vs.csv"},
        "vocal_sound/44k": {"datafiles/te_rev.json", "meta/te_meta.csv", "class_labels_indices_vs.csv"},
        "reef_set": {"test_annotations.csv"},
    }
    for name, lists in cases.items():
        clean, root = tmp_path / name / "clean", tmp_path / name / "c"
        FAKES[name](clean)
        write_manifests(sets.get(name), clean, root, ids=["x"], labels=np.array([0]))
        assert {path.relative_to(root).as_posix() for path in root.rglob("*.*")} == lists
        for file in lists:
            assert (root / file).read_bytes() == (clean / file).read_bytes()


def test_the_urban_list_keeps_the_test_folds_in_order(tmp_path):
    FAKES["urban_sound_8k"](tmp_path / "clean")
    table = "metadata/UrbanSound8K.csv"
    write_manifests(sets.get("urban_sound_8k"), tmp_path / "clean", tmp_path, ids=["fold10/a", "fold8/b", "fold9/c"],
                    labels=np.zeros(3, np.int32))  # fmt: skip
    lines = (tmp_path / table).read_text().splitlines()
    clean = (tmp_path / "clean" / table).read_text().splitlines()
    assert lines[0] == clean[0] and len(lines) == 32 and set(lines) < set(clean)
    folds = [row["fold"] for row in csv.DictReader(lines)]
    assert folds == ["8"] * 11 + ["9"] * 10 + ["10"] * 10
    with pytest.raises(ValueError, match=r"UrbanSound8K.csv: lists other clips than urban_sound_8k test has here"):
        write_manifests(sets.get("urban_sound_8k"), tmp_path / "clean", tmp_path, ids=["fold1/a"], labels=np.array([0]))
    assert (tmp_path / table).read_text().splitlines() == lines


def test_a_rebuilt_reef_split_gets_a_list_like_the_published_one(tmp_path):
    reef_set(tmp_path / "clean", per_label=4, rebuilt=True)
    data = sets.get("reef_set")
    refs, _ = data.listing(tmp_path / "clean", "test", False)
    write_manifests(data, tmp_path / "clean", tmp_path, ids=[], labels=np.array([]))
    rows = list(csv.DictReader((tmp_path / "test_annotations.csv").read_text().splitlines()))
    assert list(rows[0]) == ["", "id", "file_name", "label", "data_sharer", "dataset", "recorder"]
    assert [(row[""], row["file_name"]) for row in rows] == [(str(i), ref.id) for i, ref in enumerate(refs)]
    assert rows[0]["id"] == rows[0]["file_name"].split(".")[0]


def test_other_sets_get_a_list_of_their_own(tmp_path):
    data = sets.get("arabic_speech_commands")
    ids, labels = ["dataset/up/a.flac", "dataset/two/b.wav"], np.array([data.classes.index(n) for n in ("up", "two")])
    write_manifests(data, None, tmp_path, ids=ids, labels=labels)
    assert (tmp_path / "clips.csv").read_text() == (
        "id,file,class\ndataset/up/a.flac,dataset/up/a.wav,up\ndataset/two/b.wav,dataset/two/b.wav,two\n"
    )
    for name in ("up/a.wav", "two/b.wav"):
        path = tmp_path / "PSH" / "L1" / "dataset" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, np.zeros(8), RATE)
    refs, _ = list_cell(data, tmp_path, "PSH", "L1")
    assert [(ref.id, ref.label) for ref in refs] == list(zip(ids, labels)) and refs[0].path.name == "a.wav"
    with pytest.raises(ValueError, match=r"two clips would be written to a\.wav"):
        write_manifests(data, None, tmp_path / "b", ids=["a.wav", "a.flac"], labels=labels)
    (tmp_path / "clips.csv").write_text("id,file,class\na,a.wav,elephant\n")
    with pytest.raises(ValueError, match="class 'elephant', expected one of down, eight"):
        list_cell(data, tmp_path, "PSH", "L1")


def test_urban_clips_are_resampled_then_cut(tmp_path):
    data, refs, root = published("urban_sound_8k", tmp_path, "TST", "L2", seconds=0.1)
    rng = np.random.default_rng(0)
    path = root / "audio" / "TST" / "L2" / refs[3].id
    soundfile.write(path, rng.uniform(-0.5, 0.5, 4_410), 44_100, subtype="PCM_16")
    clips = load_cell(data, root, "TST", "L2", sample_rate=RATE, length=1_200, progress=False)
    wave, _ = soundfile.read(path, dtype="float32")
    expected = resample_wave(wave, 44_100, RATE)
    assert len(expected) == 1_600 and clips.waves.shape == (31, 1_200)
    np.testing.assert_array_equal(clips.waves[3], expected[:1_200])
    assert clips.notices == (
        "31 of 31 files: resampled from 44100 Hz to 16000 Hz",
        "31 of 31 files: longer than 1200 samples, the head is kept",
    )
    assert clips.labels.tolist() == [ref.label for ref in refs] and set(clips.lengths.tolist()) == {1_200}
    read_as = {"layout": "repeat_pad", "resampler": "soxr_hq"}
    repeated = load_cell(data, root, "TST", "L2", sample_rate=RATE, length=4_000, progress=False, **read_as)
    expected = resample_wave(wave, 44_100, RATE, "soxr_hq")
    np.testing.assert_array_equal(repeated.waves[3], [*expected, *expected, *np.zeros(800)])
    assert repeated.lengths[3] == 1_600


def test_longer_reef_clips_keep_their_head(tmp_path):
    data, refs, root = published("reef_set", tmp_path, "TST", "L1")
    ramp = np.arange(31_884, dtype=np.int16)
    soundfile.write(root / "TST" / "L1" / refs[5].id, ramp, RATE, subtype="PCM_16")
    clips = load_cell(data, root, "TST", "L1", sample_rate=RATE, length=30_080, progress=False)
    np.testing.assert_array_equal(clips.waves[5], ramp[:30_080].astype(np.float32) / 32768)
    # The others are 160 samples long here: centred.
    assert clips.lengths[0] == 160 and clips.waves[0, 14_960] == 0.25 and not clips.waves[0, :14_960].any()
