"""Folders of recordings: what is found, how it is cut, and what a file's probabilities are."""

import numpy as np
import pytest
import soundfile

from dhauds_jax.data import recordings


@pytest.mark.parametrize(
    ("samples", "overlap", "starts"),
    [
        (10, 0.0, [0]),
        (20, 0.0, [0, 10]),
        (25, 0.0, [0, 10, 15]),
        (25, 0.5, [0, 5, 10, 15]),
        (23, 0.5, [0, 5, 10, 13]),
        (11, 0.9, [0, 1]),
    ],
)
def test_windows_by_hand(samples, overlap, starts):
    wave = np.arange(samples, dtype=np.float32)
    cut = list(recordings.windows(wave, 10, overlap))
    assert [int(w[0]) for w in cut] == starts
    assert all(np.array_equal(w, wave[s : s + 10]) for w, s in zip(cut, starts, strict=True))


def test_a_short_recording_is_centred():
    (only,) = recordings.windows(np.ones(5, np.float32), 8, 0.0)
    assert np.array_equal(only, [0, 1, 1, 1, 1, 1, 0, 0])


def test_a_folder_is_read_with_its_folders_and_bad_files_are_left_out(tmp_path):
    (tmp_path / "b").mkdir()
    soundfile.write(tmp_path / "b" / "long.flac", np.full(2500, 0.25), 1000, subtype="PCM_16")
    soundfile.write(tmp_path / "a.WAV", np.full((700, 2), 0.5), 1000, subtype="PCM_16")
    (tmp_path / "c.wav").write_bytes(b"")
    (tmp_path / "notes.txt").write_text("no audio")
    (tmp_path / "b" / "._long.flac").write_bytes(b"a Mac's own")
    (tmp_path / ".trash").mkdir()
    soundfile.write(tmp_path / ".trash" / "d.wav", np.zeros(9), 1000)
    found = recordings.load(tmp_path, sample_rate=1000, length=1000)
    assert found.files == ("a.WAV", "b/long.flac")
    assert list(found.owner) == [0, 1, 1, 1]
    assert found.waves.shape == (4, 1000)
    assert found.waves[0].sum() == 350
    assert np.all(found.waves[1:] == 0.25)
    assert list(found.seconds) == [0.7, 2.5]
    assert [name for name, _ in found.skipped] == ["c.wav"]
    assert found.notices == ("1 of 3 files: 2 channels mixed down to one",)
    with pytest.raises(ValueError, match=r"c\.wav: empty"):
        recordings.load(tmp_path, sample_rate=1000, length=1000, on_bad_file="stop")


def test_bad_folders_are_refused_in_one_sentence(tmp_path):
    with pytest.raises(ValueError, match=r"no such folder, expected one with \.wav, \.flac, \.ogg files"):
        recordings.find(tmp_path / "nowhere")
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(ValueError, match=r"1 file and no recording, expected \.wav, \.flac, \.ogg files"):
        recordings.find(tmp_path)
    (tmp_path / "a.wav").write_text("x")
    with pytest.raises(ValueError, match=r"its only file could not be read, the first: a\.wav: "):
        recordings.load(tmp_path, sample_rate=1000, length=1000)
    with pytest.raises(ValueError, match=r"^--overlap=1\.0: expected a finite number of at least 0 and below 1$"):
        recordings.load(tmp_path, sample_rate=1000, length=1000, overlap=1.0)


def test_a_files_probabilities_are_the_mean_over_its_windows():
    p = np.array([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]])
    assert np.array_equal(recordings.per_file(p, np.array([0, 0, 1]), 2), [[0.5, 0.5], [0.5, 0.5]])
