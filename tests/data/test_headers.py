"""Sizes in headers: what is cut short and what is not, files from pipes, chunks of odd length, no length at all."""

import io
import struct

import numpy as np
import pytest
import soundfile

from dhauds_jax.data import audio, headers
from dhauds_jax.data.audio import BadFile, decode, read_audio
from tests.data import kinds
from tests.data.kinds import NOTHING_TELLS, WRITTEN, write
from tests.data.test_audio import wav


@pytest.fixture
def tone():
    return kinds.tone()


@pytest.mark.parametrize("keep", [0.9, 0.5])
@pytest.mark.parametrize("ending", [ending for ending in WRITTEN if ending not in NOTHING_TELLS])
def test_what_is_cut_short_is_refused(tmp_path, tone, ending, keep):
    path = write(tmp_path / f"a{ending}", tone, ending)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(keep * len(whole))])
    with pytest.raises(BadFile, match=r"a\.\w+: (truncated, |cannot be read)"):
        read_audio(path, 16_000)


@pytest.mark.parametrize("riff", [None, 0, 0x7FFFF024, 0xFFFFFFFF])
@pytest.mark.parametrize(
    "size", [0, 0x7FFFEFFE, 0x7FFFF000, 0x7FFFFF00, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF - 36, 0xFFFFFFFF]
)
def test_a_wav_from_a_pipe_is_read_to_its_end(tmp_path, size, riff):
    path = wav(tmp_path / "a.wav", struct.pack("<5h", 1, 2, 3, 4, 5), promised=size)
    if riff is not None:
        path.write_bytes(path.read_bytes()[:4] + struct.pack("<I", riff) + path.read_bytes()[8:])
    assert (read_audio(path, 16_000)[0] * 2**15).tolist() == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("size", [12, 4_000, 0x7FFF0000, 0x80000004, 0xFFFF0000])
def test_a_wav_of_any_other_size_is_cut_short(tmp_path, size):
    path = wav(tmp_path / "a.wav", struct.pack("<5h", 1, 2, 3, 4, 5), promised=size)
    with pytest.raises(BadFile, match=rf"truncated, its header promises {size} bytes of audio and 10 exist$"):
        decode(path)


INFO = b"LIST" + struct.pack("<I", 10) + b"INFOISFTab"


def test_an_empty_wav_with_a_list_behind_it_is_empty(tmp_path):
    path = wav(tmp_path / "a.wav", b"")
    path.write_bytes(path.read_bytes() + INFO)
    with pytest.raises(BadFile, match="holds no samples") as caught:
        decode(path)
    assert caught.value.kind == "empty"


@pytest.mark.parametrize("padded", [True, False])
@pytest.mark.parametrize("size", [4_000, 0x7FFFF000, 0x4140])
@pytest.mark.parametrize("chunk", [b"LIST", b"junk", b"bext", b"id3 "])
def test_a_chunk_of_odd_length_may_lack_the_byte_behind_it(tmp_path, chunk, size, padded):
    """0x4140 makes printable characters of the size, which must not pass for a name."""
    samples = np.arange(min(size, 0x4140) // 2, dtype=np.int16)
    odd = chunk + struct.pack("<I", 5) + b"abcde" + (b"\0" if padded else b"")
    path = wav(tmp_path / "a.wav", samples.tobytes(), extra=odd, promised=size)
    assert (decode(path).wave * 2**15).tolist() == samples.tolist()
    path.write_bytes(path.read_bytes()[:-2])
    if size < 0x7FFFF000:
        with pytest.raises(
            BadFile, match=rf"truncated, its header promises {size} bytes of audio and {size - 2} exist"
        ):
            decode(path)


@pytest.mark.parametrize("behind", [b"", b"\0", INFO, b"\0" + INFO])
def test_audio_of_odd_length_with_and_without_what_follows(tmp_path, behind):
    path = wav(tmp_path / "a.wav", bytes([128, 0, 192]), bits=8)
    path.write_bytes(path.read_bytes() + behind)
    assert decode(path).wave.tolist() == [0.0, -1.0, 0.5]


def test_a_chunk_before_the_audio_may_be_large(tmp_path):
    odd = b"junk" + struct.pack("<I", (1 << 20) + 1) + bytes((1 << 20) + 1)
    with pytest.raises(BadFile, match=r"cannot be read \(.*'data' chunk"):
        decode(wav(tmp_path / "a.wav", bytes(8), extra=odd))
    assert len(decode(wav(tmp_path / "b.wav", bytes(8), extra=odd + b"\0")).wave) == 4


def streamed(path, wave):
    """A FLAC file whose header does not say how many samples there are."""
    soundfile.write(path, wave, 16_000)
    data = bytearray(path.read_bytes())
    fields = int.from_bytes(data[18:26], "big")
    data[18:26] = (fields - fields % 2**36).to_bytes(8, "big")
    data[26:42] = bytes(16)  # nor their checksum
    path.write_bytes(data)
    return path


def test_a_flac_without_a_length_is_read_to_its_end(tmp_path, monkeypatch):
    wave = 0.1 * np.random.default_rng(0).normal(size=(20_011, 2))
    path = streamed(tmp_path / "a.flac", wave)
    expected = soundfile.read(io.BytesIO(soundfile_bytes(wave)), dtype="float32")[0].mean(axis=1)
    np.testing.assert_array_equal(decode(path).wave, expected)
    monkeypatch.setattr(audio, "MAX_SECONDS", 1)
    with pytest.raises(BadFile, match="longer than 1 s, expected at most that"):
        decode(path)


def soundfile_bytes(wave):
    out = io.BytesIO()
    soundfile.write(out, wave, 16_000, format="FLAC")
    return out.getvalue()


@pytest.mark.parametrize("keep", [0.95, 0.5])
def test_a_flac_without_a_length_that_is_cut_short_is_refused(tmp_path, tone, keep):
    path = streamed(tmp_path / "a.flac", np.tile(tone, 10))
    path.write_bytes(path.read_bytes()[: int(keep * path.stat().st_size)])
    with pytest.raises(BadFile, match=r"cannot be read \(Error : flac decoder lost sync\)"):
        decode(path)


def test_sizes_of_bytes_are_those_of_the_file(tmp_path, tone):
    for ending in (".au", ".caf", ".w64", ".sph", ".aif"):
        path = write(tmp_path / f"a{ending}", tone, ending)
        assert headers.look(path) == headers.Look()._replace(begin=headers.look(path).begin)
        path.write_bytes(path.read_bytes()[:-2])
        assert headers.look(path).missing.startswith("its header promises 640") or ending == ".caf"


@pytest.mark.parametrize(
    ("ending", "size"),
    [(".au", b"\xff" * 4), (".aif", struct.pack(">I", 0x7F000008))],
)
def test_other_formats_that_do_not_say_how_long_they_are_are_read_to_their_end(tmp_path, tone, ending, size):
    path = write(tmp_path / f"a{ending}", tone, ending)
    expected, data = decode(path).wave, path.read_bytes()
    place = {".au": 8, ".aif": data.find(b"SSND") + 4}[ending]
    path.write_bytes(data[:place] + size + data[place + len(size) :])
    assert headers.look(path).missing == ""
    np.testing.assert_array_equal(decode(path).wave, expected)


@pytest.mark.parametrize("ending", [".w64", ".caf"])
@pytest.mark.parametrize("size", [2**62, 2**63 - 1, 2**63, 2**64 - 1])
def test_a_chunk_before_the_audio_that_is_larger_than_any_file_is_refused(tmp_path, tone, ending, size):
    """Found by tests/faults/feed_audio: W64 has sizes of 64 bits, and no file could be asked for such a place."""
    path = write(tmp_path / f"a{ending}", tone, ending)
    data = bytearray(path.read_bytes())
    place, form = {".w64": (56, "<Q"), ".caf": (12, ">Q")}[ending]
    assert data[place - len(b"fmt ") : place] == b"desc" or data[40:44] == b"fmt "
    data[place : place + 8] = struct.pack(form, size)
    path.write_bytes(data)
    with pytest.raises(BadFile, match=r"a\.\w+: (truncated, |cannot be read)"):
        decode(path)
