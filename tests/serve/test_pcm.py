"""Raw samples from a pipe: their values whatever the pieces are, and what is no sound."""

import os
import struct

import numpy as np
import pytest

from dhauds_jax.data.mixdown import Mixdown
from dhauds_jax.errors import BadInput
from dhauds_jax.serve import pcm
from dhauds_jax.serve.pcm import Raw


def read(data, raw, size=1 << 20):
    pieces = [data[first : first + size] for first in range(0, len(data), size)]
    return list(pcm.samples(pieces, raw, Mixdown(raw.channels)))


@pytest.mark.parametrize("size", [1, 3, 5, 1000])
def test_samples_are_read_whatever_the_pieces_are(size):
    whole = np.array([0, 1, -32768, 32767, 5, -6], "<i2")
    assert np.concatenate(read(whole.tobytes(), Raw(8000), size)).tolist() == (whole / 32768).tolist()
    stereo = np.concatenate(read(whole.tobytes(), Raw(8000, "s16le", 2), size))
    assert stereo.tolist() == [0.5 / 32768, -0.5 / 32768, -0.5 / 32768] and stereo.dtype == np.float32
    floats = np.array([0.5, -1.25], "<f4")
    assert np.concatenate(read(floats.tobytes(), Raw(8000, "f32le"), size)).tolist() == [0.5, -1.25]


def test_an_end_within_a_sample_is_said_after_what_came_before():
    found, blocks = [], pcm.samples([b"\0\1\0"], Raw(8000), Mixdown(1))
    with pytest.raises(BadInput, match=r"^--input: ends after 3 bytes, which are no whole number of samples \(2 bytes"):
        found.extend(blocks)
    assert [block.tolist() for block in found] == [[256 / 32768]]


@pytest.mark.parametrize(
    ("data", "raw", "said"),
    [
        (b"RIFF....WAVEfmt ", Raw(8000), "begins as a wav file does, expected raw samples"),
        (b"fLaC....", Raw(8000), "begins as a flac file does"),
        (struct.pack("<4f", 0, 0, float("nan"), 0), Raw(2, "f32le"), "a sample at 1.000 s is no finite number"),
        (struct.pack("<4f", 0, 0, 0, float("inf")), Raw(2, "f32le", 2), "a sample at 0.500 s is no finite number"),
    ],
)
def test_what_is_no_sound_is_said(data, raw, said):
    with pytest.raises(BadInput, match=said):
        read(data, raw)


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (Raw(0), "--rate=0: expected at least 100"),
        (Raw(8000, "s24le"), "--format=s24le: expected s16le or f32le"),
        (Raw(8000, "s16le", 0), "--channels=0: expected at least 1"),
    ],
)
def test_what_no_sound_has_is_refused(raw, said):
    with pytest.raises(BadInput, match=said):
        pcm.check(raw)


def test_inputs_are_told_apart(tmp_path, monkeypatch):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "file.wav").write_bytes(b"x")
    assert pcm.is_raw(str(tmp_path / "pipe")) and not pcm.is_raw(str(tmp_path / "file.wav"))
    with pytest.raises(BadInput, match="no such file, expected a recording, a pipe"):
        pcm.is_raw(str(tmp_path / "absent"))
    with pytest.raises(BadInput, match="is a folder"):
        pcm.is_raw(str(tmp_path))
    monkeypatch.setattr(os, "isatty", lambda number: True)
    with pytest.raises(BadInput, match="stdin is a terminal, expected raw samples from a pipe"):
        pcm.is_raw("-")
