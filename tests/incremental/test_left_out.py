"""Shots that are left out: the closed form, learning again, and who is left out with whom."""

import jax.numpy as jnp
import numpy as np

from dhauds_jax.incremental import left_out, rooms
from tests.incremental.points import begun, clips, taught


def test_folds_take_one_clip_of_every_class_and_keep_windows_together():
    labels = np.array([0, 0, 0, 1, 1, 2, 2, 2])
    owner = np.array([0, 0, 1, 2, 3, 4, 5, 6])
    np.testing.assert_array_equal(left_out.folds(labels, owner), [0, 0, 1, 0, 1, 0, 1, 2])
    np.testing.assert_array_equal(left_out.folds(labels, owner, most=2), [0, 0, 1, 0, 1, 0, 1, 0])


def test_the_closed_form_is_learning_again_without_each_clip():
    learned = taught(taught(begun(), "abc"), "de", count=2)
    found = left_out.held_out(learned)
    assert found.how == "one clip left out at a time" and len(found.logits) == 13
    inputs = jnp.asarray(learned.rows.inputs)
    for row in range(13):
        state = rooms.relearnt(learned, (np.arange(13) != row).astype(np.float32))
        wanted = np.asarray(learned.learner.predict(state, inputs)["prototype"])[row]
        np.testing.assert_allclose(found.logits[row], wanted, rtol=1e-5, atol=1e-5)  # of 16 cosines in float32


def test_windows_of_a_clip_are_left_out_together():
    learned = taught(begun(), "abc", windows=2)
    found = left_out.held_out(learned)
    assert found.how == "a clip of each class left out, 3 times"
    inputs, rows, owner, made = clips("abc", windows=2)
    held = owner % 3 == 1
    half = rooms.taught(
        begun(),
        inputs[~held],
        [row for row, out in zip(rows, held, strict=True) if not out],
        np.ones(12, np.float32),
        np.unique(owner[~held], return_inverse=True)[1].astype(np.int32),
        [clip for k, clip in enumerate(made) if k % 3 != 1],
    )[0]
    wanted = np.asarray(half.learner.predict(half.state, jnp.asarray(inputs))["prototype"])
    np.testing.assert_allclose(found.logits[held], wanted[held], rtol=1e-5, atol=1e-5)


def test_nothing_is_said_of_classes_with_one_clip_and_of_rows_of_a_last_layer():
    inputs, rows, owner, made = clips("ab")
    named = [clip if k < 3 else clip._replace(digest="") for k, clip in enumerate(made)]
    learned = rooms.taught(begun(), inputs, rows, np.ones(6, np.float32), owner, named)[0]
    learned = taught(learned, "c", count=1)
    found = left_out.held_out(learned)
    np.testing.assert_array_equal(found.labels, [0, 0, 0])
    assert learned.clips_of("b") == 0 and learned.clips_of("c") == 1
    alone = left_out.held_out(taught(begun(), "ab", count=1))
    assert not len(alone.owner) and alone.how == "no class has two clips"
