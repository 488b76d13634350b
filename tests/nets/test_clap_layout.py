"""Recordings of any length as rows of an audio-text model, against Hugging Face's and LAION's rows of long ones.

The golden's `*_start` are what the originals drew: three first frames of crops, or a first sample.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dhauds_jax import names
from dhauds_jax.dsp.clip_layout import lay_out
from dhauds_jax.dsp.resize import bilinear_weights
from dhauds_jax.nets import clap_channels, clap_mel
from dhauds_jax.nets.clap_layout import (
    LongRule,
    crop_starts,
    lay_out_recording,
    parse_rule,
    rows_of,
    rule_text,
)
from dhauds_jax.nets.clap_mel import record, spec_of
from dhauds_jax.nets.clap_zoo import audio_text_preset, build_audio_text
from dhauds_jax.nets.config import constants
from tests.nets.test_clap_mel import GOLDEN, LENGTH

FRAMES, CHUNK = 1101, 1001
FEATURES = jax.jit(clap_mel.features, static_argnums=1)
SMALL = {"sample_rate": 8_000, "n_fft": 64, "win_length": 64, "hop": 32, "n_mels": 8, "f_max": 4_000.0}
TINY = record(fused=True, quantise=True, **SMALL)
RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN) as stored:
        found = dict(stored)
    found["11s"] = found["wave_11s"].astype(np.float32) / 128
    found["10s004"] = found["11s"][:480_200]
    return found


def noise(samples, seed=0):
    return (np.random.default_rng(seed).normal(size=samples) * 0.1).astype(np.float32)


def fused(wave, quantise, starts, shrink):
    mels = clap_channels.mel_blocks([wave], spec_of(record(fused=True, quantise=quantise)))
    return clap_channels.fused(mels, FRAMES, CHUNK, starts, shrink)[:, ::7]


@pytest.mark.parametrize(
    ("who", "shrink", "tolerances"),
    # transformers shrinks in float32 and is itself 1e-3 dB off; torchaudio's float32 is.
    [("hf", "plain", (3e-3, 1e-4, 1e-4, 1e-4)), ("laion", "antialias", (3e-3, 3e-3, 3e-3, 3e-3))],
)
def test_fusion_is_theirs(golden, who, shrink, tolerances):
    wanted = golden[f"{who}_htk_11s_every7"]
    ours = fused(golden["11s"], who == "laion", golden[f"{who}_htk_11s_start"].tolist(), shrink)
    for found, expected, tolerance in zip(ours, wanted, tolerances, strict=True):
        np.testing.assert_allclose(found, expected, atol=tolerance, rtol=0)
    other = next(name for name in clap_channels.SHRINKS if name != shrink)
    wrong = fused(golden["11s"], who == "laion", golden[f"{who}_htk_11s_start"].tolist(), other)
    assert np.abs(wrong[0] - wanted[0]).max() > 1


def test_less_than_a_frame_longer_is_the_whole(golden):
    front_end = record(fused=True, quantise=False)
    rows, longer = lay_out_recording(golden["10s004"], LongRule("fusion_fixed"), front_end, LENGTH)
    assert rows.shape == (1, 4, CHUNK, 64) and longer.tolist() == [False]
    assert all(np.array_equal(channel, rows[0, 0]) for channel in rows[0])
    np.testing.assert_allclose(rows[0, 0, ::7], golden["hf_htk_10s004_every7"][0], atol=1e-4, rtol=0)
    for samples, frames in ((480_479, True), (480_480, False)):
        (row, counts), *_ = rows_of(lambda n=samples: [golden["11s"][:n]], LongRule("fusion_fixed"), front_end, LENGTH)
        assert counts is not frames and row.shape == (4, CHUNK, 64)


@pytest.mark.parametrize("name", ["11s", "10s004"])
def test_crops_of_waves_are_theirs(golden, name):
    start = int(golden[f"hf_slaney_{name}_start"][0])
    with jax.enable_x64(True):
        crop = jnp.asarray(golden[name][start : start + LENGTH].astype(np.float64))
        found = np.asarray(FEATURES(crop, spec_of(record(fused=False, quantise=False))))[::7]
    wanted = golden[f"hf_slaney_{name}_every7"]
    assert len(wanted) in (1, 4) and all(np.array_equal(channel, wanted[0]) for channel in wanted)
    np.testing.assert_allclose(found, wanted[0], atol=1e-4, rtol=0)


@pytest.mark.parametrize("samples", [33, 4_000, 16_384 + 64, 40_001])
def test_spectrograms_in_blocks_are_those_in_one_go(samples):
    wave, spec = noise(samples), spec_of(TINY)
    steps = np.asarray(clap_mel.quantise(jnp.asarray(wave)), np.float64)
    with jax.enable_x64(True):
        exact = np.asarray(FEATURES(jnp.asarray(steps), spec._replace(quantise=False)))
    whole = [block for _, block in clap_channels.mel_blocks([wave], spec)]
    assert len(np.concatenate(whole)) == clap_channels.frames_of(samples, spec)
    np.testing.assert_allclose(np.concatenate(whole), exact, atol=1e-6, rtol=0)
    for size in (7, 1_000):
        found = list(clap_channels.mel_blocks(np.split(wave, range(size, samples, size)), spec))
        assert [first for first, _ in found] == list(range(0, len(exact), clap_channels.BLOCK))
        assert all(np.array_equal(a, b) for (_, a), b in zip(found, whole, strict=True))


@pytest.mark.parametrize("frames", [41, 97, 1_300])
def test_shrinking_is_that_of_an_image(frames):
    mels = RNG.normal(size=(frames, 3))
    blocks = [(first, mels[first : first + 100]) for first in range(0, frames, 100)]
    plain = clap_channels.fused(blocks, frames, 40, (0, 0, 1), "plain")
    np.testing.assert_allclose(plain[0], bilinear_weights(frames, 40) @ mels, atol=1e-6)
    np.testing.assert_array_equal(plain[1:], np.stack([mels[:40], mels[:40], mels[1:41]]).astype(np.float32))
    smooth = clap_channels.fused(blocks, frames, 40, (0, 0, 0), "antialias")[0]
    with jax.enable_x64(True):
        expected = np.asarray(jax.image.resize(jnp.asarray(mels), (40, 3), "linear", antialias=True))
    np.testing.assert_allclose(smooth, expected, atol=1e-6)


def test_crops_of_thirds():
    # 10 places, thirds of 4, 3 and 3: 0-3, 4-6, 7-9.
    assert crop_starts(LongRule("fusion_fixed"), 18, 9) == (1, 5, 8)
    assert crop_starts(LongRule("fusion_fixed"), 10, 9) == (0, 1, 0)
    drawn = {crop_starts(LongRule("fusion_random", seed=seed), 18, 9, "a.wav") for seed in range(100)}
    assert {one[0] for one in drawn} == {0, 1, 2, 3} and {one[1] for one in drawn} == {4, 5, 6}
    assert {one[2] for one in drawn} == {7, 8, 9}
    assert crop_starts(LongRule("fusion_random"), 10, 9, "a.wav")[1:] == (1, 0)


@pytest.mark.parametrize("kind", names.LONG_RULES)
def test_a_short_recording_is_one_row_whatever_the_rule(kind):
    rows, longer = lay_out_recording(np.array([1, 2, 3], np.float32), LongRule(kind), TINY, 8)
    assert rows.tolist() == [[[1, 2, 3, 1, 2, 3, 0, 0]]] and longer.tolist() == [False]
    centred = {**TINY, "layout": "centre"}
    rows, _ = lay_out_recording(np.array([1, 2, 3], np.float32), LongRule(kind), centred, 8)
    assert rows.tolist() == [[[0, 0, 1, 2, 3, 0, 0, 0]]]
    with pytest.raises(ValueError, match=r"b\.wav: holds no samples, expected at least one"):
        lay_out_recording(np.zeros(0, np.float32), LongRule(kind), TINY, 8, "b.wav")


def test_windows_and_first_by_hand():
    wave = np.arange(25, dtype=np.float32)
    rows, longer = lay_out_recording(wave, LongRule(), TINY, 10)
    assert rows[:, 0, 0].tolist() == [0, 10, 15] and rows.shape == (3, 1, 10) and not longer.any()
    np.testing.assert_array_equal(rows[-1, 0], wave[-10:])
    rows, _ = lay_out_recording(wave, LongRule(overlap=0.5), TINY, 10)
    assert rows[:, 0, 0].tolist() == [0, 5, 10, 15]
    asked = []
    (first,) = rows_of(
        lambda: (asked.append(n) or wave[n : n + 5] for n in range(0, 25, 5)), LongRule("first"), TINY, 10
    )
    assert first[0][0].tolist() == list(range(10)) and asked == [0, 5]


@pytest.mark.parametrize("kind", names.LONG_RULES)
def test_the_same_recording_is_the_same_rows(kind):
    """LAION-AI/CLAP#166: a recording of three clips' length, again, and in blocks of other sizes."""
    wave, rule = noise(24_000), LongRule(kind, seed=1)
    rows, longer = lay_out_recording(wave, rule, TINY, 8_000, "a.wav")
    again, _ = lay_out_recording(wave.copy(), rule, TINY, 8_000, "a.wav")
    assert rows.tobytes() == again.tobytes()
    assert rows.shape == (
        (3, 1, 8_000) if kind == "windows" else (1, 1, 8_000) if longer.sum() == 0 else (1, 4, 251, 8)
    )
    assert longer.tolist() == ([True] if kind.startswith("fusion") else [False] * len(rows))
    blocks = np.split(wave, range(999, 24_000, 999))
    streamed = [row for row, _ in rows_of(lambda: iter(blocks), rule, TINY, 8_000, "a.wav")]
    assert np.stack(streamed).tobytes() == rows.tobytes()
    elsewhere, _ = lay_out_recording(wave, rule, TINY, 8_000, "b.wav")
    other_seed, _ = lay_out_recording(wave, rule._replace(seed=2), TINY, 8_000, "a.wav")
    random = "random" in kind
    assert (elsewhere.tobytes() != rows.tobytes()) is random and (other_seed.tobytes() != rows.tobytes()) is random


def test_a_random_crop_is_a_piece_of_the_recording():
    wave = np.arange(100, dtype=np.float32)
    starts = set()
    for seed in range(60):
        rows, _ = lay_out_recording(wave, LongRule("random_crop", seed=seed), TINY, 98, "a")
        start = int(rows[0, 0, 0])
        assert np.array_equal(rows[0, 0], wave[start : start + 98])
        starts.add(start)
    assert starts == {0, 1, 2}


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("windows", LongRule()),
        ("windows:overlap=0.5", LongRule(overlap=0.5)),
        ("first", LongRule("first")),
        ("random_crop:seed=3", LongRule("random_crop", seed=3)),
        ("fusion_fixed:shrink=antialias", LongRule("fusion_fixed", shrink="antialias")),
        ("fusion_random:seed=3:shrink=antialias", LongRule("fusion_random", seed=3, shrink="antialias")),
    ],
)
def test_a_rule_is_a_text(text, rule):
    assert rule_text(rule) == text and parse_rule(text) == rule


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("window", r"unknown rule for long recordings \(--long\) 'window': expected windows"),
        ("first:overlap=0.5", "first has no setting 'overlap', its settings: none"),
        ("fusion_random:overlap=0.5", "has no setting 'overlap', its settings: seed and shrink"),
        ("windows:overlap=half", "overlap is 'half', expected a share from 0 up to below 1"),
        ("windows:overlap=1", "--long=windows:overlap=1: overlap is 1.0, expected a share"),
        ("windows:overlap=nan", "overlap is nan, expected a share"),
        ("random_crop:seed=-1", "seed is -1, expected a whole number from 0 on"),
        ("fusion_fixed:shrink=no", "shrink is 'no', expected plain or antialias"),
    ],
)
def test_wrong_rules_are_named(text, message):
    with pytest.raises(ValueError, match=message):
        parse_rule(text)


def test_a_fusion_needs_its_front_end():
    log_mel = {"kind": "log_mel", **constants(TINY)}
    with pytest.raises(ValueError, match="is for the front end clap_mel, found log_mel: choose windows, first or"):
        lay_out_recording(noise(100), LongRule("fusion_fixed"), log_mel, 50)
    floored = {**TINY, "top_db": 80.0}
    with pytest.raises(ValueError, match=r"top_db 80\.0 and frames None, expected 'reflect', null and null"):
        lay_out_recording(noise(100), LongRule("fusion_fixed"), floored, 50)
    with pytest.raises(ValueError, match="has 20 samples, expected more than n_fft // 2 = 32"):
        list(clap_channels.mel_blocks([noise(20)], spec_of(TINY)))


@pytest.mark.slow
@pytest.mark.parametrize("samples", [480_300, 700_000])
def test_long_rows_are_those_of_transformers(samples, monkeypatch):
    """Beside transformers' extractor, which draws a third's first place here."""
    transformers = pytest.importorskip("transformers")
    theirs = transformers.ClapFeatureExtractor(frequency_min=50)
    wave, front_end = noise(samples), record(fused=True, quantise=False)
    monkeypatch.setattr(np.random, "choice", lambda places: places[0])
    # A single short recording is called longer at random; ours is not.
    wanted = theirs(wave, sampling_rate=48_000)["input_features"][0]
    frames = 1 + samples // 480
    if frames == CHUNK:
        ((found, longer),) = rows_of(lambda: [wave], LongRule("fusion_fixed"), front_end, LENGTH)
        assert not longer
    else:
        places = frames - CHUNK + 1
        sizes = [places // 3 + (third < places % 3) for third in range(3)]
        mels = clap_channels.mel_blocks([wave], spec_of(front_end))
        found = clap_channels.fused(mels, frames, CHUNK, (0, sizes[0], sizes[0] + sizes[1]), "plain")
    np.testing.assert_allclose(found, wanted, atol=3e-3, rtol=0)
    np.testing.assert_allclose(found[1:], wanted[1:], atol=1e-4, rtol=0)


def test_the_rows_are_what_the_towers_take():
    towers = build_audio_text(audio_text_preset("clap_test_fused"))
    variables, wave = jax.eval_shape(towers.init, jax.random.key(0)), noise(3 * towers.config.length)
    rows, longer = towers.layout(wave, LongRule("fusion_random", seed=1), "a.wav")
    assert rows.shape == (1, 4, 101, 16) and longer.tolist() == [True]
    again, _ = towers.layout(wave, LongRule("fusion_random", seed=1), "a.wav")
    other, _ = towers.layout(wave, LongRule("fusion_random", seed=1), "b.wav")
    assert np.array_equal(rows, again) and not np.array_equal(rows, other)
    heard = jax.eval_shape(towers.audio, variables, jnp.asarray(rows), jnp.asarray(longer))
    assert heard.shape == (1, towers.config.projection["width"])
    windows, longer = towers.layout(wave, LongRule())
    assert windows.shape == (3, 1, towers.config.length) and not longer.any()
    mels = jax.eval_shape(towers.features, jax.ShapeDtypeStruct(windows[:, 0].shape, np.float32))
    assert mels.shape == (3, *rows.shape[2:])


def test_the_layout_of_a_clip_is_the_loaders(golden):
    wave = golden["wave_3s"].astype(np.float32) / 128
    rows, _ = lay_out_recording(wave, LongRule(), record(fused=True, quantise=True), LENGTH)
    np.testing.assert_array_equal(rows[0, 0], lay_out(wave, LENGTH, layout="repeat_pad"))
