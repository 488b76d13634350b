"""Metrics and label-free criteria against hand-worked cases and scikit-learn."""

import numpy as np
import pytest
from sklearn.metrics import f1_score, log_loss

from dhauds_jax.tta import metrics, selection

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(size=(200, 7)) * 2
LABELS = np.where(RNG.random(200) < 0.6, LOGITS.argmax(-1), RNG.integers(0, 6, 200))


def test_accuracy_and_macro_f1_equal_scikit_learn():
    assert metrics.accuracy(LOGITS, LABELS) == np.mean(LOGITS.argmax(-1) == LABELS)
    assert metrics.macro_f1(LOGITS, LABELS) == pytest.approx(f1_score(LABELS, LOGITS.argmax(-1), average="macro"))


def test_nll_equals_scikit_learn():
    wanted = log_loss(LABELS, metrics.softmax(LOGITS), labels=np.arange(7))
    assert metrics.nll(LOGITS, LABELS) == pytest.approx(wanted, rel=1e-9)


def test_ece_by_hand():
    """Two clips at confidence .9 of which one is right, two at .6 both right: |.5-.9|/2 + |1-.6|/2 = .4."""
    p = np.array([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4], [0.6, 0.4]])
    assert metrics.ece(np.log(p), np.array([0, 1, 0, 0])) == pytest.approx(0.4)


def test_collapse_is_seen_without_labels():
    fallen = np.zeros((100, 5))
    fallen[:, 3] = 1
    assert metrics.top_share(fallen) == 1.0
    assert metrics.collapsed(fallen)
    assert metrics.top_share(np.eye(5)) == 0.2
    assert not metrics.collapsed(np.eye(5))


def test_information_tells_success_from_collapse():
    spread = 20 * np.eye(4)
    fallen = np.zeros((4, 4))
    fallen[:, 0] = 20
    assert selection.information(spread) == pytest.approx(np.log(4), abs=1e-6)
    assert selection.information(fallen) == pytest.approx(0.0, abs=1e-6)
    assert selection.negative_entropy(fallen) == pytest.approx(selection.negative_entropy(spread), abs=1e-9)


def test_choices_and_ties():
    assert selection.choose([0.5, 0.7, 0.7, 0.1]) == 1
    assert selection.oracle([0.5, 0.7, 0.7, 0.1]) == 2
