"""Labels of recordings: the best class, or unknown by what their windows say together."""

import numpy as np
import pytest

from dhauds_jax.model.rejecting import rejecting
from dhauds_jax.serve.naming import named
from dhauds_jax.types import Calibration

LOGITS = np.array([[2.0, 0.0, 1.0], [0.0, 3.0, 1.0]])
"""Two windows of a recording."""


def rule(score, least, groups=None):
    return rejecting(Calibration(2.0, "nll", score, np.array([least]), None), groups or {}, 0.0)


def rows(made):
    exps = np.exp(LOGITS / 2)
    return np.concatenate([exps / exps.sum(1, keepdims=True), made.compared(LOGITS)], 1)


def sure_of(score):
    """By hand: the windows' mean first, then the largest."""
    if score == "max_score":
        return 1.5  # the mean of 0 and 3; the windows' own largest ones, 2 and 3, are not averaged
    exps = np.exp(LOGITS / 2)
    if score == "energy":
        return float((2 * np.log(exps.sum(1))).mean())
    return float((exps / exps.sum(1, keepdims=True)).mean(0).max())


@pytest.mark.parametrize("score", ["max_score", "energy", "max_probability"])
def test_a_recording_is_unknown_where_its_windows_are_less_sure_together(score):
    sure = sure_of(score)
    for least, label in ((sure + 1e-9, "unknown"), (sure - 1e-9, "howl")):
        made = rule(score, least)
        found = named(rows(made), ("bark", "howl", "meow"), made)
        assert (found.label, found.best) == (label, 1) and found.sure == pytest.approx(sure, abs=1e-12)
        assert found.confidence == found.probabilities[1] and found.probabilities.sum() == pytest.approx(1)


def test_without_a_rule_the_best_class_is_the_label_and_nothing_is_compared():
    found = named(np.array([[0.2, 0.5, 0.3]]), ("bark", "howl", "meow"))
    assert (found.label, found.sure) == ("howl", None) and rejecting(None, {}, None) is None


def test_a_class_named_unknown_and_groups():
    groups = {"names": ["unknown", "pet"], "of": [1, 1, 0]}
    made = rule("max_probability", 0.99, groups)
    grouped = np.concatenate([made.compared(LOGITS)] * 2, 1)  # what is reported is what is compared
    found = named(grouped, ("unknown", "pet"), made)
    assert found.label == "_unknown_" and found.best == 1 and found.sure == found.confidence
