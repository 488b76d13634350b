"""Mel spectrograms and decibels against torchaudio's goldens and librosa."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import librosa
import numpy as np
import pytest

from dhauds_jax.dsp.mel import MelSpec, decibels, log_mel, mel_filters, mel_spectrogram, ragged_log_mel

GOLDEN = Path(__file__).parents[1] / "goldens" / "mel_features.npz"
MEL, DB = jax.jit(mel_spectrogram, static_argnums=1), jax.jit(decibels, static_argnames=("amin", "top_db"))
LOG_MEL = jax.jit(log_mel, static_argnums=1)
AMAUT = MelSpec(
    sample_rate=16000,
    n_fft=1024,
    win_length=400,
    hop=155,
    n_mels=80,
    f_min=0.0,
    f_max=8000.0,
    scale="slaney",
    norm=None,
    power=2.0,
    pad_mode="reflect",
    amin=1e-10,
    top_db=80.0,
    divisor=40.0,
    frames=None,
)
CONMIX = AMAUT._replace(win_length=1024, hop=200, n_mels=81, scale="htk", divisor=1.0)
COCHL = AMAUT._replace(sample_rate=44100, win_length=1024, hop=330, f_max=22050.0)


@pytest.fixture(scope="module")
def golden():
    return np.load(GOLDEN)


def noise(*shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


@pytest.mark.parametrize(
    ("name", "wave", "spec"),
    [("amaut", "wave16k", AMAUT), ("conmix", "wave16k", CONMIX), ("cochl_like", "wave44k", COCHL)],
)
def test_mel_and_decibels_are_torchaudios(golden, name, wave, spec):
    wave = jnp.asarray(golden[wave])
    mel = golden[f"{name}_mel"].swapaxes(-1, -2)
    ours = MEL(wave, spec)
    assert ours.shape == mel.shape
    np.testing.assert_allclose(ours, mel, rtol=1e-4, atol=1e-7 * mel.max())
    np.testing.assert_allclose(ours, mel, atol=2e-6 * mel.max())
    # torchaudio computes band edges in float32: CoNMix's narrow bands near 0 Hz differ by up to 9e-4 dB.
    np.testing.assert_allclose(LOG_MEL(wave, spec), golden[f"{name}_db"].swapaxes(-1, -2), atol=1e-3)


@pytest.mark.parametrize("norm", [None, "slaney"])
@pytest.mark.parametrize("scale", ["slaney", "htk"])
@pytest.mark.parametrize("power", [1.0, 2.0])
def test_mel_is_librosas(scale, norm, power):
    spec = AMAUT._replace(scale=scale, norm=norm, power=power, f_min=50.0, f_max=7600.0)
    wave = noise(2, 8000)
    theirs = librosa.feature.melspectrogram(
        y=np.asarray(wave),
        sr=16000,
        n_fft=1024,
        hop_length=155,
        win_length=400,
        pad_mode="reflect",
        power=power,
        n_mels=80,
        fmin=50.0,
        fmax=7600.0,
        htk=scale == "htk",
        norm=norm,
    ).swapaxes(-1, -2)
    np.testing.assert_allclose(MEL(wave, spec), theirs, rtol=2e-5, atol=1e-6 * theirs.max())
    ours = DB(jnp.asarray(theirs), amin=1e-10, top_db=30.0)
    for row, clip in zip(np.asarray(ours), theirs):
        np.testing.assert_allclose(row, librosa.power_to_db(clip, ref=1.0, amin=1e-10, top_db=30.0), atol=2e-5)


def test_filters_are_triangles_that_sum_to_one_inside():
    filters = mel_filters(AMAUT)
    assert filters.shape == (513, 80)
    edges = librosa.mel_frequencies(82, fmin=0, fmax=8000)
    inside = (np.linspace(0, 8000, 513) >= edges[1]) & (np.linspace(0, 8000, 513) <= edges[-2])
    np.testing.assert_allclose(filters.sum(1)[inside], 1.0, atol=1e-12)


def test_the_floor_is_per_clip():
    wave = np.asarray(noise(2, 3, 4000)) * np.asarray([1.0, 1e-3, 1e-6], np.float32)[None, :, None]
    together = np.asarray(LOG_MEL(wave, AMAUT))
    for i in range(2):
        for j in range(3):
            # A matrix product of another height may round its last bits otherwise.
            np.testing.assert_allclose(together[i, j], LOG_MEL(wave[i, j], AMAUT), atol=1e-6)
    db = DB(jnp.asarray([[[1.0, 1e-12]], [[1e-4, 1e-30]]]), amin=1e-10, top_db=50.0)
    np.testing.assert_allclose(db, [[[0.0, -50.0]], [[-40.0, -90.0]]], atol=1e-4)
    np.testing.assert_allclose(DB(jnp.asarray([[1.0, 1e-12]]), amin=1e-10, top_db=None), [[0.0, -100.0]], atol=1e-4)


def test_frames_are_padded_with_zero_after_the_decibels_or_cut():
    wave = 1e-3 * noise(2, 16000)
    free = log_mel(wave, AMAUT)
    padded = log_mel(wave, AMAUT._replace(frames=110))
    assert free.shape == (2, 104, 80)
    assert padded.shape == (2, 110, 80)
    np.testing.assert_array_equal(padded[:, :104], free)
    assert float(jnp.abs(padded[:, 104:]).max()) == 0.0
    assert float(free.max()) < 0.0  # so the padding is louder than every bin, as in the reference
    np.testing.assert_array_equal(log_mel(wave, AMAUT._replace(frames=50)), free[:, :50])


@pytest.mark.parametrize(("name", "row"), [("ls100", 0), ("nsynth100", 1), ("fsc89", 2)])
def test_few_shot_front_ends_are_torchlibrosas(name, row):
    """EDE's and MAR's, (dB + 4.26) / 9.14 without a floor; the waves end the 80 dB that others keep."""
    with np.load(GOLDEN.with_name("torchlibrosa_log_mel.npz")) as arrays:
        found = dict(arrays)
    rate, samples, window, hop, mels, low, high = (int(n) for n in found["constants"][row])
    spec = MelSpec(rate, window, window, hop, mels, low, high, "slaney", "slaney", top_db=None)
    wave = jnp.asarray(found[f"{name}_wave"])
    assert wave.shape == (2, samples)
    assert found[f"{name}_db"].min() == -100.0
    wanted = found[f"{name}_db"]
    with jax.enable_x64(True):
        exact = LOG_MEL(jnp.asarray(found[f"{name}_wave"], jnp.float64), spec)
    np.testing.assert_allclose(exact, wanted, atol=1e-5)
    ours = LOG_MEL(wave, spec)
    # A float32 FFT (SciPy's has the same bits) is 2e-3 dB off in a few bins 50 dB below the loudest of their frame.
    loud = wanted > wanted.max(-1, keepdims=True) - 50
    np.testing.assert_allclose(ours[loud], wanted[loud], atol=1e-3)
    np.testing.assert_allclose(ours, wanted, atol=2.5e-3)
    normed = LOG_MEL(wave, spec._replace(divisor=9.14, offset=4.26))[:, ::8]
    np.testing.assert_allclose(normed[loud[:, ::8]], found[f"{name}_normed_every8"][loud[:, ::8]], atol=2e-4)


def test_offset_is_added_before_the_division_and_not_to_the_padding():
    wave = noise(1, 4000)
    moved = LOG_MEL(wave, AMAUT._replace(offset=4.26, frames=30))
    np.testing.assert_allclose(moved[:, :26], LOG_MEL(wave, AMAUT) + 4.26 / 40, atol=1e-6)
    assert not np.any(moved[:, 26:])


@pytest.mark.slow
@pytest.mark.parametrize("frames", [None, 12, 30])
def test_clips_of_several_lengths_are_each_as_if_alone(frames):
    spec = MelSpec(16000, 512, 400, 154, 20, 0.0, 8000.0, "slaney", divisor=40.0, frames=frames, offset=3.0)
    lengths = [300, 1540, 2001, 3000]
    rng = np.random.default_rng(0)
    waves = rng.normal(size=(4, 3000)).astype(np.float32) * np.array([[1e-4], [1.0], [0.1], [1.0]], np.float32)
    found = jax.jit(ragged_log_mel, static_argnums=2)(waves, jnp.asarray(lengths), spec)
    wanted = frames or 1 + 3000 // 154
    assert found.shape == (4, wanted, 20)
    for row, length in enumerate(lengths):
        alone = np.asarray(log_mel(jnp.asarray(waves[row, :length]), spec._replace(frames=wanted)))
        np.testing.assert_allclose(found[row], alone, atol=2e-5)
        assert not np.any(found[row, 1 + length // 154 :])
    with pytest.raises(ValueError, match="pad_mode is 'constant', expected 'reflect'"):
        ragged_log_mel(jnp.asarray(waves), jnp.asarray(lengths), spec._replace(pad_mode="constant"))


def test_spec_is_hashable_and_survives_json():
    assert hash(AMAUT) == hash(MelSpec(**json.loads(json.dumps(AMAUT._asdict()))))
    assert MelSpec(**json.loads(json.dumps(AMAUT._asdict()))) == AMAUT


@pytest.mark.slow
def test_jit_equals_eager_and_gradients_are_finite_on_silence():
    wave = noise(2, 4000)
    np.testing.assert_allclose(jax.jit(log_mel, static_argnums=1)(wave, AMAUT), log_mel(wave, AMAUT), atol=1e-5)
    for power in (1.0, 2.0):
        slope = jax.jit(jax.grad(lambda x: log_mel(x, AMAUT._replace(power=power)).sum()))  # noqa: B023
        for clip in (wave, jnp.zeros((2, 4000)), wave.at[0].set(0.0)):
            assert bool(jnp.isfinite(slope(clip)).all())
    step = 1e-2
    direction = noise(2, 4000, seed=1) / 60
    smooth = AMAUT._replace(top_db=None)
    value = lambda x: log_mel(x, smooth).mean()  # noqa: E731
    numeric = (value(wave + step * direction) - value(wave - step * direction)) / (2 * step)
    np.testing.assert_allclose(jnp.vdot(jax.grad(value)(wave), direction), numeric, rtol=2e-2, atol=1e-5)


def test_bad_constants_are_named():
    with pytest.raises(ValueError, match="'bark', expected 'slaney' or 'htk'"):
        mel_filters(AMAUT._replace(scale="bark"))
    with pytest.raises(ValueError, match="expected None or 'slaney'"):
        mel_filters(AMAUT._replace(norm="l1"))
    with pytest.raises(ValueError, match="f_max 9000"):
        mel_filters(AMAUT._replace(f_max=9000.0))
