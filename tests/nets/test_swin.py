"""Swin's windows, shift mask and merging by hand."""

import jax.numpy as jnp
import numpy as np

from dhauds_jax.nets.swin import (
    APART,
    Window,
    merge_neighbours,
    partition,
    relative_positions,
    reverse,
    shift_mask,
    window_of,
)


def image(side, width=1):
    return jnp.arange(side * side * width, dtype=jnp.float32).reshape(1, side, side, width)


def test_windows_are_squares_row_by_row_and_reversed_give_the_image():
    windows = partition(image(4), 2)
    expected = [[0, 1, 4, 5], [2, 3, 6, 7], [8, 9, 12, 13], [10, 11, 14, 15]]
    np.testing.assert_array_equal(windows[0, :, :, 0], expected)
    np.testing.assert_array_equal(reverse(windows, 2, 4), image(4))
    two = jnp.concatenate([image(8, 3), 1000 + image(8, 3)])
    np.testing.assert_array_equal(reverse(partition(two, 4), 4, 8), two)


def test_the_order_of_merging():
    """Four neighbours of a 4 x 4 image: (even row, even column), (odd, even), (even, odd), (odd, odd)."""
    np.testing.assert_array_equal(merge_neighbours(image(4))[0, 0, 0], [0, 4, 1, 5])
    np.testing.assert_array_equal(merge_neighbours(image(4))[0, 1, 0], [8, 12, 9, 13])
    # Whole tokens move: the values of one stay together.
    np.testing.assert_array_equal(merge_neighbours(image(2, 2))[0, 0, 0], [0, 1, 4, 5, 2, 3, 6, 7])


def test_windows_shift_in_odd_blocks_of_larger_images_alone():
    assert window_of(64, 8, 0) == Window(8, 0)
    assert window_of(64, 8, 1) == Window(8, 4)
    assert window_of(8, 8, 1) == Window(8, 0)
    assert window_of(2, 8, 1) == Window(2, 0)


def test_tokens_that_only_the_shift_brought_together_do_not_attend():
    """A 4 x 4 image in windows of 2 shifted by 1: row 0 comes behind row 3, column 0 behind column 3."""
    mask = shift_mask(4, Window(2, 1))
    assert mask.shape == (4, 4, 4)
    np.testing.assert_array_equal(mask[0], np.zeros((4, 4)))  # rows 1, 2 and columns 1, 2 of the unshifted image
    columns = np.array([0, 1, 0, 1])  # columns 3 and 0
    np.testing.assert_array_equal(mask[1], np.where(columns[:, None] == columns[None], 0, APART))
    rows = np.array([0, 0, 1, 1])
    np.testing.assert_array_equal(mask[2], np.where(rows[:, None] == rows[None], 0, APART))
    np.testing.assert_array_equal(mask[3], np.where(np.eye(4) == 1, 0, APART))


def test_rows_of_the_bias_table():
    """Of two by two tokens: 3 x 3 distances, the fifth for a token and itself, the first for the last seen afar."""
    table = relative_positions(2)
    np.testing.assert_array_equal(np.diag(table), [4, 4, 4, 4])
    np.testing.assert_array_equal(table[0], [4, 3, 1, 0])
    np.testing.assert_array_equal(table[3], [8, 7, 5, 4])
    assert relative_positions(8).max() == 15 * 15 - 1
