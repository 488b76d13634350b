"""Backgrounds by hand, and what is refused."""

import numpy as np
import pytest

from dhauds_jax.errors import BadInput
from dhauds_jax.zeroshot import background
from tests.zeroshot.tiny import unit

RECORDINGS = unit(np.random.default_rng(2).normal(size=(5, 6))).astype(np.float32)


def test_means_of_sentences_and_of_recordings():
    by_text, by_audio = background.from_text(RECORDINGS[:3]), background.from_audio(RECORDINGS)
    np.testing.assert_allclose(by_text.mean, RECORDINGS[:3].mean(0), atol=1e-7)
    np.testing.assert_allclose(by_audio.mean, RECORDINGS.mean(0), atol=1e-7)
    assert (by_text.kind, by_text.vectors, by_audio.kind) == ("text", None, "audio")
    np.testing.assert_array_equal(by_audio.vectors, RECORDINGS)
    with pytest.raises(BadInput, match="background audio: row 0 has zeros alone"):
        background.from_audio(np.zeros((2, 6)))


def test_quiet_windows_are_lowest_in_score_and_loudness_together():
    scores = np.array([0.9, 0.1, 0.2, 0.8, 0.3, 0.0])
    loudness = np.array([-20.0, -60.0, -50.0, -70.0, -30.0, -np.inf])
    np.testing.assert_array_equal(background.quiet_rows(scores, loudness, 0.4, least=1), [1, 2])
    np.testing.assert_array_equal(background.quiet_rows(scores, loudness, 0.4, least=3), [1, 2, 3])
    made = background.quiet(np.concatenate([RECORDINGS, np.zeros((1, 6))]), scores, loudness, 0.4, least=2)
    np.testing.assert_allclose(made.mean, RECORDINGS[1:3].mean(0), atol=1e-7)
    assert made.kind == "quiet"
    with pytest.raises(BadInput, match="5 windows that are not silent, expected at least 6"):
        background.quiet_rows(scores, loudness, least=6)
    with pytest.raises(BadInput, match="share of quiet windows=0: expected above 0 and at most 1"):
        background.quiet_rows(scores, loudness, 0)


def test_a_clip_s_own_recording_is_left_out_of_its_scene():
    scenes, own = ("park", "tram", "park", "park", "tram"), np.array([0, 4, 2, 0])
    made = background.own_left_out(RECORDINGS, scenes, own)
    expected = [RECORDINGS[[2, 3]], RECORDINGS[[1]], RECORDINGS[[0, 3]], RECORDINGS[[2, 3]]]
    np.testing.assert_allclose(made.mean, [rows.mean(0) for rows in expected], atol=1e-6)
    assert made.kind == "audio"
    single = ("park", "tram", "park", "park", "bus")
    with pytest.raises(BadInput, match="scene bus has one recording, expected at least two"):
        background.own_left_out(RECORDINGS, single, own)
    background.own_left_out(RECORDINGS, single, np.array([0]))  # nobody lies over the bus or the tram


def test_chunks_without_events_are_the_background_of_their_recording():
    made = background.event_free(RECORDINGS, ("a", "a", "b", "b", "a"), np.array([True, False, False, True, False]))
    first, second = RECORDINGS[[1, 4]].mean(0), RECORDINGS[2]
    np.testing.assert_allclose(made.mean, [first, first, second, second, first], atol=1e-6)
    assert made.kind == "chunks" in background.KINDS
    with pytest.raises(BadInput, match="recording b has no chunk without an event \\(1 such recordings\\)"):
        background.event_free(RECORDINGS, ("a", "a", "b", "b", "a"), np.array([True, False, True, True, False]))


def test_the_oracle_is_the_very_recording():
    made = background.oracle(RECORDINGS, np.array([3, 3, 0]))
    np.testing.assert_array_equal(made.mean, RECORDINGS[[3, 3, 0]])
    assert made.kind == "oracle"
