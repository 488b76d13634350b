"""Safe reading: what comes back, and what is refused in one sentence."""

import numpy as np
import pytest
import soundfile

from dhauds_jax.data import audio
from dhauds_jax.data.audio import read_audio, resample_wave


@pytest.fixture
def tone():
    return (0.4 * np.sin(np.arange(16_000) * 0.05)).astype(np.float32)


@pytest.mark.parametrize(
    ("name", "subtype", "error"),
    # One step of each sample format; Vorbis is lossy.
    [
        ("a.wav", "PCM_16", 2**-15),
        ("a.wav", "PCM_24", 2**-23),
        ("a.wav", "PCM_32", 1e-7),
        ("a.wav", "FLOAT", 0),
        ("a.flac", "PCM_16", 2**-15),
        ("a.wav", "PCM_U8", 2**-7),
        ("a.ogg", "VORBIS", 0.05),
    ],
)
def test_reads_formats(tmp_path, tone, name, subtype, error):
    soundfile.write(tmp_path / name, tone, 16_000, subtype=subtype)
    wave, notices = read_audio(tmp_path / name, 16_000)
    assert wave.dtype == np.float32 and wave.shape == (16_000,) and notices == ()
    assert np.abs(wave - tone).max() <= error


def test_pcm_is_scaled_by_32768(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.array([-32768, 16384, 1], np.int16), 16_000, subtype="PCM_16")
    assert read_audio(tmp_path / "a.wav", 16_000)[0].tolist() == [-1.0, 0.5, 1 / 32768]


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
    monkeypatch.setattr(audio, "BLOCK_SECONDS", 4)
    pieces = resample_wave(wave, 8_000, 16_000)
    assert pieces.shape == whole.shape
    np.testing.assert_allclose(pieces, whole, atol=1e-6)


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
    with pytest.raises(ValueError, match=r"text\.wav: cannot be read .* expected a wav, flac or ogg file"):
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


def test_limits_on_channels_length_and_rate(tmp_path, monkeypatch):
    soundfile.write(tmp_path / "a.wav", np.zeros((100, audio.MAX_CHANNELS + 1)), 16_000)
    with pytest.raises(ValueError, match=r"a\.wav: 33 channels, expected 1 to 32"):
        read_audio(tmp_path / "a.wav", 16_000)
    soundfile.write(tmp_path / "b.wav", np.zeros(100), 400)
    with pytest.raises(ValueError, match=r"b\.wav: sample rate 400 Hz, expected 1000 to 384000 Hz"):
        read_audio(tmp_path / "b.wav", 16_000)
    monkeypatch.setattr(audio, "MAX_SECONDS", 2)
    soundfile.write(tmp_path / "c.wav", np.zeros(16_000 * 3), 16_000)
    with pytest.raises(ValueError, match=r"c\.wav: 3 s long, expected at most 2 s"):
        read_audio(tmp_path / "c.wav", 16_000)
