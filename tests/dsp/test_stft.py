"""STFT and its inverse against librosa, PyTorch's edge rules, and their own identities."""

import jax
import jax.numpy as jnp
import jaxtyping
import librosa
import numpy as np
import pytest

from dhauds_jax.dsp.stft import frame, hann, istft, overlap_add, stft

_SIZES = ("n_fft", "hop", "win_length")
STFT, ISTFT = jax.jit(stft, static_argnames=_SIZES), jax.jit(istft, static_argnames=(*_SIZES, "length"))
SIZES = [(1024, 256, 1024), (512, 128, 512), (1024, 155, 400), (1024, 200, 1024), (400, 160, 400), (255, 64, 201)]


def noise(*shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


def test_a_window_that_all_share_cannot_be_written_to():
    assert hann(4, 6) is hann(4, 6)
    with pytest.raises(ValueError, match="read-only"):
        hann(4, 6)[0] = 1.0


@pytest.mark.slow
@pytest.mark.parametrize(("n_fft", "hop", "win_length"), SIZES)
@pytest.mark.parametrize("pad_mode", ["reflect", "constant"])
def test_stft_is_librosas_edges_included(n_fft, hop, win_length, pad_mode):
    wave = noise(2, 5001)
    ours = stft(wave, n_fft=n_fft, hop=hop, win_length=win_length, pad_mode=pad_mode)
    theirs = librosa.stft(np.asarray(wave), n_fft=n_fft, hop_length=hop, win_length=win_length, pad_mode=pad_mode)
    assert ours.shape == theirs.swapaxes(-1, -2).shape
    np.testing.assert_allclose(ours, theirs.swapaxes(-1, -2), atol=2e-6 * np.abs(theirs).max())


@pytest.mark.parametrize(("n_fft", "hop", "win_length"), SIZES)
def test_istft_undoes_stft(n_fft, hop, win_length):
    wave = noise(2, 3, 4000)
    spectrum = STFT(wave, n_fft=n_fft, hop=hop, win_length=win_length)
    # The last samples beyond the last whole hop lie under few windows.
    covered = hop * (spectrum.shape[-2] - 1)
    back = ISTFT(spectrum, n_fft=n_fft, hop=hop, win_length=win_length, length=4000)
    assert back.shape == wave.shape
    np.testing.assert_allclose(back[..., :covered], wave[..., :covered], atol=1e-5)


@pytest.mark.parametrize("length", [None, 3000, 3840, 4100, 9000])
def test_istft_is_torchs_for_any_length(length):
    torch = pytest.importorskip("torch", reason="the comparison is with PyTorch")
    rng = np.random.default_rng(1)
    spectrum = (rng.normal(size=(31, 257)) + 1j * rng.normal(size=(31, 257))).astype(np.complex64)
    ours = ISTFT(jnp.asarray(spectrum), n_fft=512, hop=128, length=length)
    whole = 512 // 2 + 30 * 128
    # torch warns when it pads; ask it for what the frames hold and pad here.
    theirs = torch.istft(
        torch.from_numpy(spectrum.T.copy()),
        512,
        128,
        window=torch.hann_window(512),
        length=None if length is None else min(length, whole),
    ).numpy()
    expected = theirs if length is None else np.pad(theirs, (0, max(0, length - whole)))
    assert ours.shape == expected.shape
    # The last window's tail divides by a sum of squares near 1e-9, which magnifies rounding there.
    steady = slice(0, 3840)
    np.testing.assert_allclose(ours[steady], expected[steady], atol=1e-6 * np.abs(expected[steady]).max())
    np.testing.assert_allclose(ours, expected, rtol=1e-3, atol=2e-3 * np.abs(expected).max())


@pytest.mark.parametrize(
    ("count", "size", "hop"), [(1, 8, 2), (2, 8, 2), (3, 8, 2), (9, 8, 2), (9, 7, 3), (5, 4, 4), (4, 3, 5)]
)
def test_overlap_add_is_the_transpose_of_frame(count, size, hop):
    frames, wave = (np.asarray(noise(*shape)) for shape in ((2, count, size), (2, hop * (count - 1) + size)))
    cut = jax.jit(frame, static_argnums=(1, 2))(wave, size, hop)
    expected = np.stack([wave[:, i * hop : i * hop + size] for i in range(count)], 1)
    np.testing.assert_array_equal(cut, expected)
    whole = np.zeros((2, hop * (count - 1) + size))
    for i in range(count):
        whole[:, i * hop : i * hop + size] += frames[:, i]
    spans = [(0, None), (1, whole.shape[1] - 1), (size // 2, whole.shape[1] - size // 2), (0, size)]
    sums = jax.jit(lambda x: [overlap_add(x, hop, start, end) for start, end in spans])(frames)
    for found, (start, end) in zip(sums, spans, strict=True):
        np.testing.assert_allclose(found, whole[:, start:end], atol=1e-6)


def test_jit_batching_and_gradients():
    wave = noise(4, 3000)
    transform = lambda x: stft(x, n_fft=512, hop=128)  # noqa: E731
    np.testing.assert_allclose(jax.jit(transform)(wave), transform(wave), atol=2e-5)
    np.testing.assert_array_equal(transform(wave)[2], transform(wave[2]))
    # Parseval with a constant-overlap window: the gradient of the energy is linear in the wave.
    energy = lambda x: jnp.sum(jnp.abs(transform(x)) ** 2)  # noqa: E731
    whole, slope = jax.jit(jax.value_and_grad(energy))(wave)
    np.testing.assert_allclose(np.vdot(slope, wave), 2 * whole, rtol=1e-5)


def test_the_window_is_periodic_and_centred():
    window = hann(400, 1024)
    assert window.shape == (1024,)
    assert window[512] == 1.0
    assert np.all(window[:313] == 0)
    np.testing.assert_allclose(window[313:712], window[313:712][::-1], atol=1e-12)


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="more than n_fft // 2 = 512"):
        stft(noise(512), n_fft=1024, hop=256)
    with pytest.raises(ValueError, match="win_length is 600"):
        stft(noise(2000), n_fft=512, hop=128, win_length=600)
    with pytest.raises(ValueError, match="257 bins, expected n_fft // 2 \\+ 1 = 513"):
        istft(jnp.asarray(np.zeros((9, 257), np.complex64)), n_fft=1024, hop=256)
    with pytest.raises(ValueError, match="uncovered"):
        istft(jnp.asarray(np.zeros((9, 257), np.complex64)), n_fft=512, hop=600)
    with pytest.raises(jaxtyping.TypeCheckError):
        stft(jnp.asarray(np.zeros((4, 4), np.int32)), n_fft=2, hop=1)
