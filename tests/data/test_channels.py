"""Channels that cancel when they are mixed down, and samples far beyond full scale: what is said of a file."""

import numpy as np
import pytest
import soundfile

from dhauds_jax.data.audio import decode, read_audio
from tests.data import kinds


@pytest.fixture
def tone():
    return kinds.tone()


@pytest.mark.parametrize("other", [0.0, 0.5, -0.5, -0.9, -1.0])
def test_channels_that_cancel_are_said(tmp_path, tone, other):
    soundfile.write(tmp_path / "a.wav", np.stack([tone, other * tone], 1), 16_000, subtype="FLOAT")
    read, (_, notices) = decode(tmp_path / "a.wav"), read_audio(tmp_path / "a.wav", 16_000)
    # In units of the first channel's RMS: |1 + other| / 2 against sqrt((1 + other^2) / 2), at -0.9 0.05 against 0.95.
    assert read.cancels == (other <= -0.9) and ("that cancel" in " ".join(notices)) == read.cancels
    np.testing.assert_allclose(read.wave, (1 + other) / 2 * tone, atol=1e-7)


def test_silent_and_independent_channels_do_not_cancel(tmp_path):
    for channels in (2, 32):
        noise = 0.1 * np.random.default_rng(0).normal(size=(4_000, channels))
        for wave in (0 * noise, noise):
            soundfile.write(tmp_path / "a.wav", wave, 16_000, subtype="PCM_16")
            assert not decode(tmp_path / "a.wav").cancels


def test_channels_beyond_what_can_be_squared_do_not_cancel(tmp_path, tone):
    soundfile.write(tmp_path / "a.wav", 1e30 * np.stack([tone, tone], 1), 16_000, subtype="FLOAT")
    read = decode(tmp_path / "a.wav")
    assert not read.cancels and read.peak == pytest.approx(1e30 * np.abs(tone).max())


@pytest.mark.parametrize(("scale", "said"), [(1.2, False), (2.0, True), (32_768.0, True)])
def test_floats_far_beyond_full_scale_are_said_and_left_as_they_are(tmp_path, tone, scale, said):
    wave = scale * tone / np.abs(tone).max()
    soundfile.write(tmp_path / "a.wav", wave, 16_000, subtype="FLOAT")
    read, notices = read_audio(tmp_path / "a.wav", 16_000)
    np.testing.assert_array_equal(read, wave)
    assert [str(notice) for notice in notices] == ["samples far beyond full scale (1)"] * said
    assert [notice.value for notice in notices] == pytest.approx([scale] * said)
