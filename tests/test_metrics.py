"""Metrics and label-free criteria against hand-worked cases and scikit-learn."""

import numpy as np
import pytest
from sklearn.metrics import (
    average_precision_score,
    brier_score_loss,
    f1_score,
    log_loss,
    roc_auc_score,
    silhouette_score,
)

from dhauds_jax import metrics
from dhauds_jax.errors import BadInput
from dhauds_jax.tta import selection

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


ROWS = RNG.random((200, 7)) < 0.3
TIED = np.round(LOGITS)


@pytest.mark.parametrize("logits", [LOGITS, TIED], ids=["plain", "tied"])
@pytest.mark.parametrize("labels", [np.arange(200) % 7, ROWS.astype(np.float32)], ids=["indices", "rows"])
def test_roc_auc_and_average_precision_equal_scikit_learn(logits, labels):
    rows = metrics.label_rows(labels, 7)
    assert metrics.macro_roc_auc(logits, labels) == pytest.approx(
        roc_auc_score(rows, logits, average="macro"), abs=1e-12
    )
    wanted = average_precision_score(rows, logits, average="macro")
    assert metrics.mean_average_precision(logits, labels) == pytest.approx(wanted, abs=1e-12)


def test_roc_auc_leaves_out_classes_without_a_curve():
    """Class 2 has no clip, so only the other two count."""
    labels = np.array([0, 0, 1, 1])
    logits = np.array([[2.0, 0.0, 5.0], [1.0, 1.0, 0.0], [1.5, 2.0, 0.0], [0.0, 3.0, 0.0]])
    # Class 0: pairs (2>1.5, 2>0, 1<1.5, 1>0) = 3/4; class 1: all four pairs right.
    assert metrics.macro_roc_auc(logits, labels) == pytest.approx((0.75 + 1.0) / 2)
    with pytest.raises(ValueError, match="no class has clips with and without it"):
        metrics.macro_roc_auc(logits, np.zeros(4, int))


def test_brier_equals_scikit_learn():
    wanted = brier_score_loss(LABELS, metrics.softmax(LOGITS), labels=np.arange(7), scale_by_half=False)
    assert metrics.brier(LOGITS, LABELS) == pytest.approx(wanted, abs=1e-12)
    p = 1 / (1 + np.exp(-LOGITS))
    assert metrics.brier(LOGITS, ROWS.astype(float)) == pytest.approx(np.mean((p - ROWS) ** 2), abs=1e-12)


def test_several_labels_a_clip():
    rows = ROWS.astype(float)
    p = 1 / (1 + np.exp(-LOGITS))
    assert metrics.macro_f1(LOGITS, rows) == pytest.approx(f1_score(ROWS, LOGITS > 0, average="macro"))
    assert metrics.nll(LOGITS, rows) == pytest.approx(-np.mean(np.log(np.where(ROWS, p, 1 - p))))
    assert metrics.accuracy(LOGITS, rows) == np.mean([ROWS[i, j] for i, j in enumerate(LOGITS.argmax(-1))])
    # One clip, two classes: said .9 and right, said .6 (of "no", p = .4) and wrong: (|1 - .9| + |0 - .6|) / 2.
    logits = np.log(np.array([[0.9, 0.4]]) / np.array([[0.1, 0.6]]))
    assert metrics.ece(logits, np.array([[1, 1]])) == pytest.approx(0.35)


def test_silhouette_equals_scikit_learn():
    assert metrics.silhouette(LOGITS, LABELS) == pytest.approx(silhouette_score(LOGITS, LABELS))


def test_reliability_by_hand():
    p = np.array([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4]])
    found = metrics.reliability(np.log(p), np.array([0, 1, 0]))
    assert found == [pytest.approx((1 / 3, 1.0, 0.6)), pytest.approx((2 / 3, 0.5, 0.9))]


def test_nuclear_norm_by_hand():
    """Confident and balanced: 1. All in one class: sqrt(n) / sqrt(C n) = 1 / sqrt(C). Uniform: 1 / C."""
    assert selection.nuclear_norm_share(50 * np.eye(4)) == pytest.approx(1.0)
    assert selection.nuclear_norm_share(50 * np.eye(4)[[2] * 16]) == pytest.approx(0.5)
    assert selection.nuclear_norm_share(np.zeros((16, 4))) == pytest.approx(0.25)


def test_neighbourhood_density_by_hand():
    """Two tight pairs: each clip has one neighbour at similarity 1 and two at 0, so the entropy is nearly 0; four
    equal clips: ln 3."""
    pairs = 50 * np.eye(2)[[0, 0, 1, 1]]
    share = np.array([1, np.exp(-20), np.exp(-20)]) / (1 + 2 * np.exp(-20))
    assert selection.neighbourhood_density(pairs) == pytest.approx(-(share * np.log(share)).sum(), rel=1e-6)
    assert selection.neighbourhood_density(pairs[[0, 0, 0, 0]]) == pytest.approx(np.log(3))


def test_agreement_counts_equal_classes():
    assert selection.agreement(np.eye(4), np.eye(4)[[0, 1, 3, 2]]) == 0.5


@pytest.mark.parametrize(
    ("values", "chosen", "best"),
    [
        ([0.1, 0.5, 0.5, 0.2], 1, 2),
        ([0.1, float("nan"), 0.5], 2, 2),
        ([float("nan"), 0.3, 0.3], 1, 2),
        ([float("nan"), float("-inf")], 1, 1),
        ([float("nan")] * 3, 0, 0),
    ],
)
def test_an_epoch_without_a_number_is_never_chosen(values, chosen, best):
    assert selection.choose(values) == chosen
    assert selection.oracle(values) == best


def test_criteria_are_found_by_name_and_a_users_own_too():
    logits = np.asarray([[1.0, 7.0], [2.0, 0.0]])
    assert list(selection.CRITERIA) == ["information", "negative_entropy", "nuclear_norm", "neighbourhood_density"]
    assert selection.CRITERIA["nuclear_norm"] is selection.nuclear_norm_share
    for name in ("information", "agreement", "tests.tta.foreign:surest_clip"):
        selection.check(name)
    assert selection.CRITERIA["tests.tta.foreign:surest_clip"](logits) == 7.0
    with pytest.raises(BadInput, match="unknown criterion 'informaton': expected information"):
        selection.check("informaton")
    with pytest.raises(BadInput, match=r"criterion 'tests\.tta\.foreign:NOT_A_FACTORY' is an int, expected a function"):
        selection.check("tests.tta.foreign:NOT_A_FACTORY")


def test_a_run_collapses_by_its_predictions_whatever_the_labels():
    """Even one that is right: most clips may be of one class."""
    logits = np.eye(4)[np.asarray([1] * 9 + [2])]
    assert metrics.collapsed(logits) and metrics.accuracy(logits, logits.argmax(1)) == 1.0
    assert not metrics.collapsed(np.eye(4)[np.asarray([1] * 8 + [2] * 2)])


def test_weighted_roc_auc_equals_scikit_learn_on_random_tables_with_ties():
    """Half of the tables have a tie in almost every column: their scores are multiples of 1/20."""
    for seed in range(200):
        rng = np.random.default_rng(seed)
        classes, clips = rng.integers(3, 8), rng.integers(20, 90)
        scores = rng.dirichlet(np.full(classes, 0.7), clips)
        if seed % 2:
            scores = (scores * 20).round() / 20
            scores[:, 0] += 1 - scores.sum(1)  # scikit-learn wants rows that sum to 1
        labels = rng.permutation(np.r_[np.arange(classes), rng.integers(0, classes, clips - classes)])
        wanted = roc_auc_score(labels, scores, multi_class="ovr", average="weighted", labels=np.arange(classes))
        assert metrics.weighted_roc_auc(scores, labels) == pytest.approx(wanted, abs=1e-12)


def test_weighted_roc_auc_leaves_out_classes_that_do_not_occur():
    """By hand: of class 0 (two clips) 3 of 4 pairs are in order, of class 1 (two clips) 2 and a tie: 0.75, 0.625."""
    scores = np.array([[0.9, 0.3, 0.4], [0.4, 0.6, 0.0], [0.6, 0.3, 0.1], [0.1, 0.9, 0.0]])
    labels = np.array([0, 0, 1, 1])
    assert metrics.weighted_roc_auc(scores, labels) == pytest.approx((0.75 + 0.625) / 2)
    assert metrics.weighted_roc_auc(scores[[0, 1, 3]], labels[[0, 1, 3]]) == 1.0
    with pytest.raises(BadInput, match="weighted_roc_auc: no class has clips with and without it"):
        metrics.weighted_roc_auc(scores, np.zeros(4, int))


def test_auroc_of_known_and_unknown_by_pairs():
    known, unknown = np.array([0.9, 0.5, 0.5, 0.7]), np.array([0.5, 0.1, 0.8])
    pairs = [(k > u) + 0.5 * (k == u) for k in known for u in unknown]
    assert metrics.auroc(known, unknown) == pytest.approx(np.mean(pairs), abs=1e-12)
    with pytest.raises(BadInput, match="AUROC: 4 known and 0 unknown clips, expected some of both"):
        metrics.auroc(known, unknown[:0])
