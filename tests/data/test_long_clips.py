"""Windows of files that are never held whole."""

import tracemalloc

import numpy as np
import pytest
import soundfile

from dhauds_jax.data import opening
from dhauds_jax.data.long_clips import rereadable, windows
from dhauds_jax.data.resampling import resample_wave

RNG = np.random.default_rng(0)


@pytest.fixture
def file(tmp_path):
    stereo = (RNG.normal(size=(30_000, 2)) * 0.1).astype(np.float32)
    soundfile.write(tmp_path / "a.wav", stereo, 8_000, subtype="FLOAT")
    return tmp_path / "a.wav", stereo.mean(1)


@pytest.mark.parametrize("resampler", ["sinc", "soxr_hq"])
def test_the_last_window_ends_with_the_file(file, resampler, monkeypatch):
    path, mono = file
    whole = resample_wave(mono, 8_000, 12_000, resampler)
    monkeypatch.setattr(opening, "_BLOCK", 7_001)
    found, reading = windows(path, sample_rate=12_000, length=10_000, overlap=0.25, resampler=resampler)
    found = list(found)
    starts = [0, 7_500, 15_000, 22_500, 30_000, 35_000]
    assert len(whole) == 45_000 and len(found) == len(starts)
    for window, start in zip(found, starts, strict=True):
        np.testing.assert_allclose(window, whole[start : start + 10_000], atol=1e-6)
    assert reading.notices(12_000)[0] == "2 channels mixed down to one"


def test_a_short_file_is_one_window_as_the_layout_has_it(file):
    path, mono = file
    (row,) = windows(path, sample_rate=8_000, length=70_000, layout="repeat_pad")[0]
    np.testing.assert_allclose(row[:60_000], np.tile(mono, 2), atol=1e-7)
    assert not row[60_000:].any()


def test_a_file_can_be_read_again(file):
    blocks = rereadable(file[0], 8_000)
    first, second = (np.concatenate(list(blocks())) for _ in range(2))
    assert first.tobytes() == second.tobytes() and len(first) == 30_000


def test_a_wrong_overlap_is_named(file):
    with pytest.raises(ValueError, match="overlap"):
        windows(file[0], sample_rate=8_000, length=10, overlap=1.0)


@pytest.mark.parametrize("resampler", ["sinc", "soxr_hq"])
def test_memory_does_not_grow_with_the_file(tmp_path, monkeypatch, resampler):
    monkeypatch.setattr(opening, "_BLOCK", 1 << 16)
    peaks = []
    for seconds in (60, 600):
        path = tmp_path / f"{seconds}.wav"
        soundfile.write(path, np.zeros(seconds * 2_000, np.int16), 2_000)
        list(windows(path, sample_rate=2_000, length=2_000)[0])  # what is imported and cached
        tracemalloc.start()
        for _ in windows(path, sample_rate=4_000, length=4_000, resampler=resampler)[0]:
            pass
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.5 * peaks[0] + 200_000  # bytes; the longer file is 4.8 MB as float32 at its own rate
