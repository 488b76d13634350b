"""Folders of recordings: what is found, how it is cut, and what a file's probabilities are."""

import numpy as np
import pytest
import soundfile

from dhauds_jax.data import recordings, windows


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
    assert found.spans.tolist() == [[0, 0.7], [0, 1], [1, 2], [1.5, 2.5]]
    assert np.allclose(found.level, 20 * np.log10([0.5, 0.25]))
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


def test_a_file_and_a_list_of_both_are_read_too(tmp_path):
    for name in ("a.wav", "b/c.wav"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        soundfile.write(tmp_path / name, np.full(500, 0.5), 1000, subtype="PCM_16")
    same = {"sample_rate": 1000, "length": 1000}
    assert recordings.load(tmp_path / "a.wav", **same).files == ("a.wav",)
    listed = recordings.load([tmp_path / "a.wav", str(tmp_path / "b")], **same)
    assert listed.files == ((tmp_path / "a.wav").as_posix(), (tmp_path / "b" / "c.wav").as_posix())


def test_many_hours_are_the_same_windows_in_a_file_or_read_again(tmp_path, monkeypatch):
    """What holds them follows from their number alone, so no digit may depend on it."""
    rng = np.random.default_rng(0)
    for name, samples in (("a", 2300), ("b", 400), ("c", 3000)):
        soundfile.write(tmp_path / f"{name}.wav", rng.uniform(-0.5, 0.5, samples), 1000, subtype="PCM_16")
    same = {"sample_rate": 1000, "length": 500, "overlap": 0.5}
    held = recordings.load(tmp_path, **same)
    assert isinstance(held.waves, np.ndarray) and len(held.waves) == 9 + 1 + 11
    monkeypatch.setattr(windows, "IN_MEMORY", 3 * 2000)
    spooled = recordings.load(tmp_path, **same, spool=tmp_path / "state" / "windows")
    reread = recordings.load(tmp_path, **same, reread=True)
    assert isinstance(spooled.waves, windows.Spooled) and isinstance(reread.waves, windows.Reread)
    assert (tmp_path / "state" / "windows").stat().st_size == 21 * 2000
    assert held.digest == spooled.digest == reread.digest
    for rows in ([0, 1, 2], [3, 4, 5], [20, 20, 20], [18, 19, 18], [10, 9, 11], [0]):
        wanted = held.waves[np.array(rows)]
        assert np.array_equal(spooled.waves[np.array(rows)], wanted)
        assert np.array_equal(reread.waves[np.array(rows)], wanted)
    assert np.array_equal(reread.waves[4:9], held.waves[4:9])
    whole = recordings.load(tmp_path, **same)  # nowhere to put them: they stay in memory
    assert np.array_equal(whole.waves, held.waves)
