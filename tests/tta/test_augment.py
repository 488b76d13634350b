"""Augmented copies: each part by itself, and their independence of the batch."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dhauds_jax.tta.augment import Augmentation, augmented, augmented_copies, checked

WAVE = np.random.default_rng(0).normal(size=(5, 4000)).astype(np.float32)
INDEX = jnp.arange(5, dtype=jnp.int32)
KEY = jax.random.key(3)


def copies(augmentation, count=40):
    return np.asarray(augmented_copies(KEY, jnp.asarray(WAVE), INDEX, augmentation, count))


def test_nothing_changes_nothing():
    assert np.array_equal(copies(Augmentation(0.0, 0.0, 0.0), 2), np.stack([WAVE, WAVE]))


@pytest.mark.slow
def test_a_shift_is_circular_and_at_most_its_share_of_the_clip():
    found = []
    for row in copies(Augmentation(0.1, 0.0, 0.0))[:, 2]:
        by = [s for s in range(-400, 401) if np.array_equal(np.roll(WAVE[2], s), row)]
        assert len(by) == 1
        found.append(by[0])
    assert min(found) < -200 and max(found) > 200


def test_a_gain_lies_within_its_decibels():
    ratio = copies(Augmentation(0.0, 3.0, 0.0)) / WAVE
    np.testing.assert_allclose(ratio, np.broadcast_to(ratio[..., :1], ratio.shape), rtol=1e-5)
    decibels = 20 * np.log10(ratio[..., 0])
    assert np.abs(decibels).max() <= 3 and decibels.min() < -2.5 and decibels.max() > 2.5


def test_noise_has_its_share_of_the_clips_level():
    loud = WAVE * np.arange(1, 6, dtype=np.float32)[:, None]
    found = augmented(KEY, jnp.asarray(loud), INDEX, Augmentation(0.0, 0.0, 0.05)) - loud
    # 4000 draws: a standard deviation is known to 1.1 %
    np.testing.assert_allclose(found.std(-1) / np.sqrt(np.square(loud).mean(-1)), 0.05, rtol=0.05)


@pytest.mark.slow
def test_a_copy_depends_on_its_clip_alone():
    augmentation = Augmentation(0.1, 3.0, 0.05)
    whole = augmented(KEY, jnp.asarray(WAVE), INDEX, augmentation)
    part = augmented(KEY, jnp.asarray(WAVE[[3, 1]]), jnp.asarray([3, 1], jnp.int32), augmentation)
    np.testing.assert_allclose(part, whole[np.array([3, 1])], rtol=1e-6)


@pytest.mark.parametrize(
    ("augmentation", "message"),
    [
        (Augmentation(1.5, 0.0, 0.0), "memo: shift is 1.5, expected a share of the clip from 0 to 1"),
        (Augmentation(0.1, -1.0, 0.0), "memo: gain_db is -1.0, expected a number from 0 on"),
        (Augmentation(0.1, 0.0, -0.1), "memo: noise is -0.1, expected a number from 0 on"),
    ],
)
def test_impossible_values_are_named(augmentation, message):
    with pytest.raises(ValueError, match=message):
        checked("memo", augmentation)
