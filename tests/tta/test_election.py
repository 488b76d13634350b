"""Elections over views and models by hand."""

import numpy as np
import pytest

from dhauds_jax.tta import election, metrics

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


def test_softmax_is_averaged_when_asked():
    said = election.elect([peak(0.1), peak(0.3)], WAVES, average="softmax")
    wanted = (metrics.softmax(peak(0.1)(WAVES)) + metrics.softmax(peak(0.3)(WAVES))) / 2
    np.testing.assert_allclose(np.exp(said["multi_train"]), wanted)


def test_one_model_has_two_modes_and_bad_input_is_refused():
    assert list(election.elect([peak(1.0)], WAVES)) == ["single", "aug_elect"]
    with pytest.raises(ValueError, match="unknown average 'median', expected logits or softmax"):
        election.elect([peak(1.0)], WAVES, average="median")
    with pytest.raises(ValueError, match="no model, expected at least one"):
        election.elect([], WAVES)
