"""Another rate by soxr: as librosa has it, to the bit, in blocks of any size."""

import sys

import numpy as np
import pytest
import soundfile
import soxr

from dhauds_jax.data.audio import read_audio, read_blocks
from dhauds_jax.data.resampling import resample_blocks, resample_on_host, resample_wave

RNG = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("orig", "new", "samples"),
    [(44_100, 48_000, 30_001), (8_000, 48_000, 4_444), (48_000, 16_000, 20_000), (44_100, 48_000, 1)],
)
def test_soxr_is_itself_whatever_the_blocks(orig, new, samples):
    wave = (RNG.normal(size=samples) * 0.1).astype(np.float32)
    whole = resample_wave(wave, orig, new, "soxr_hq")
    assert whole.dtype == np.float32 and len(whole) == -(-new * samples // orig)
    one_go = soxr.resample(wave, orig, new, quality="HQ")
    assert whole[: len(one_go)].tobytes() == one_go.tobytes() and not whole[len(one_go) :].any()
    for size in (97, 997, 12_345):
        blocks = np.split(wave, range(size, samples, size))
        pieces = list(resample_blocks(blocks, orig, new, "soxr_hq"))
        assert np.concatenate(pieces).tobytes() == whole.tobytes() and all(map(len, pieces))


@pytest.mark.slow
@pytest.mark.parametrize(("orig", "samples"), [(44_100, 30_001), (44_100, 5), (8_000, 4_444)])
def test_soxr_is_librosas(orig, samples):
    librosa = pytest.importorskip("librosa")
    wave = (RNG.normal(size=samples) * 0.1).astype(np.float32)
    theirs = librosa.resample(wave, orig_sr=orig, target_sr=48_000, res_type="soxr_hq")
    assert resample_wave(wave, orig, 48_000, "soxr_hq").tobytes() == theirs.tobytes()


def test_of_nothing_soxr_makes_nothing():
    assert resample_wave(np.zeros(0, np.float32), 44_100, 48_000, "soxr_hq").shape == (0,)


def test_the_rate_that_is_there_needs_no_resampler():
    wave = RNG.normal(size=10).astype(np.float32)
    assert resample_wave(wave, 8_000, 8_000, "soxr_hq") is wave
    assert next(resample_blocks([wave], 8_000, 8_000, "soxr_hq")) is wave


def test_files_are_read_with_the_resampler_asked_for(tmp_path):
    path = tmp_path / "a.wav"
    stereo = (RNG.normal(size=(4_410, 2)) * 0.1).astype(np.float32)
    soundfile.write(path, stereo, 44_100, subtype="FLOAT")
    mono = stereo.mean(1)
    for name in ("sinc", "soxr_hq"):
        wave, notices = read_audio(path, 48_000, name)
        np.testing.assert_allclose(wave, resample_wave(mono, 44_100, 48_000, name), atol=1e-6)
        assert np.concatenate(list(read_blocks(path, 48_000, name)[0])).tobytes() == wave.tobytes()
        assert notices == ("2 channels mixed down to one", "resampled from 44100 Hz to 48000 Hz")
    assert np.abs(read_audio(path, 48_000)[0] - read_audio(path, 48_000, "soxr_hq")[0]).max() > 1e-3


def test_without_soxr_it_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "soxr", None)
    with pytest.raises(ValueError, match=r"front_end\.resampler is soxr_hq and soxr is not installed"):
        resample_wave(np.zeros(10, np.float32), 44_100, 48_000, "soxr_hq")


@pytest.mark.parametrize(
    ("orig", "new", "samples"),
    [
        (8_000, 16_000, 4_444),
        (44_100, 16_000, 30_001),
        (48_000, 16_000, 1),
        (16_013, 16_000, 16_500),  # 16,000 phases, of which the second period has a part
        pytest.param(44_100, 16_000, 45 * 44_100, marks=pytest.mark.slow),  # block by block
        pytest.param(383_999, 16_000, 400_000, marks=pytest.mark.slow),
    ],
)
def test_the_sinc_on_the_host_is_the_compiled_one(orig, new, samples):
    wave = np.clip(RNG.normal(size=samples) * 0.3, -1, 1).astype(np.float32)
    ours, theirs = resample_on_host(wave, orig, new), resample_wave(wave, orig, new)
    assert ours.dtype == np.float32 and ours.shape == theirs.shape
    assert np.abs(ours - theirs).max() < 1e-6


def test_on_the_host_other_resamplers_are_themselves():
    wave = RNG.normal(size=500).astype(np.float32)
    assert resample_on_host(wave, 8_000, 8_000) is wave
    same = resample_on_host(wave, 44_100, 48_000, "soxr_hq").tobytes()
    assert same == resample_wave(wave, 44_100, 48_000, "soxr_hq").tobytes()
