"""Safe reading: what comes back, and what is refused in one sentence."""

import pickle
import struct

import numpy as np
import pytest
import soundfile

from dhauds_jax.data import audio, opening, resampling
from dhauds_jax.data.audio import BadFile, decode, read_audio
from dhauds_jax.data.resampling import resample_blocks, resample_wave


@pytest.fixture
def tone():
    return (0.4 * np.sin(np.arange(16_000) * 0.05)).astype(np.float32)


def wav(path, data, *, tag=1, bits=16, channels=1, rate=16_000, promised=None, extra=b"", kind=b"RIFF"):
    """Writes a wav byte by byte, so that a test can also write what no library would."""
    frame = channels * bits // 8 % 2**16
    fmt = struct.pack("<HHIIHH", tag, channels, rate, rate * frame % 2**32, frame, bits)
    body = b"WAVEfmt " + struct.pack("<I", len(fmt)) + fmt + extra
    body += b"data" + struct.pack("<I", len(data) if promised is None else promised) + data
    path.write_bytes(kind + struct.pack("<I", len(body)) + body)
    return path


PCM, FLOAT, A_LAW, MU_LAW = 1, 3, 6, 7


@pytest.mark.parametrize(
    ("tag", "bits", "data", "expected"),
    [
        (PCM, 8, bytes([0, 64, 128, 129, 255]), [-1.0, -0.5, 0.0, 2**-7, 1 - 2**-7]),
        (PCM, 16, struct.pack("<4h", -(2**15), 2**14, 1, 2**15 - 1), [-1.0, 0.5, 2**-15, 1 - 2**-15]),
        (PCM, 24, bytes.fromhex("000080 000040 010000 ffffff ffff7f"), [-1.0, 0.5, 2**-23, -(2**-23), 1 - 2**-23]),
        (PCM, 32, struct.pack("<4i", -(2**31), 2**30, 1, -(2**8)), [-1.0, 0.5, 2**-31, -(2**-23)]),
        (FLOAT, 32, struct.pack("<4f", 0.1, -1.5, 1e-30, 0.0), [np.float32(0.1), -1.5, np.float32(1e-30), 0.0]),
        (FLOAT, 64, struct.pack("<3d", 0.1, -1.5, 2**-40), [np.float32(0.1), -1.5, 2**-40]),
        (MU_LAW, 8, bytes([0xFF, 0x80, 0x00]), [0.0, 32_124 / 2**15, -32_124 / 2**15]),
        (A_LAW, 8, bytes([0xD5, 0xAA, 0x2A]), [8 / 2**15, 32_256 / 2**15, -32_256 / 2**15]),
    ],
)
def test_every_wav_encoding_gives_exact_values(tmp_path, tag, bits, data, expected):
    wave, notices = read_audio(wav(tmp_path / "a.wav", data, tag=tag, bits=bits), 16_000)
    assert wave.dtype == np.float32 and notices == ()
    assert wave.tolist() == [float(value) for value in expected]


@pytest.mark.parametrize(("subtype", "bits"), [("PCM_S8", 8), ("PCM_16", 16), ("PCM_24", 24)])
def test_every_flac_width_gives_exact_values(tmp_path, subtype, bits):
    expected = np.array([-1.0, 0.5, -(2.0 ** (1 - bits)), 1 - 2.0 ** (1 - bits), 0.0])
    soundfile.write(tmp_path / "a.flac", (expected * 2**31).astype(np.int64).astype(np.int32), 22_050, subtype=subtype)
    read = decode(tmp_path / "a.flac")
    assert read.wave.tolist() == expected.tolist() and (read.sample_rate, read.channels) == (22_050, 1)


@pytest.mark.parametrize(
    ("name", "subtype", "error"),
    # The last two occur in UrbanSound8K: steps that adapt over the first samples, a last block that is filled up.
    [("a.ogg", "VORBIS", 0.05), ("a.wav", "IMA_ADPCM", 0.01), ("a.wav", "MS_ADPCM", 0.01)],
)
def test_lossy_formats_come_close(tmp_path, tone, name, subtype, error):
    soundfile.write(tmp_path / name, tone, 16_000, subtype=subtype)
    wave, notices = read_audio(tmp_path / name, 16_000)
    assert 16_000 <= len(wave) < 18_100 and notices == ()
    assert np.abs(wave[:16_000] - tone)[100:].max() <= error


def test_extensible_and_rf64_headers_are_read(tmp_path):
    samples = np.array([-32768, 16384, 1], np.int16)
    for kind in ("WAVEX", "RF64"):
        soundfile.write(tmp_path / "a.wav", samples, 16_000, format=kind, subtype="PCM_16")
        assert read_audio(tmp_path / "a.wav", 16_000)[0].tolist() == [-1.0, 0.5, 1 / 32768]
    whole = (tmp_path / "a.wav").read_bytes()
    (tmp_path / "a.wav").write_bytes(whole[:-2])
    with pytest.raises(ValueError, match=r"a\.wav: truncated, its header promises 6 bytes of audio and 4 exist"):
        read_audio(tmp_path / "a.wav", 16_000)


def test_long_files_are_decoded_in_blocks_of_the_same_values(tmp_path, monkeypatch):
    samples = (0.1 * np.random.default_rng(0).normal(size=(10_007, 2))).astype(np.float32)
    for name in ("a.wav", "a.flac", "a.ogg"):
        soundfile.write(tmp_path / name, samples, 16_000)
        whole = decode(tmp_path / name).wave
        with monkeypatch.context() as patch:
            patch.setattr(opening, "_BLOCK", 1_024)
            np.testing.assert_array_equal(decode(tmp_path / name).wave, whole)
    expected = (np.rint(samples * 2**15) / 2**15).mean(axis=1)
    np.testing.assert_allclose(decode(tmp_path / "a.flac").wave, expected, atol=2**-15)


@pytest.mark.parametrize(
    ("name", "subtype"),
    [
        ("a.wav", "PCM_16"), ("a.wav", "PCM_24"), ("a.wav", "IMA_ADPCM"), ("a.flac", "PCM_16"), ("a.aiff", "PCM_16"),
        ("a.w64", "FLOAT"), ("a.au", "ULAW"), ("a.caf", "PCM_16"), ("a.ogg", "VORBIS"), ("a.mp3", "MPEG_LAYER_III"),
        ("a.paf", "PCM_16"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("channels", [1, 2])
def test_a_part_of_a_file_holds_the_samples_of_the_whole(tmp_path, monkeypatch, name, subtype, channels):
    monkeypatch.setattr(opening, "_BLOCK", 3_000)
    rng = np.random.default_rng(0)
    soundfile.write(tmp_path / name, 0.3 * rng.normal(size=(20_000, channels)), 16_000, subtype=subtype)
    whole = decode(tmp_path / name).wave
    for first, beyond in ((0, 1), (0, 5_000), (1, 20_000), (7_777, 12_345), (len(whole) - 1, 10**9)):
        np.testing.assert_array_equal(audio.Reading(tmp_path / name).part(first, beyond), whole[first:beyond])
    with pytest.raises(BadFile, match=rf"holds \d+ samples and none from sample {len(whole)} on, expected some"):
        audio.Reading(tmp_path / name).part(len(whole), len(whole) + 5)


def test_a_part_with_samples_that_are_not_finite_is_refused(tmp_path):
    wave = np.zeros(1_000, np.float32)
    wave[500] = np.nan
    soundfile.write(tmp_path / "a.wav", wave, 16_000, subtype="FLOAT")
    assert len(audio.Reading(tmp_path / "a.wav").part(0, 500)) == 500
    with pytest.raises(BadFile, match="1 of 200 samples are NaN or infinite, expected finite numbers"):
        audio.Reading(tmp_path / "a.wav").part(400, 600)


def test_stereo_is_mixed_down_with_notice(tmp_path, tone):
    soundfile.write(tmp_path / "a.wav", np.stack([tone, np.zeros_like(tone)], 1), 16_000, subtype="FLOAT")
    wave, notices = read_audio(tmp_path / "a.wav", 16_000)
    np.testing.assert_allclose(wave, tone / 2, atol=1e-7)
    assert notices == ("2 channels mixed down to one",)


def test_other_rate_is_resampled_with_notice(tmp_path):
    time = np.arange(44_100) / 44_100
    soundfile.write(tmp_path / "a.wav", 0.5 * np.sin(2 * np.pi * 440 * time), 44_100, subtype="FLOAT")
    wave, notices = read_audio(tmp_path / "a.wav", 16_000)
    assert notices == ("resampled from 44100 Hz to 16000 Hz",)
    expected = 0.5 * np.sin(2 * np.pi * 440 * np.arange(16_000) / 16_000)
    assert wave.shape == (16_000,)
    assert np.abs(wave - expected)[100:-100].max() < 2e-3


def test_long_waves_are_resampled_in_blocks_without_seams(monkeypatch):
    import jax.numpy as jnp

    from dhauds_jax.dsp.resample import resample

    wave = np.random.default_rng(0).normal(size=8_000 * 11 + 37).astype(np.float32)
    whole = np.asarray(resample(jnp.asarray(wave), 8_000, 16_000))
    monkeypatch.setattr(resampling, "BLOCK_SECONDS", 4)
    pieces = resample_wave(wave, 8_000, 16_000)
    assert pieces.shape == whole.shape
    np.testing.assert_allclose(pieces, whole, atol=1e-6)
    for seconds in (3.5, 4.0, 4.5, 6.0, 8.25, 11.0):
        part = wave[: int(8_000 * seconds) + 1]
        for block in (7_001, 40_000):
            blocks = np.split(part, range(block, len(part), block))
            assert np.array_equal(np.concatenate(list(resample_blocks(blocks, 8_000, 16_000))),
                                  resample_wave(part, 8_000, 16_000))  # fmt: skip


def test_short_wave_keeps_its_own_length():
    wave = np.ones(1_001, np.float32)
    assert resample_wave(wave, 44_100, 16_000).shape == (-(-16_000 * 1_001 // 44_100),)


def test_missing_and_empty_files(tmp_path):
    with pytest.raises(ValueError, match=r"none\.wav: no such file"):
        read_audio(tmp_path / "none.wav", 16_000)
    (tmp_path / "empty.wav").write_bytes(b"")
    with pytest.raises(ValueError, match=r"empty\.wav: empty \(0 bytes\)"):
        read_audio(tmp_path / "empty.wav", 16_000)
    soundfile.write(tmp_path / "zero.wav", np.zeros(0), 16_000)
    with pytest.raises(ValueError, match=r"zero\.wav: holds no samples"):
        read_audio(tmp_path / "zero.wav", 16_000)


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg"])
@pytest.mark.parametrize("keep", [0.9, 0.5, 0.01])
def test_truncated_files_are_refused(tmp_path, tone, name, keep):
    path = tmp_path / name
    soundfile.write(path, tone + 0.01 * np.random.default_rng(0).normal(size=16_000), 16_000)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(keep * len(whole))])
    with pytest.raises(ValueError, match=rf"{name}: (truncated|cannot be read)"):
        read_audio(path, 16_000)


def test_text_and_half_a_header_are_refused(tmp_path):
    (tmp_path / "text.wav").write_text("this is not audio at all, only text")
    with pytest.raises(
        ValueError, match=r"text\.wav: cannot be read \(Format not recognised\), expected a wav, flac, ogg or mp3 file$"
    ):
        read_audio(tmp_path / "text.wav", 16_000)
    soundfile.write(tmp_path / "half.wav", np.zeros(100), 16_000)
    (tmp_path / "half.wav").write_bytes((tmp_path / "half.wav").read_bytes()[:30])
    with pytest.raises(ValueError, match=r"half\.wav: truncated, a RIFF header without audio"):
        read_audio(tmp_path / "half.wav", 16_000)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_not_finite_samples_are_refused(tmp_path, tone, value):
    tone[5] = value
    soundfile.write(tmp_path / "a.wav", tone, 16_000, subtype="FLOAT")
    with pytest.raises(ValueError, match=r"a\.wav: 1 of 16000 samples are NaN or infinite"):
        read_audio(tmp_path / "a.wav", 16_000)
    soundfile.write(tmp_path / "b.wav", np.stack([tone, tone], 1), 16_000, subtype="FLOAT")
    with pytest.raises(ValueError, match=r"b\.wav: 2 of 32000 samples are NaN or infinite"):
        read_audio(tmp_path / "b.wav", 16_000)


def test_doubles_beyond_single_precision_are_refused(tmp_path):
    wav(tmp_path / "a.wav", struct.pack("<2d", 1e300, 0.5), tag=FLOAT, bits=64)
    with pytest.raises(ValueError, match=r"a\.wav: 1 of 2 samples are NaN or infinite"):
        read_audio(tmp_path / "a.wav", 16_000)


def test_absurd_headers_are_refused(tmp_path):
    zeros = bytes(4_000)
    cases = (
        ({"channels": 33, "bits": 8}, "33 channels, expected 1 to 32"),
        ({"channels": 65_535}, "cannot be read"),
        ({"channels": 0}, "cannot be read"),
        ({"rate": 400}, "sample rate 400 Hz, expected 1000 to 384000 Hz"),
        ({"rate": 0}, "(cannot be read|sample rate 0 Hz)"),
        ({"rate": 768_000}, "sample rate 768000 Hz, expected 1000 to 384000 Hz"),
        ({"rate": 2**32 - 1}, "(cannot be read|sample rate -?\\d+ Hz, expected)"),
        ({"bits": 0}, "cannot be read"),
        ({"promised": 2**31 + 4}, "truncated, its header promises 2147483652 bytes of audio and 4000 exist"),
    )
    for fields, message in cases:
        with pytest.raises(BadFile, match=r"a\.wav: " + message):
            read_audio(wav(tmp_path / "a.wav", zeros, **fields), 16_000)


def test_limits_on_length(tmp_path, monkeypatch):
    monkeypatch.setattr(audio, "MAX_SECONDS", 2)
    soundfile.write(tmp_path / "c.wav", np.zeros(16_000 * 3), 16_000)
    with pytest.raises(ValueError, match=r"c\.wav: 3 s long, expected at most 2 s"):
        read_audio(tmp_path / "c.wav", 16_000)


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        (2**36 - 1, "4294967 s long, expected at most 14400 s"),
        (160_000_000, "(truncated, its header promises 160000000 samples and 16000 could be read|cannot be read)"),
    ],
)
def test_a_flac_header_that_lies_is_refused_without_taking_memory(tmp_path, tone, frames, message):
    path = tmp_path / "a.flac"
    soundfile.write(path, tone, 16_000)
    data = bytearray(path.read_bytes())
    fields = int.from_bytes(data[18:26], "big")  # rate, channels, bits, then 36 bits: the number of samples
    data[18:26] = (fields - fields % 2**36 + frames).to_bytes(8, "big")
    path.write_bytes(data)
    with pytest.raises(BadFile, match=r"a\.flac: " + message):
        read_audio(path, 16_000)


def test_a_file_that_the_system_refuses_is_named(tmp_path):
    with pytest.raises(BadFile, match=r"n{300}\.wav: cannot be opened \(File name too long\)"):
        read_audio(tmp_path / ("n" * 300 + ".wav"), 16_000)
    with pytest.raises(BadFile, match=r": no such file"):
        read_audio(tmp_path, 16_000)


def test_names_that_are_not_unicode_are_read(tmp_path):
    path = tmp_path / b"caf\xe9.wav".decode("utf-8", "surrogateescape")
    wav(path, struct.pack("<2h", 1, 2))
    assert len(decode(path).wave) == 2


def test_a_bad_file_tells_its_parts_and_travels_between_processes(tmp_path):
    with pytest.raises(BadFile) as caught:
        decode(tmp_path / "none.wav")
    for error in (caught.value, pickle.loads(pickle.dumps(caught.value))):
        assert (error.path, error.reason, error.kind) == (tmp_path / "none.wav", "no such file", "missing")
        assert str(error) == f"{tmp_path / 'none.wav'}: no such file"


def test_a_link_to_nothing_says_so(tmp_path):
    (tmp_path / "a.wav").symlink_to(tmp_path / "gone.wav")
    with pytest.raises(BadFile, match=r"a\.wav: a link to a file that is not there$"):
        decode(tmp_path / "a.wav")
