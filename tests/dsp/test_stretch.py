"""Phase vocoder, Griffin-Lim, time stretch and pitch shift against torchaudio's goldens and their own properties."""

from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dhauds_jax.dsp.stft import stft
from dhauds_jax.dsp.stretch import (
    _double_cumsum,
    griffin_lim,
    phase_vocoder,
    pitch_shift,
    stretch_magnitude,
    time_stretch,
    time_stretch_frames,
)

GOLDENS = Path(__file__).parents[1] / "goldens"
STFT = jax.jit(stft, static_argnames=("n_fft", "hop"))
RATES = [0.88, 0.96, 1.04, 1.06, 1.12]
SIZES = {"n_fft": 1024, "hop": 256}
STRETCH = jax.jit(lambda spectrum, rate: stretch_magnitude(jnp.abs(spectrum), rate), static_argnums=1)


@pytest.fixture(scope="module")
def golden():
    return np.load(GOLDENS / "time_stretch.npz")


def noise(*shape, seed=0):
    return jnp.asarray(0.1 * np.random.default_rng(seed).normal(size=shape), jnp.float32)


def spelled(rate):
    return f"{rate:.2f}".replace(".", "p")


def relative_rms(ours, theirs):
    return float(np.sqrt(np.mean(np.square(np.asarray(ours) - theirs)) / np.mean(np.square(theirs))))


def stretched_magnitude(golden, rate):
    return STRETCH(spectrum_of(golden), rate)


def spectrum_of(golden):
    return STFT(jnp.asarray(golden["wave"][0]), **SIZES)


def convergence(wave, target):
    magnitude = np.abs(STFT(jnp.asarray(wave), **SIZES))
    return float(np.linalg.norm(magnitude - target) / np.linalg.norm(target))


@pytest.mark.parametrize("rate", [0.88, 1.06])
def test_stretched_magnitudes_are_the_vocoders(golden, rate):
    expected = golden[f"vocoder_abs_{spelled(rate)}"].T
    ours = stretched_magnitude(golden, rate)
    assert ours.shape == expected.shape
    np.testing.assert_allclose(ours, expected, atol=1e-5 * expected.max())
    whole = jax.jit(phase_vocoder, static_argnums=(1, 2))(spectrum_of(golden), rate, 256)
    np.testing.assert_allclose(np.abs(whole), expected, atol=1e-5 * expected.max())


@pytest.mark.parametrize("rate", RATES)
def test_griffin_lim_is_torchaudios(golden, rate):
    magnitude = stretched_magnitude(golden, rate)
    four = golden[f"griffin4_zero_init_{spelled(rate)}"]
    ours = griffin_lim(magnitude, **SIZES, iterations=4)
    assert ours.shape == four.shape == (256 * (time_stretch_frames(16000, rate) - 1),)
    np.testing.assert_allclose(ours, four, atol=1e-4 * np.abs(four).max())
    # 32 rounds amplify rounding: torchaudio's own float64 run is up to 1.6e-2 of the peak away from this golden.
    whole = golden[f"griffin_zero_init_{spelled(rate)}"]
    ours = time_stretch(jnp.asarray(golden["wave"][0]), rate)
    np.testing.assert_allclose(ours, whole, atol=3e-2 * np.abs(whole).max())
    assert relative_rms(ours, whole) < 2e-2
    target = np.sqrt(magnitude)
    assert abs(convergence(ours, target) - convergence(whole, target)) < 1e-3


@pytest.mark.parametrize("semitones", [4, 5, 7, -4, -5, -7])
def test_pitch_shift_is_torchaudios(semitones):
    golden = np.load(GOLDENS / "pitch_shift.npz")
    expected = golden[f"steps_{semitones}".replace("-", "m")]
    ours = pitch_shift(jnp.asarray(golden["wave"]), 16000, semitones)
    assert ours.shape == expected.shape
    # Phases near 5e4 rad in float32: torchaudio's float64 run is up to 2.9e-4 away from its float32 golden.
    np.testing.assert_allclose(ours, expected, atol=5e-4)
    assert relative_rms(ours, expected) < 5e-4


def test_pitch_shift_is_torchaudios_at_44_khz():
    golden = np.load(GOLDENS / "pitch_shift.npz")
    ours = pitch_shift(jnp.asarray(golden["wave44"]), 44100, 5)
    np.testing.assert_allclose(ours, golden["sr44_steps_5"], atol=5e-4)
    assert relative_rms(ours, golden["sr44_steps_5"]) < 5e-4


@pytest.mark.parametrize("semitones", [-7, -5, 4, 6, 12])
def test_pitch_shift_moves_a_tone_and_keeps_the_length(semitones):
    time = np.arange(16000) / 16000
    shifted = pitch_shift(jnp.asarray(np.sin(2 * np.pi * 440 * time), jnp.float32), 16000, semitones)
    assert shifted.shape == (16000,)
    spectrum = np.abs(np.fft.rfft(np.asarray(shifted) * np.hanning(16000)))
    assert abs(int(spectrum.argmax()) - 440 * 2 ** (semitones / 12)) <= 1.0  # bins of 1 Hz


def test_no_shift_and_no_stretch_are_the_identity():
    wave = noise(2, 16000)
    np.testing.assert_allclose(pitch_shift(wave, 16000, 0), wave, atol=1e-6)
    spectrum = STFT(wave, **SIZES)
    assert phase_vocoder(spectrum, 1.0, 256) is spectrum
    magnitude = jnp.abs(spectrum)
    np.testing.assert_array_equal(stretch_magnitude(magnitude, 1), magnitude)


def test_griffin_lim_from_the_true_phases_is_the_true_wave():
    wave = noise(2, 256 * 40)
    spectrum = np.asarray(STFT(wave, **SIZES))
    magnitude = np.abs(spectrum)
    start = jnp.asarray(spectrum / np.maximum(magnitude, np.float32(1e-12)))
    ours = griffin_lim(jnp.asarray(magnitude), **SIZES, power=1.0, iterations=32, start=start)
    np.testing.assert_allclose(ours, wave, atol=1e-5)
    squared = griffin_lim(jnp.asarray(magnitude**2), **SIZES, power=2.0, iterations=32, start=start)
    np.testing.assert_allclose(squared, wave, atol=1e-5)


@pytest.mark.parametrize("power", [1.0, 2.0])
def test_power_halves_levels_in_decibels(power):
    loud, soft = noise(1, 16000), 1e-2 * noise(1, 16000)
    ratio = jnp.linalg.norm(time_stretch(loud, 1.1, power=power)) / jnp.linalg.norm(
        time_stretch(soft, 1.1, power=power)
    )
    np.testing.assert_allclose(20 * np.log10(ratio), 40.0 / power, atol=0.1)


def test_start_is_used_as_torchaudio_does():
    torch = pytest.importorskip("torch", reason="the comparison is with PyTorch's transforms")
    wave = noise(16000)
    frames = time_stretch_frames(16000, 1.1)
    rng = np.random.default_rng(1)
    start = (rng.uniform(size=(frames, 513)) + 1j * rng.uniform(size=(frames, 513))).astype(np.complex64)
    magnitude = STRETCH(STFT(wave, **SIZES), 1.1)
    window = torch.hann_window(1024)
    target = torch.from_numpy(np.sqrt(np.array(magnitude)).T.copy())
    angles, previous = torch.from_numpy(start.T.copy()), 0.0
    for _ in range(3):
        rebuilt = torch.stft(
            torch.istft(target * angles, 1024, 256, window=window), 1024, 256, window=window, return_complex=True
        )
        angles = rebuilt - 0.99 / 1.99 * previous
        angles, previous = angles / (angles.abs() + 1e-16), rebuilt
    expected = torch.istft(target * angles, 1024, 256, window=window).numpy()
    ours = griffin_lim(magnitude, **SIZES, iterations=3, start=jnp.asarray(start))
    np.testing.assert_allclose(ours, expected, atol=1e-4 * np.abs(expected).max())
    assert time_stretch(wave, 1.1, start=jnp.asarray(start)).shape == ours.shape


@pytest.mark.parametrize("rate", [0.88, 0.9, 1.0, 1.04, 1.05, 1.11])
@pytest.mark.parametrize("length", [4000, 16000, 30080])
def test_stretched_lengths(rate, length):
    shape = jax.eval_shape(partial(time_stretch, rate=rate), jax.ShapeDtypeStruct((2, length), jnp.float32))
    assert shape.shape == (2, 256 * (time_stretch_frames(length, rate) - 1))
    assert time_stretch_frames(length, rate) == int(np.ceil((length // 256 + 1) / rate))


def test_lengths_of_the_reference():
    assert [256 * (time_stretch_frames(16000, r) - 1) for r in (1.04, 1.05)] == [15360, 15104]
    assert [256 * (time_stretch_frames(16000, r) - 1) for r in (1.08, 1.09, 1.10, 1.11)] == [14848, 14592, 14592, 14336]


@pytest.mark.as_shipped
@pytest.mark.parametrize("change", [lambda x: time_stretch(x, 1.11), lambda x: pitch_shift(x, 16000, -5)])
def test_the_batch_changes_no_bit(change):
    waves = noise(5, 16000)
    together = np.asarray(change(waves))
    np.testing.assert_array_equal(change(waves[3:4])[0], together[3])
    np.testing.assert_array_equal(change(waves[::-1][:3]), together[::-1][:3])
    np.testing.assert_array_equal(change(waves[:4].reshape(2, 2, -1)).reshape(4, -1), together[:4])


@pytest.mark.slow
def test_jit_equals_eager():
    wave = noise(2, 4000)
    np.testing.assert_allclose(pitch_shift.__wrapped__(wave, 16000, 5), pitch_shift(wave, 16000, 5), atol=2e-4)
    magnitude = jnp.abs(stft(wave, **SIZES))
    jitted = griffin_lim(magnitude, **SIZES, iterations=4)
    eager = griffin_lim.__wrapped__(magnitude, **SIZES, iterations=4)
    np.testing.assert_allclose(eager, jitted, atol=1e-4 * float(jnp.abs(jitted).max()))


@pytest.mark.slow
def test_silence_stays_silent_and_gradients_finite():
    silent = jnp.zeros((2, 4000))
    half = noise(2, 4000).at[:, 2000:].set(0.0)
    assert float(jnp.abs(time_stretch(silent, 1.1)).max()) == 0.0
    assert float(jnp.abs(pitch_shift(silent, 16000, 4)).max()) == 0.0
    assert bool(jnp.isfinite(time_stretch(half, 1.1)).all())
    assert bool(jnp.isfinite(pitch_shift(half, 16000, 4)).all())
    slope = jax.jit(jax.grad(lambda x: jnp.sum(time_stretch(x, 1.1, power=2.0) ** 2)))
    assert bool(jnp.isfinite(slope(silent)).all())
    assert bool(jnp.isfinite(slope(half)).all())
    assert float(jnp.abs(slope(half)).max()) > 0.0


def test_gradient_of_stretched_magnitudes_is_their_transpose():
    magnitude, other = np.abs(noise(30, 9)), noise(28, 9, seed=1)
    product = jax.jit(jax.value_and_grad(lambda m: jnp.vdot(stretch_magnitude(m, 1.1), other)))
    value, pulled = product(magnitude)
    np.testing.assert_allclose(np.vdot(pulled, magnitude), value, rtol=1e-5)


def test_phases_are_summed_as_in_float64():
    steps = jnp.asarray(np.random.default_rng(0).uniform(0, 400, size=(1200, 257)), jnp.float32)
    exact = np.cumsum(np.asarray(steps, np.float64), 0)
    np.testing.assert_array_equal(jax.jit(_double_cumsum)(steps), exact.astype(np.float32))
    # Plain float32 sums lose more than the final rounding, which is below 0.016 rad here.
    assert float(np.abs(np.asarray(jnp.cumsum(steps, 0)) - exact).max()) > 0.03


def test_bad_input_is_named():
    with pytest.raises(ValueError, match=r"stretch rate is 0\.0, expected a positive number"):
        time_stretch(noise(4000), 0.0)
    with pytest.raises(ValueError, match=r"momentum is 1\.0"):
        griffin_lim(jnp.asarray(np.zeros((9, 513), np.float32)), **SIZES, momentum=1.0)
    with pytest.raises(ValueError, match="the clip has 500 samples"):
        time_stretch(noise(500), 1.1)
