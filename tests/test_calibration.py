"""Temperatures against their definitions, thresholds by counting, and what a checkpoint keeps."""

import json
import re

import jax.numpy as jnp
import numpy as np
import pytest

from dhauds_jax import calibration, metrics
from dhauds_jax.errors import BadInput
from dhauds_jax.types import Calibration
from tests.paths import golden

NONE = Calibration(1.0, "none", "max_score")


def drawn(clips=400, classes=5, sharp=3.0, seed=0):
    """(scores, labels): labels drawn from the softmax of `sharp * scores`, whose right temperature is 1 / sharp."""
    draw = np.random.default_rng(seed)
    scores = draw.normal(size=(clips, classes))
    p = metrics.softmax(sharp * scores)
    return scores, (p.cumsum(-1) > draw.random((clips, 1))).argmax(-1)


def test_no_temperature_and_the_checkpoint_s():
    scores, _ = drawn()
    assert calibration.temperature("none", scores) == 1.0
    assert calibration.temperature("checkpoint", scores, scale=25.0) == 0.04


def test_nll_finds_the_temperature_that_the_labels_were_drawn_by():
    scores, labels = drawn(clips=4000)
    found = calibration.temperature("nll", scores, labels=labels)
    assert abs(found - 1 / 3) < 0.02  # 4,000 draws leave 0.01 of doubt
    losses = [metrics.nll(scores / (found * factor), labels) for factor in (0.99, 1.0, 1.01)]
    assert losses[1] < min(losses[0], losses[2])
    assert metrics.ece(scores / found, labels) < 0.03 < metrics.ece(scores, labels)


def test_agreement_makes_the_mean_confidence_the_share_of_agreement():
    scores, _ = drawn(clips=199)
    other = scores.copy()
    other[:50] = -other[:50]  # the largest becomes the smallest: 50 disagree
    found = calibration.temperature("agreement", scores, halves=(scores, other))
    assert abs(metrics.softmax(scores / found).max(-1).mean() - (149 + 0.5) / 200) < 1e-9
    sure = calibration.temperature("agreement", scores, halves=(scores, scores))
    assert 0 < sure < found


def test_a_temperature_is_finite_where_no_one_fits():
    scores, _ = drawn(clips=50)
    right = scores.argmax(-1)
    assert 0 < calibration.temperature("nll", scores, labels=right) < 1e-3  # all right: as sure as can be
    assert calibration.temperature("nll", scores, labels=scores.argmin(-1)) > 1e3
    assert np.isfinite(calibration.temperature("nll", np.zeros((4, 3)), labels=np.zeros(4, int)))


@pytest.mark.parametrize("rate", [0.0, 0.05, 0.1, 0.33, 0.999])
def test_at_most_the_rate_of_known_clips_becomes_unknown(rate):
    sure = np.random.default_rng(3).random(200).round(2)  # with ties
    kept = NONE._replace(known=calibration.held_out(sure))
    least = calibration.threshold(kept, reject=rate)
    assert np.mean(sure < least) <= rate
    above = sure[sure > least]
    assert not len(above) or np.mean(sure < above.min()) > rate  # the next higher threshold would lose too many


@pytest.mark.parametrize("rate", [0.0, 0.05, 0.1, 0.33, 1.0])
def test_at_most_the_rate_of_background_windows_keeps_a_name(rate):
    sure = np.random.default_rng(4).random(200).round(2)
    kept = NONE._replace(background=calibration.held_out(sure))
    least = calibration.threshold(kept, reject_background=rate)
    assert np.mean(sure >= least) <= rate
    below = sure[sure < least]
    assert not len(below) or np.mean(sure >= below.max()) > rate


def test_both_rates_give_the_higher_threshold_and_none_no_threshold():
    both = NONE._replace(known=np.arange(10.0), background=np.arange(5.0, 8.0))
    assert calibration.threshold(both) is None
    assert calibration.threshold(both, reject=0.2) == 2.0
    assert calibration.threshold(both, reject_background=0.0) == np.nextafter(7.0, 8)
    assert calibration.threshold(both, 0.2, 0.0) == np.nextafter(7.0, 8)
    assert calibration.threshold(both, 0.9, 0.5) == 9.0


@pytest.mark.parametrize(
    ("rates", "sentence"),
    [
        (
            {"reject": 0.1},
            "--reject: the calibration has no held-out scores of known classes, expected those of --class_names with "
            "--known_dir, or of a checkpoint of experiments.crossval or experiments.learn, or the flag left out",
        ),
        ({"reject_background": 0.1}, "--reject_background: the calibration has no held-out scores of background alone"),
        ({"reject": 1.0}, "--reject=1.0: expected a finite number of at least 0 and below 1"),
        ({"reject_background": 1.5}, "--reject_background=1.5: expected a finite number of at least 0 and at most 1"),
    ],
)
def test_bad_rates(rates, sentence):
    with pytest.raises(BadInput, match=sentence):
        calibration.threshold(NONE, **rates)


@pytest.mark.parametrize(
    ("how", "sentence"),
    [
        ("guess", "calibration 'guess': expected one of none, checkpoint, agreement, nll"),
        ("checkpoint", "calibration checkpoint needs the model's scale, and there are none"),
        ("agreement", "calibration agreement needs two halves of the prompts"),
        ("nll", "calibration nll needs labelled clips"),
    ],
)
def test_bad_ways(how, sentence):
    with pytest.raises(BadInput, match=sentence):
        calibration.temperature(how, np.eye(3))


def test_labels_and_the_name_of_the_unknown():
    scores = np.array([[0.9, 0.1], [0.2, 0.3], [0.1, 0.5]])
    sure = calibration.sureness(NONE, scores)
    np.testing.assert_array_equal(sure, [0.9, 0.3, 0.5])
    best = scores.argmax(-1)
    assert calibration.labels(("rain", "dog"), best, sure, 0.5) == ["rain", "unknown", "dog"]
    assert calibration.labels(("rain", "unknown"), best, sure, 0.5) == ["rain", "_unknown_", "unknown"]
    assert calibration.labels(("rain", "dog"), best, sure, None) == ["rain", "dog", "dog"]
    assert calibration.unknown_name(("unknown", "_unknown_")) == "__unknown__"
    warm = Calibration(0.5, "nll", "max_probability")
    np.testing.assert_allclose(calibration.sureness(warm, scores)[1], 1 / (1 + np.exp(-0.2)), rtol=1e-12)
    with pytest.raises(BadInput, match="compares 'margin', expected one of max_probability, max_score"):
        calibration.sureness(NONE._replace(score="margin"), scores)


def test_a_checkpoint_keeps_it_to_the_bit():
    draw = np.random.default_rng(5)
    known, background = (draw.normal(size=(clips, 4)).astype(np.float32) for clips in (2500, 30))
    made = calibration.with_scores(Calibration(0.1, "agreement", "max_probability"), known, background)
    assert len(made.known) == calibration.MOST and len(made.background) == 30
    every = np.sort(calibration.sureness(made, known))
    assert made.known[0] == every[0] and made.known[-1] == every[-1] and np.all(np.diff(made.known) >= 0)
    again = calibration.from_extra({"calibration": json.loads(json.dumps(calibration.to_extra(made)))})
    np.testing.assert_array_equal(again.known, made.known)
    np.testing.assert_array_equal(again.background, made.background)
    assert again[:3] == made[:3]
    bare = calibration.from_extra({"calibration": calibration.to_extra(NONE)})
    assert bare == NONE
    assert calibration.from_extra({}) is None


@pytest.mark.parametrize(
    "entry",
    [
        3,
        {"temperature": 1.0},
        {"temperature": -1.0, "chosen_by": "nll", "score": "max_score"},
        {"temperature": 1.0, "chosen_by": "nll", "score": "margin"},
        {"temperature": 1.0, "chosen_by": "nll", "score": "max_score", "known": ["a"]},
        {"temperature": 1.0, "chosen_by": "nll", "score": "max_score", "known": [None, 1.0]},
    ],
)
def test_a_broken_entry_is_said(entry):
    with pytest.raises(BadInput, match="the checkpoint's calibration is broken, expected a temperature above 0"):
        calibration.from_extra({"calibration": entry})


def test_no_held_out_scores_are_said():
    with pytest.raises(BadInput, match="held-out scores: 0 values, expected at least one"):
        calibration.held_out(np.zeros(0))


GROUPS = {"names": ["dog", "other"], "of": [0, 1, 0]}


def test_probabilities_of_a_group_are_summed_by_numpy_and_by_jax():
    p = np.array([[0.1, 0.2, 0.7], [0.5, 0.5, 0.0]])
    np.testing.assert_allclose(calibration.by_group(p, GROUPS), [[0.8, 0.2], [0.5, 0.5]], atol=1e-15)
    np.testing.assert_allclose(calibration.by_group(jnp.asarray(p[None]), GROUPS)[0, 0], [0.8, 0.2], atol=1e-7)
    assert calibration.by_group(p, {}) is p
    assert calibration.labels_by_group(np.array([2, 1, 0]), GROUPS).tolist() == [0, 1, 0]
    assert calibration.labels_by_group(np.array([2, 1, 0]), {}).tolist() == [2, 1, 0]


def test_an_ensemble_is_the_mean_of_probabilities_after_the_temperature():
    logits = np.log(np.array([[[0.1, 0.2, 0.7]], [[0.3, 0.3, 0.4]]]))
    np.testing.assert_allclose(calibration.ensemble(logits, 1.0, GROUPS), [[0.75, 0.25]])
    hot = np.sqrt([0.1, 0.2, 0.7]) / np.sqrt([0.1, 0.2, 0.7]).sum(), np.sqrt([0.3, 0.3, 0.4])
    wanted = (hot[0] + hot[1] / hot[1].sum()) / 2
    np.testing.assert_allclose(calibration.ensemble(logits, 2.0, {})[0], wanted)


def test_the_ensembles_of_the_tomofun_challenge_are_the_published_script_s():
    """Softmax, merging of 15 classes to 10, mean over 5 shifts, weighted one-vs-rest area: golden `tomofun_head`."""
    head = golden("tomofun_head")
    groups = {"names": [str(k) for k in range(10)], "of": [0, 1, 2, 3, 4, *[5] * 6, 6, 7, 8, 9]}
    for temperature in ("0.5", "1", "2", "5"):
        p = calibration.ensemble(head["shift_logits"], float(temperature), groups)
        if f"shift_scores_t{temperature}" in head:
            np.testing.assert_allclose(p, head[f"shift_scores_t{temperature}"], atol=1e-12)
        area = metrics.weighted_roc_auc(p, head["labels10"])
        assert area == pytest.approx(float(head[f"shift_auc10_t{temperature}"]), abs=1e-12)
    assert metrics.weighted_roc_auc(head["tied_scores"], head["labels10"]) == pytest.approx(
        float(head["tied_auc"]), abs=1e-12
    )


def test_the_best_temperature_of_a_list_is_the_first_of_equals():
    scores, labels = drawn(clips=2000)
    found, values = calibration.best_temperature("nll", (1.0, 0.5, 0.33, 0.2), scores[None], labels, {})
    assert found == 0.33  # the labels were drawn by 1/3
    np.testing.assert_allclose(values[0], -metrics.nll(scores, labels))
    # One member and two classes: no temperature changes the order of clips.
    flat, values = calibration.best_temperature("auc", (3.0, 1.0, 9.0), scores[None, :, :2], labels % 2, {})
    assert (flat, len(set(values))) == (3.0, 1)
    p = calibration.ensemble(scores[None], 0.33, {})
    assert calibration.error_of(p, labels) == pytest.approx(metrics.ece(scores / 0.33, labels))
    assert calibration.error_of(p, labels) < 0.04 < calibration.error_of(metrics.softmax(scores), labels)


@pytest.mark.parametrize(
    ("by", "candidates", "message"),
    [
        ("auc", (), "temperatures: there are none, expected at least one, such as 1"),
        ("auc", (1.0, 0.0), "temperature=0.0: expected a finite number above 0"),
        ("luck", (1.0,), "chosen by 'luck': expected auc, nll or accuracy"),
    ],
)
def test_bad_temperatures_are_one_sentence(by, candidates, message):
    scores, labels = drawn(clips=20)
    with pytest.raises(BadInput, match=f"^{re.escape(message)}"):
        calibration.best_temperature(by, candidates, scores[None], labels, {})


def test_the_energy_is_the_soft_maximum_at_the_temperature():
    scores = np.array([[1.0, 3.0, 2.0], [1000.0, 1000.0, -1000.0]])
    made = Calibration(0.5, "nll", "energy")
    first = 0.5 * np.log(np.exp(2) + np.exp(6) + np.exp(4))
    np.testing.assert_allclose(calibration.sureness(made, scores), [first, 1000 + 0.5 * np.log(2)], rtol=1e-12)
    assert calibration.compared(made, scores).shape == (2, 1)


def test_doubt_keeps_the_temperature_above_nothing():
    scores = np.array([[4.0, 0.0, 0.0], [0.0, 4.0, 0.0]])
    found = calibration.temperature("nll", scores, labels=np.array([0, 1]), doubt=0.25)
    # exp(4 / t) / (exp(4 / t) + 2) = 3 / 4
    assert found == pytest.approx(4 / np.log(6), rel=1e-9)
