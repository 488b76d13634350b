"""Events and backgrounds of data sets and folders, the pieces of backgrounds, parts of files."""

import numpy as np
import pytest
import soundfile

from dhauds_jax.data import sets
from dhauds_jax.data.audio import BadFile
from dhauds_jax.data.soundscapes import sources
from dhauds_jax.errors import BadInput
from tests.data.fakes import FAKES
from tests.data.fakes.audio import write_clip
from tests.data.soundscapes import small


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return small.make(tmp_path_factory.mktemp("sources"))


def test_the_clips_of_all_splits_come_once(place):
    found = sources.foregrounds("folder", str(place / "events"))
    assert sorted(sound.id for sound in found.all) == [
        "bell/0.wav",
        "bell/1.wav",
        "bell/2.wav",
        "dog/0.wav",
        "dog/1.wav",
    ]
    assert {sound.label for sound in found.all} == {"bell", "dog"} and found.name == "folder"


def test_a_published_set_has_its_folds_and_its_doubled_splits_once(tmp_path):
    FAKES["urban_sound_8k"](tmp_path)
    found = sources.foregrounds("urban_sound_8k/fold3", str(tmp_path))
    assert len(found.all) == 101 and found.name == "urban_sound_8k", "val is test there"
    assert all(sound.id.startswith(f"fold{sound.fold}/") for sound in found.all)
    (test,) = {sound.fold for sound in sources.foregrounds("urban_sound_8k/fold3", str(tmp_path), ("test",)).all}
    assert test == "3"
    cut = sets.get("urban_sound_8k", str(tmp_path)).group
    assert all(sound.group == cut(sound.id) for sound in found.all), "one of a Freesound recording"


def test_folds_and_groups_are_the_set_s_own_and_a_clip_s_id_where_it_has_none(place, monkeypatch):
    made = sets.get("folder", str(place / "events"))._replace(fold=lambda clip: clip[-5], group=lambda clip: clip[:4])
    (none,) = {sound.group == sound.id for sound in sources.foregrounds("folder", str(place / "events")).all}
    assert none
    monkeypatch.setattr(sources.sets, "get", lambda name, folder: made)
    found = sources.foregrounds("folder", str(place / "events")).all
    assert {(sound.fold, sound.group) for sound in found} == {
        *(("0", "bell"), ("1", "bell"), ("2", "bell"), ("0", "dog/"), ("1", "dog/")),
    }


def test_esc50_has_folds_and_other_sets_have_none(tmp_path, place):
    FAKES["esc50"](tmp_path)
    found = sources.foregrounds("esc50", str(tmp_path)).all
    assert {sound.fold for sound in found} == set("12345")
    assert all(sound.path.name.startswith(sound.fold) for sound in found)
    assert {sound.fold for sound in sources.foregrounds("folder", str(place / "events")).all} == {""}


def test_the_scenes_of_a_background(place, tmp_path):
    found = sources.backgrounds("folder", str(place / "backgrounds"))
    assert [sound.label for sound in found.all].count("park") == 3 and len(found.all) == 5
    FAKES["tau_urban_2019"](tmp_path)
    tau = sources.backgrounds("tau_urban_2019", str(tmp_path))
    assert len(tau.all) == 30 and {"park", "airport"} < {sound.label for sound in tau.all}


def test_a_folder_of_recordings_is_one_scene(place):
    found = sources.backgrounds("folder", str(place / "backgrounds" / "park"))
    assert [(sound.id, sound.label) for sound in found.all] == [(f"{take}.wav", "park") for take in range(3)]


@pytest.mark.parametrize(
    ("name", "folder", "message"),
    [
        ("folder", None, "folder needs --background_dir, expected"),
        ("folder", "nowhere", "--background_dir=.*nowhere: no such folder"),
        ("folder", "empty", "--background_dir=.*empty: no folder in it has audio files that can be read"),
        ("synthetic", None, "--background=synthetic: is made in memory, expected a set of files"),
        ("tau_urban", None, "unknown data set 'tau_urban': expected tau_urban_2019"),
        ("esc50", "empty", "--background_dir=.*empty: holds no esc50.csv"),
    ],
)
def test_bad_folders_are_said_with_their_own_flag(tmp_path, name, folder, message):
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadInput, match=message) as caught:
        sources.backgrounds(name, str(tmp_path / folder) if folder else None)
    assert "\n" not in str(caught.value) and "--data_dir" not in str(caught.value)


def test_long_recordings_fall_into_pieces(place):
    hall = [s for s in sources.backgrounds("folder", str(place / "backgrounds")).all if s.label == "hall"]
    found = sources.pieces(hall[::-1], 1.0, first_only=False)
    assert [(piece.sound.id, piece.start) for piece in found] == [
        ("hall/0.wav", 0.0),
        ("hall/0.wav", 1.0),
        ("hall/0.wav", 2.0),
        ("hall/1.wav", 0.0),
    ]
    assert [piece.start for piece in sources.pieces(hall, 1.0, first_only=True)] == [0.0, 0.0]


def test_a_part_of_a_file_is_read_at_its_own_rate(tmp_path):
    path = tmp_path / "a.wav"
    samples = np.random.default_rng(0).integers(-30_000, 30_000, (24_000, 2)).astype(np.int16)
    soundfile.write(path, samples, 12_000, subtype="PCM_16")
    part = sources.read(path, 0.5, 1.0)
    assert part.rate == 12_000 and part.notices == ("2 channels mixed down to one",)
    np.testing.assert_allclose(part.wave, samples[12_000:18_000].mean(axis=1) / 32_768, rtol=0, atol=1e-7)
    assert len(sources.read(path, 5.0).wave) == 24_000
    with pytest.raises(BadFile, match=r"a\.wav: holds 24000 samples and none from sample 24000 on"):
        sources.read(path, 1.0, 2.0)


def test_a_length_in_seconds_gives_its_samples_again(tmp_path):
    """int(n / rate * rate) loses one of some n."""
    lost = [n for n in range(1, 3_000) if int(n / 44_100 * 44_100) != n]
    assert lost
    for samples in lost[:3]:
        path = write_clip(tmp_path / f"{samples}.wav", samples, rate=44_100, seconds=3_000 / 44_100)
        assert len(sources.read(path, samples / 44_100).wave) == samples


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("empty", "holds no samples, expected at least one"),
        ("nan", "1 of 100 samples are NaN or infinite"),
        ("text", "cannot be read"),
    ],
)
def test_files_that_cannot_be_used_are_named(tmp_path, content, message):
    path = tmp_path / "x.wav"
    wave = np.zeros(0 if content == "empty" else 100)
    if content == "nan":
        wave[50] = np.nan
    soundfile.write(path, wave, 8_000, subtype="FLOAT")
    if content == "text":
        path.write_text("this is no sound, and is longer than a header would be")
    with pytest.raises(BadFile, match=message):
        sources.read(path, 1.0)
