"""Shifted copies: where they start, what lies behind them, and the rows that the published system loses."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dhauds_jax.dsp.shifts import lose_rows, read_views, shift_starts, shifted
from dhauds_jax.errors import BadInput


def test_five_copies_start_a_fifth_of_a_second_apart():
    assert shift_starts(5, 8_000, 40_000) == (0, 1_600, 3_200, 4_800, 6_400)
    assert shift_starts(5, 16_000, 80_000) == (0, 3_200, 6_400, 9_600, 12_800)
    assert shift_starts(3, 22_050, 110_250) == (0, 4_410, 8_820)
    assert shift_starts(1, 16_000, 1) == (0,)


@pytest.mark.parametrize("kind", [np.int16, np.float32])
def test_copies_are_the_clip_from_their_start_on_with_zeros_behind(kind):
    wave = np.arange(1, 25).reshape(2, 12).astype(kind)
    made = shifted(wave, (0, 3, 8))
    assert made.shape == (3, 2, 12) and made.dtype == kind and isinstance(made, np.ndarray)
    np.testing.assert_array_equal(made[0], wave)
    for copy, start in zip(made[1:], (3, 8), strict=True):
        np.testing.assert_array_equal(copy[:, : 12 - start], wave[:, start:])
        assert not copy[:, 12 - start :].any()
    traced = jax.jit(shifted, static_argnums=1)(jnp.asarray(wave), (0, 3, 8))
    np.testing.assert_array_equal(traced, made)
    np.testing.assert_array_equal(shifted(wave[0], (0, 3)), made[:2, 0])


def test_lost_rows_are_zeros_of_log_mel():
    features = jnp.full((2, 5, 96, 64), -4.6)
    lost = lose_rows(features, np.array([5, 4]))
    np.testing.assert_array_equal(lost[0], features[0])
    np.testing.assert_array_equal(lost[1, :4], features[1, :4])
    assert not np.any(lost[1, 4])
    # What the published copies of 5 s at 8 kHz keep: 5, 4, 4, 4, 4 examples of 96 frames.
    left = [1 + (2 * (40_000 - start) - 400) // 160 for start in shift_starts(5, 8_000, 40_000)]
    assert [frames // 96 for frames in left] == [5, 4, 4, 4, 4]


def test_views_of_the_flag():
    texts = ("", "shift:1", "shift:5", "shift:3:0.5")
    assert [read_views(text) for text in texts] == [(1, 0.2), (1, 0.2), (5, 0.2), (3, 0.5)]
    for text in ("shift", "shift:", "shift:0", "shift:-1", "shift:2.5", "roll:3", "shift:²"):
        with pytest.raises(BadInput, match=r"--views=.*: expected shift:N or shift:N:SECONDS, N copies from 1 on"):
            read_views(text)


def test_copies_beyond_the_clip_are_refused():
    with pytest.raises(
        BadInput,
        match=r"views shift:6: the last copy starts 1 s into clips of 1 s, expected it before their end; give at "
        r"most shift:5",
    ):
        shift_starts(6, 16_000, 16_000)
    assert len(shift_starts(5, 16_000, 16_000)) == 5
