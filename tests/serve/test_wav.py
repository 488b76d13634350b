"""The strict reader of wav files: the samples of `data.audio.decode`, and a code for whatever else is sent."""

import struct

import numpy as np
import pytest

from dhauds_jax.data.audio import decode
from dhauds_jax.serve import wav
from dhauds_jax.serve.failures import Failure
from tests.serve.serving import recording, tone
from tests.serve.serving import wav as written

FLOAT, EXTENSIBLE = 3, 0xFFFE


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
@pytest.mark.parametrize("channels", [1, 2, 3])
@pytest.mark.parametrize("kind", ["WAV", "WAVEX"])
def test_samples_are_libsndfiles_to_the_bit(tmp_path, subtype, channels, kind):
    wave = np.stack([tone(seed=k) for k in range(channels)], 1) * 2
    body = recording(wave, 11_025, kind, subtype)
    (tmp_path / "a.wav").write_bytes(body)
    ours, theirs = wav.read(body, 10.0), decode(tmp_path / "a.wav")
    assert ours.wave.dtype == np.float32 and ours.wave.tobytes() == theirs.wave.tobytes()
    assert ours[1:] == theirs[1:] and ours.sample_rate == 11_025


@pytest.mark.parametrize("size", [0, 0x7FFFF000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF - 36, 0xFFFFFFFF])
@pytest.mark.parametrize("rest", [b"", b"\5"])
def test_a_size_that_a_pipe_left_is_that_of_the_body(tmp_path, size, rest):
    body = written(struct.pack("<5h", 1, 2, 3, 4, 5) + rest, promised=size)
    (tmp_path / "a.wav").write_bytes(body)
    assert (wav.read(body, 10.0).wave * 2**15).tolist() == [1, 2, 3, 4, 5]
    assert wav.read(body, 10.0).wave.tobytes() == decode(tmp_path / "a.wav").wave.tobytes()


@pytest.mark.parametrize("chunk", [b"LIST\3\0\0\0abc\0", b"LIST\3\0\0\0abc", b"junk\0\0\0\0", b"bext\4\0\0\0abcd"])
def test_chunks_before_and_behind_the_audio_are_passed_over(tmp_path, chunk):
    body = written(struct.pack("<3h", 7, 8, 9), before=chunk, behind=b"LIST\2\0\0\0ab")
    (tmp_path / "a.wav").write_bytes(body)
    assert (wav.read(body, 10.0).wave * 2**15).tolist() == [7, 8, 9]
    assert wav.read(body, 10.0).wave.tobytes() == decode(tmp_path / "a.wav").wave.tobytes()


EXTENDED = struct.pack("<HHIIHHHHIH", EXTENSIBLE, 1, 8000, 16_000, 2, 16, 22, 16, 4, 1) + bytes(14)


@pytest.mark.parametrize(
    ("body", "code", "said"),
    [
        (written(b""), "empty", "holds no samples"),
        (written(b"\0"), "empty", "holds no samples"),
        (written(promised=201), "truncated", "promises 201 bytes of audio and 200 came"),
        (written(promised=2**31 - 2**20), "truncated", "and 200 came"),
        (written()[:43], "truncated", "a wav header without audio"),
        (written()[:20], "truncated", "a wav header without audio (20 bytes)"),
        (b"RIFF\4\0\0\0WAVE", "truncated", "without audio (12 bytes)"),
        (written(struct.pack("<2f", 0.5, np.nan), tag=FLOAT, bits=32), "not_finite", "1 of 2 samples are NaN"),
        (written(struct.pack("<d", 1e300), tag=FLOAT, bits=64), "not_finite", "1 of 1 samples"),
        (written(tag=2, bits=4, frame=256), "format", "a wav of kind 2 with samples of 4 bit"),
        (written(tag=7, bits=8), "format", "a wav of kind 7"),
        (written(bits=12), "format", "samples of 12 bit"),
        (written(bits=64), "format", "samples of 64 bit"),
        (written(channels=0), "bad_header", "0 channels of 16 bit"),
        (written(frame=3), "bad_header", "in frames of 3 bytes"),
        (written(bytes(200), channels=33, frame=66), "channels", "33 channels"),
        (written(bytes(140_000), channels=65_535, bits=8), "channels", "65535 channels"),
        (written(rate=0), "rate", "sample rate 0 Hz"),
        (written(rate=2**32 - 1), "rate", "sample rate 4294967295 Hz"),
        (written(bytes(170_000)), "too_long", "10.6 s long"),
        (b"RIFF\x40\0\0\0WAVEdata\4\0\0\0abcdfmt " + bytes(20), "bad_header", "comes before its format"),
        (b"RIFF\x40\0\0\0WAVEfmt \4\0\0\0abcddata\4\0\0\0abcd", "bad_header", "`fmt ` has 4 bytes"),
        (b"RIFF\x40\0\0\0WAVE" + b"junk\0\0\0\0" * 1001, "bad_header", "more than 1000 chunks"),
        (b"RIFF\x40\0\0\0WAVEfmt \x28\0\0\0" + EXTENDED + b"data\2\0\0\0\1\0", "format", "a wav of kind 65534"),
    ],
    ids=lambda value: value if isinstance(value, str) else "body",
)
def test_what_cannot_be_read_has_its_code(body, code, said):
    with pytest.raises(Failure) as caught:
        wav.read(body, 10.0)
    assert caught.value.code == code and said in caught.value.message and caught.value.expected
    assert 400 <= caught.value.status < 500


def test_a_wav_is_known_by_its_first_bytes():
    assert wav.is_wav(written()) and not wav.is_wav(b"RIFF") and not wav.is_wav(b"RIFF\0\0\0\0AVI ")
