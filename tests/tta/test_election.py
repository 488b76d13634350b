"""Elections over views and models by hand."""

import numpy as np
import pytest

from dhauds_jax import metrics
from dhauds_jax.tta import election

WAVES = np.eye(10)[:4]


def peak(scale):
    """A model whose logits are (position of the clip's peak, 1), times `scale`."""

    def predict(waves):
        return scale * np.stack([waves.argmax(-1), np.ones(len(waves))], -1)

    return predict


def test_views_are_rolled_by_whole_samples():
    same, left, right = election.rolled(WAVES, 0.29)  # int(2.9) = 2
    assert same is WAVES
    assert list(left.argmax(-1)) == [8, 9, 0, 1]
    assert list(right.argmax(-1)) == [2, 3, 4, 5]


def test_every_mode_is_the_mean_over_its_views_and_models():
    said = election.elect([peak(1.0), peak(3.0)], WAVES, share=0.2)
    position = np.arange(4)
    views = np.stack([position, (position - 2) % 10, position + 2])
    assert list(said) == list(election.MODES)
    assert np.array_equal(said["single"][:, 0], position)
    np.testing.assert_allclose(said["aug_elect"][:, 0], views.mean(0))
    np.testing.assert_allclose(said["multi_train"][:, 0], 2 * position)
    np.testing.assert_allclose(said["hybrid"][:, 0], 2 * views.mean(0))


def test_views_of_unpadded_clips_roll_within_the_clip_and_what_is_no_view_stays_padded():
    waves = np.zeros((2, 9), np.float32)
    waves[0, 2:7] = [1, 2, 3, 4, 5]
    waves[1] = np.arange(9)
    lengths = np.array([5, 9])
    same, left, right = election.rolled_alone(waves, lengths, 0.41)  # int(2.05) and int(3.69) samples
    np.testing.assert_array_equal(same.waves[0], [1, 2, 3, 4, 5, 0, 0, 0, 0])
    np.testing.assert_array_equal(left.waves[0], [3, 4, 5, 1, 2, 0, 0, 0, 0])
    np.testing.assert_array_equal(right.waves[0], [4, 5, 1, 2, 3, 0, 0, 0, 0])
    np.testing.assert_array_equal(right.waves[1], np.roll(waves[1], 3))
    np.testing.assert_array_equal(left.lengths, lengths)

    def first_sample(view):
        alone = isinstance(view, election.OwnSamples)
        return (view.waves if alone else view)[:, :2]

    said = election.elect([first_sample, lambda view: 3 * first_sample(view)], waves, share=0.41, lengths=lengths)
    np.testing.assert_allclose(said["single"][0], [0, 0])  # padding before the clip
    np.testing.assert_allclose(said["aug_elect"][0], [(1 + 3 + 4) / 3, (2 + 4 + 5) / 3])
    np.testing.assert_allclose(said["multi_train"][1], [0, 2])
    np.testing.assert_allclose(said["hybrid"], 2 * said["aug_elect"])


def test_softmax_is_averaged_when_asked():
    said = election.elect([peak(0.1), peak(0.3)], WAVES, average="softmax")
    wanted = (metrics.softmax(peak(0.1)(WAVES)) + metrics.softmax(peak(0.3)(WAVES))) / 2
    np.testing.assert_allclose(np.exp(said["multi_train"]), wanted)


def test_one_model_has_two_modes_and_bad_input_is_refused():
    assert list(election.elect([peak(1.0)], WAVES)) == ["single", "aug_elect"]
    with pytest.raises(ValueError, match="unknown average 'median': expected logits or softmax"):
        election.elect([peak(1.0)], WAVES, average="median")
    with pytest.raises(ValueError, match="no model, expected at least one"):
        election.elect([], WAVES)
