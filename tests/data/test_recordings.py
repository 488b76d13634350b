"""Folders of recordings: what is found, how it is cut, and what a file's probabilities are."""

import os
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from dhauds_jax.data import opening, recordings, windows


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
    assert [name for name, _ in found.skipped] == ["c.wav"]
    assert found.notices == (
        "1 of 3 files: 2 channels mixed down to one",
        "2 files are silent (the first: a.WAV): a label of silence says nothing",
    )
    with pytest.raises(ValueError, match=r"c\.wav: empty"):
        recordings.load(tmp_path, sample_rate=1000, length=1000, on_bad_file="stop")


def test_recordings_shorter_than_a_filter_are_read_with_either_resampler(tmp_path):
    for samples in (100, 400):
        soundfile.write(tmp_path / f"{samples}.wav", np.full(samples, 0.25), 44_100, subtype="PCM_16")
    for resampler in ("sinc", "soxr_hq"):
        found = recordings.load(tmp_path, sample_rate=48_000, length=48_000, resampler=resampler, on_bad_file="stop")
        assert found.files == ("100.wav", "400.wav") and list(found.seconds * 48_000) == [109, 436]
        assert found.waves.sum(1) == pytest.approx([25 / 44.1 * 48, 100 / 44.1 * 48], abs=0.3)


def test_bad_folders_are_refused_in_one_sentence(tmp_path):
    with pytest.raises(ValueError, match=r"no such folder, expected one with recordings \(\.wav, \.wave, .*, \.pvf\)$"):
        recordings.find(tmp_path / "nowhere")
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(ValueError, match=r": 1 file and no recording that can be read, expected recordings \(\.wav, "):
        recordings.find(tmp_path)
    (tmp_path / "a.wav").write_text("x")
    with pytest.raises(ValueError, match=r"its only file could not be read: a\.wav: "):
        recordings.load(tmp_path, sample_rate=1000, length=1000)
    with pytest.raises(ValueError, match=r"^--overlap=1\.0: expected a finite number of at least 0 and below 1$"):
        recordings.load(tmp_path, sample_rate=1000, length=1000, overlap=1.0)


def test_a_files_probabilities_are_the_mean_over_its_windows():
    p = np.array([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]])
    assert np.array_equal(recordings.per_file(p, np.array([0, 0, 1]), 2), [[0.5, 0.5], [0.5, 0.5]])


def test_what_is_not_read_and_what_is_silent_is_said(tmp_path):
    (tmp_path / "deep" / "er").mkdir(parents=True)
    for name in ("a.m4a", "deep/b.M4A", "deep/er/c.wma", "__MACOSX", "._d.wav", ".DS_Store"):
        (tmp_path / name).write_bytes(b"x")
    sound = 0.3 * np.sin(np.arange(1000))
    soundfile.write(tmp_path / "deep" / "er" / "e.MP3", sound, 8000, format="MP3")
    soundfile.write(tmp_path / "f.wav", np.zeros(1000), 8000)
    soundfile.write(tmp_path / "g.wav", 30 * sound, 8000, subtype="FLOAT")
    soundfile.write(tmp_path / "h.wav", np.stack([sound, -sound], 1), 8000)
    (tmp_path / "link").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "deep" / "f_again.wav").symlink_to(tmp_path / "f.wav")
    found = recordings.load(tmp_path, sample_rate=8000, length=1000)
    assert found.files == ("deep/er/e.MP3", "deep/f_again.wav", "f.wav", "g.wav", "h.wav")
    assert found.left_out == ((".m4a", 2), (".wma", 1)) and found.silent == ("deep/f_again.wav", "f.wav", "h.wav")
    assert found.notices == (
        "1 of 5 files: samples far beyond full scale (1), taken as they are (the largest, 9, in g.wav); divide "
        "by the largest if that is not meant",
        "1 of 5 files: 2 channels mixed down to one",
        "1 of 5 files: channels that cancel: their mean, which is taken, is over 20 dB quieter than they are (the "
        "first: h.wav); keep one channel if that is not meant",
        "2 .m4a files were left out (the first: a.m4a): convert with ffmpeg -i NAME.m4a NAME.wav",
        "1 .wma file was left out (the first: deep/er/c.wma): convert with ffmpeg -i NAME.wma NAME.wav",
        "1 link leads to folders that are read under another name (the first: link)",
        "3 files are silent (the first: deep/f_again.wav): a label of silence says nothing",
    )


def test_a_folder_of_kinds_that_cannot_be_read_says_what_to_do(tmp_path):
    (tmp_path / "a.m4a").write_bytes(b"x")
    with pytest.raises(
        ValueError, match=r"1 file and no recording that can be read; 1 \.m4a file was left out .*: convert"
    ):
        recordings.find(tmp_path)


def test_one_file_may_be_given_in_place_of_a_folder(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.full(1000, 0.5), 1000)
    soundfile.write(tmp_path / "b.wav", np.zeros(1000), 1000)
    found = recordings.load(tmp_path / "a.wav", sample_rate=1000, length=500)
    assert found.files == ("a.wav",) and found.waves.shape == (2, 500) and found.silent == ("a.wav",)


def test_names_that_are_no_unicode_are_escaped_and_stay_different(tmp_path):
    for name in (b"caf\xe9.wav", b"caf\\xe9.wav", "caf\u00e9.wav".encode()):
        soundfile.write(tmp_path / "x.wav", 0.3 * np.sin(np.arange(500)), 1000)
        (tmp_path / "x.wav").rename(os.fsdecode(os.path.join(os.fsencode(tmp_path), name)))
    (tmp_path / os.fsdecode(b"\xff.wav")).write_bytes(b"")
    found = recordings.load(tmp_path, sample_rate=1000, length=500)
    assert sorted(found.files) == ["caf\\x5cxe9.wav", "caf\\xe9.wav", "caf\u00e9.wav"]
    assert found.skipped == (("\\xff.wav", "empty (0 bytes), expected a wav, flac, ogg or mp3 file"),)
    with pytest.raises(ValueError, match=r"/\\xff\.wav: empty"):
        recordings.load(tmp_path, sample_rate=1000, length=500, on_bad_file="stop")


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


def test_a_long_recording_that_ends_badly_leaves_no_window_behind(tmp_path, monkeypatch):
    """It is told at its end alone, when its first windows have been cut."""
    rng = np.random.default_rng(0)
    sound = rng.uniform(-0.5, 0.5, 5000).astype(np.float32)
    for name, last in (("a", 0.0), ("b", np.nan), ("c", 0.0)):
        soundfile.write(tmp_path / f"{name}.wav", np.append(sound, np.float32(last)), 1000, subtype="FLOAT")
    monkeypatch.setattr(opening, "_BLOCK", 700)
    same = {"sample_rate": 1000, "length": 500}
    for limit in (1e9, 4 * 2000, 15 * 2000):  # in memory, in a file before, in a file while the bad one is read
        monkeypatch.setattr(windows, "IN_MEMORY", limit)
        found = recordings.load(tmp_path, **same, spool=tmp_path / "state" / "windows")
        assert found.files == ("a.wav", "c.wav") and found.owner.tolist() == [0] * 11 + [1] * 11
        assert found.skipped[0][0] == "b.wav" and "1 of 5001 samples are NaN" in found.skipped[0][1]
        rows = found.waves[np.arange(22)]
        assert np.array_equal(rows[:11], rows[11:]) and np.array_equal(rows[0], sound[:500])
        (tmp_path / "state" / "windows").unlink(missing_ok=True)
    reread = recordings.load(tmp_path, **same, reread=True)
    assert np.array_equal(reread.waves[np.arange(22)], rows) and reread.digest == found.digest


def test_what_the_disk_cannot_hold_is_said_before_it_is_read(tmp_path, monkeypatch):
    soundfile.write(tmp_path / "a.wav", np.full(36_000, 0.1), 1000)
    monkeypatch.setattr(recordings, "IN_MEMORY", 1000)
    monkeypatch.setattr(recordings.shutil, "disk_usage", lambda folder: SimpleNamespace(free=2**16))
    same = {"sample_rate": 2000, "length": 500, "overlap": 0.5, "spool": tmp_path / "out" / "state" / "windows"}
    # 72,000 samples in steps of 250: 287 windows of 2,000 bytes.
    message = "the recordings are 0.0 h, which as windows take 0.0 GiB, and its disk has 0.0 GiB free; give --online"
    with pytest.raises(ValueError, match=message):
        recordings.load(tmp_path, **same)
    monkeypatch.setattr(recordings.shutil, "disk_usage", lambda folder: SimpleNamespace(free=287 * 2000))
    assert len(recordings.load(tmp_path, **same).waves) == 287
    assert not (tmp_path / "out").exists()
