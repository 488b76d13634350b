"""Choices without labels: by hand, no correction always among them, and blind to labels."""

import inspect

import numpy as np
import pytest

from dhauds_jax.errors import BadInput
from dhauds_jax.tta import selection
from dhauds_jax.zeroshot import choose
from tests.zeroshot.tiny import tiny


def test_the_grid_and_no_correction():
    assert choose.WEIGHTS == (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2)
    assert choose.with_none([0.5, 0.2, 0.5]) == (0.0, 0.2, 0.5)
    assert choose.with_none([]) == (0.0,)
    with pytest.raises(BadInput, match="background weight=-0\\.1: expected a finite number of at least 0"):
        choose.with_none([-0.1])


@pytest.mark.parametrize("criterion", ["information", "negative_entropy", "nuclear_norm", "neighbourhood_density"])
def test_the_weight_is_the_one_that_the_criterion_prefers(criterion):
    data = tiny()
    vectors, prototypes, mean = (
        np.asarray(x, np.float64) for x in (data.vectors, data.prototypes["text"], data.background.mean)
    )
    weight, chosen = choose.choose_weight(data.vectors, data.prototypes["text"], data.background, criterion=criterion)
    values = [selection.CRITERIA[criterion](20 * ((vectors - w * mean) @ prototypes.T)) for w in choose.WEIGHTS]
    np.testing.assert_allclose(chosen.values, values, atol=1e-9)
    assert weight == choose.WEIGHTS[int(np.argmax(values))]


def test_rows_of_their_own_backgrounds():
    data = tiny()
    profile = choose.profile(data.own, np.asarray(data.prototypes["head"]))
    expected = np.asarray(data.own.mean, np.float64) @ np.asarray(data.prototypes["head"], np.float64).T
    np.testing.assert_allclose(profile, expected)
    assert choose.choose_weight(data.vectors, data.prototypes["head"], data.own)[0] in choose.WEIGHTS


def test_of_equal_candidates_the_first_is_taken_and_nan_never():
    scores = np.eye(4)
    assert choose.choose([scores, scores.copy()]).index == 0
    with np.errstate(invalid="ignore"):
        found = choose.choose([np.full((4, 4), np.nan), scores])
    assert found.index == 1 and found.values[0] is None
    with pytest.raises(BadInput, match="no candidates to choose from"):
        choose.choose([])
    with pytest.raises(BadInput, match="unknown criterion 'informaton': expected information"):
        choose.choose([scores], "informaton")


def test_nothing_here_can_be_given_labels():
    functions = [f for _, f in inspect.getmembers(choose, inspect.isfunction) if f.__module__ == choose.__name__]
    words = {word for f in functions for word in inspect.signature(f).parameters}
    assert {"candidates", "vectors"} <= words
    assert not {word for word in words if "label" in word or "target" in word or "class_gt" in word}
