"""The embedded corpus: reproducible, speech-like, separable when clean and not under noise."""

from itertools import pairwise

import numpy as np
import pytest

from dhauds_jax.data import synthetic as S
from dhauds_jax.data.corruptions import corrupt
from dhauds_jax.data.corruptions.noise import NoiseBank
from dhauds_jax.data.loading import load_split
from dhauds_jax.data.phones import PHONES, WORDS
from dhauds_jax.data.synthetic_noises import make_noise


@pytest.fixture(scope="module")
def spoken_clips():
    return S.make_split("test", size=140)


def test_sizes_and_speakers():
    assert len(S.CLASSES) >= 10 and S.SPEAKERS["train"] >= 16 and S.SPEAKERS["test"] >= 8
    assert 1_000 <= S.SIZES["train"] <= 1_500 and 200 <= S.SIZES["test"] <= 600
    assert all(size % len(S.CLASSES) == 0 for size in S.SIZES.values())


def test_every_phone_is_shared_by_words():
    for phone in PHONES:
        assert sum(phone in sound for sound in WORDS.values()) >= (2 if phone in "aeioudsglmnk" else 1), phone
    assert len(set(WORDS.values())) == len(WORDS)


@pytest.mark.as_shipped
def test_clip_is_a_function_of_seed_split_and_index(spoken_clips):
    few = S.make_split("test", size=30)
    np.testing.assert_array_equal(few.waves, spoken_clips.waves[:30])
    assert few.ids == spoken_clips.ids[:30] and len(set(spoken_clips.ids)) == 140
    alone = S.speak("test", 0, np.array([17]), spoken_clips.speakers[17:18], spoken_clips.labels[17:18])
    np.testing.assert_array_equal(alone[0], spoken_clips.waves[17])
    other = S.make_split("test", seed=1, size=30)
    assert np.abs(other.waves - few.waves).max() > 0.1
    assert np.abs(S.make_split("train", size=30).waves - few.waves).max() > 0.1


def test_clips_are_clean_and_at_moderate_level(spoken_clips):
    waves = spoken_clips.waves
    assert waves.shape == (140, 16_000) and waves.dtype == np.float32 and np.isfinite(waves).all()
    peaks = np.abs(waves).max(1)
    assert peaks.min() > 0.09 and peaks.max() < 0.75
    frames = 10 * np.log10((waves.reshape(140, 40, 400) ** 2).mean(-1))
    dynamic = frames.max(1) - np.percentile(frames, 5, axis=1)
    assert 45 < np.median(dynamic) < 65
    spoken = (frames > frames.max(1, keepdims=True) - 30).mean(1)
    assert spoken.min() > 0.2 and spoken.max() < 0.95


def test_speakers_differ():
    voices = [S.make_speaker(0, "train", i) for i in range(20)] + [S.make_speaker(0, "test", i) for i in range(10)]
    pitch = np.array([v.f0 for v in voices])
    assert pitch.min() < 120 and pitch.max() > 190 and len(np.unique(pitch)) == 30
    assert np.ptp([v.tract for v in voices]) > 0.15 and np.ptp([v.speed for v in voices]) > 0.2


def test_pitch_of_a_clip_is_its_speakers(spoken_clips):
    """Autocorrelation of the loudest stretch finds the speaker's pitch within its contour."""
    hits = 0
    for i in range(40):
        wave, voice = spoken_clips.waves[i], S.make_speaker(0, "test", int(spoken_clips.speakers[i]))
        place = int(np.convolve(wave**2, np.ones(1_024), "valid").argmax())
        part = wave[place : place + 1_024] * np.hanning(1_024)
        correlation = np.correlate(part, part, "full")[1_023:]
        lag = 50 + int(correlation[50:250].argmax())
        hits += abs(np.log2(16_000 / lag / voice.f0)) < 0.4
    assert hits >= 32


@pytest.mark.slow
def test_vowels_have_their_formants():
    """First-formant energy tells /a/ from /i/: a clip of "dami" gets brighter then darker below 1 kHz."""
    low, high = [], []
    for word, band in (("tola", low), ("lemi", high)):
        label = S.CLASSES.index(word)
        wave = S.speak("train", 0, np.array([label]), np.array([0]), np.array([label]))[0]
        loud = np.flatnonzero(np.abs(wave) > 0.1 * np.abs(wave).max())
        tail = wave[loud[-1] - 1_600 : loud[-1]]
        power = np.abs(np.fft.rfft(tail * np.hanning(1_600))) ** 2
        band.append(power[60:130].sum() / power[:60].sum())  # 600-1300 Hz against below 600 Hz
    assert low[0] > 10 * high[0]


def test_unknown_split():
    with pytest.raises(ValueError, match="unknown split 'dev' of synthetic: expected train, val or test"):
        S.make_split("dev")


@pytest.mark.slow
def test_loads_as_a_data_set_at_another_rate():
    clips = load_split("synthetic", None, "val", sample_rate=8_000, length=8_000, progress=False)
    assert clips.waves.shape == (112, 8_000) and clips.sample_rate == 8_000 and clips.classes == S.CLASSES
    assert clips.notices == ("resampled from 16000 Hz to 8000 Hz",)
    assert set(clips.lengths.tolist()) == {8_000}


@pytest.mark.as_shipped
def test_clean_is_separable_and_noise_is_not():
    """Kernel classifier on aligned, pooled log-mel: over 85 % on unseen speakers, 15 points less or worse in noise."""
    import librosa
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC

    def features(waves):
        mel = librosa.feature.melspectrogram(y=waves, sr=16_000, n_fft=1024, win_length=400, hop_length=155, n_mels=40)
        level = np.log10(np.maximum(mel, 1e-10))
        level = np.maximum(level, level.max((1, 2), keepdims=True) - 8)
        rows = []
        for clip in level:
            power = (10**clip).sum(0)
            spoken = np.flatnonzero(power > 1e-3 * power.max())
            part = clip[:, spoken[0] : spoken[-1] + 1]
            edges = np.linspace(0, part.shape[1], 13).astype(int)
            rows.append(np.concatenate([part[:, a : max(b, a + 1)].mean(1) for a, b in pairwise(edges)]))
        return np.stack(rows)

    train, test = S.make_split("train"), S.make_split("test", size=280)
    model = make_pipeline(StandardScaler(), SVC(C=5)).fit(features(train.waves), train.labels)
    clean = model.score(features(test.waves), test.labels)
    assert clean > 0.85
    babble = NoiseBank(("babble",), [make_noise("babble", seed=5, samples=320_000)], 16_000)
    for corruption, level in (("WHN", "L2"), ("ENQ", "L1")):
        noisy, _ = corrupt(
            *(test.waves, test.ids),
            **dict(dataset="synthetic", corruption=corruption, level=level, seed=0, bank=babble),
            **dict(sample_rate=16_000, length=16_000),
        )
        assert model.score(features(noisy), test.labels) < clean - 0.15
