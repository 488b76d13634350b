"""Verdicts on updates, worked by hand."""

import math

import numpy as np
import pytest

from dhauds_jax.errors import BadInput
from dhauds_jax.serve import guards
from dhauds_jax.serve.contracts import REASONS
from dhauds_jax.serve.guards import Limits, canary_bound, judge


def sure(labels, classes=4, p=0.97):
    """Rows that give their label the probability p and share the rest."""
    rows = np.full((len(labels), classes), (1 - p) / (classes - 1))
    rows[np.arange(len(labels)), labels] = p
    return rows


EVEN = np.arange(40) % 4
SOURCE = sure(EVEN)


def test_the_same_answers_are_kept():
    verdict = judge(SOURCE, SOURCE)
    assert verdict.keep and verdict.reason == ""
    assert verdict.signs["top_class"] == (0.25, 0.25) and verdict.signs["changed"] == 0.0
    # H(mean) = ln 4, H(row) = -0.97 ln 0.97 - 0.03 ln 0.01, of ln 4.
    told = 1 - (-0.97 * math.log(0.97) - 0.03 * math.log(0.01)) / math.log(4)
    assert verdict.signs["information"] == pytest.approx((told, told), abs=1e-12)


@pytest.mark.parametrize("finite", [True, False])
def test_what_is_not_finite_is_refused(finite):
    adapted = SOURCE.copy()
    adapted[3, 1] = np.nan if finite else adapted[3, 1]
    verdict = judge(SOURCE, adapted, finite=finite)
    assert not verdict.keep and verdict.reason == "not_finite"


def test_one_class_for_33_of_40_clips_is_refused_and_for_32_is_not():
    several = np.array([0] * 32 + [1, 1, 1, 2, 2, 2, 3, 3])
    same_information = sure(several, p=0.7)
    loose = Limits(information=1.0, changed=1.0)
    assert judge(same_information, sure(several), limits=loose).keep
    one_more = np.array([0] * 33 + [1, 1, 1, 2, 2, 2, 3])
    verdict = judge(same_information, sure(one_more), limits=loose)
    assert verdict.reason == "top_class" and verdict.signs["top_class"] == (0.8, 0.825)


def test_a_share_that_the_source_gives_too_is_kept():
    """A room in which somebody says one word."""
    word = np.array([2] * 39 + [1])
    assert judge(sure(word, p=0.9), sure(word)).keep
    assert judge(sure(word, p=0.9), sure(np.full(40, 2))).reason == "top_class"


def test_less_information_is_refused():
    verdict = judge(SOURCE, sure(EVEN, p=0.9))
    # 1 - H / ln 4: 0.8790 with 0.97, 0.6864 with 0.9.
    assert verdict.signs["information"] == pytest.approx((0.8790, 0.6864), abs=5e-4)
    assert not verdict.keep and verdict.reason == "information"


def test_a_little_less_information_is_not_a_loss():
    verdict = judge(SOURCE, sure(EVEN, p=0.966))
    lost = verdict.signs["information"][0] - verdict.signs["information"][1]
    assert 0.005 < lost < 0.02 and verdict.keep
    assert judge(SOURCE, sure(EVEN, p=0.966), limits=Limits(information=0.0)).reason == "information"


def test_answers_that_are_much_less_sure_are_refused():
    """One word again and again, which the adapted model spreads over all classes: more information, and wrong."""
    word = sure(np.array([0] * 30 + [1] * 10), p=0.95)
    spread = judge(word, sure(EVEN, p=0.85))
    assert spread.signs["information"][1] > spread.signs["information"][0] and spread.signs["top_class"] == (0.75, 0.25)
    assert spread.signs["confidence"] == pytest.approx((0.95, 0.85)) and spread.reason == "less_sure"
    assert judge(word, sure(EVEN, p=0.881)).keep


def test_many_changes_are_kept_with_more_information_and_no_larger_top_class():
    """On noisy speech more than 70 % change, and rightly."""
    lost = np.array([0] * 20 + [1] * 10 + [2] * 6 + [3] * 4)
    verdict = judge(sure(lost, p=0.6), SOURCE)
    assert verdict.signs["changed"] > 0.5 and verdict.keep


def test_many_changes_without_more_information_are_refused():
    turned = (EVEN + 1) % 4
    verdict = judge(SOURCE, sure(turned))
    assert verdict.signs["changed"] == 1.0 and verdict.reason == "changed"
    half = np.where(np.arange(40) < 20, turned, EVEN)
    assert judge(SOURCE, sure(half)).keep  # one half is not more than one half


def test_many_changes_with_a_larger_top_class_are_refused():
    """Of 40 clips a class gets 10 and then 20, or 18: two standard errors of that are 0.2091, and 0.2086."""
    for top, kept in ((20, False), (18, True)):
        turned = (EVEN + 1) % 4
        turned[np.flatnonzero(turned != 1)[: top - 10]] = 1
        verdict = judge(sure(EVEN, p=0.6), sure(turned))
        assert verdict.signs["information"][1] > verdict.signs["information"][0]
        assert verdict.signs["changed"] > 0.5 and verdict.signs["top_class"] == (0.25, top / 40)
        assert verdict.keep is kept and verdict.reason == ("" if kept else "changed")
    assert judge(sure(EVEN, p=0.6), sure(turned), limits=Limits(chance=0.0)).reason == "changed"


def test_weights_too_far_from_the_sources_are_refused():
    assert judge(SOURCE, SOURCE, drift=0.5, limits=Limits(max_drift=0.5)).keep
    assert judge(SOURCE, SOURCE, drift=0.51, limits=Limits(max_drift=0.5)).reason == "drift"


def test_the_canary_may_lose_two_of_forty_and_no_third():
    right = np.arange(40) < 36
    for lost, kept in ((2, True), (3, False)):
        verdict = judge(SOURCE, SOURCE, canary=(right, np.arange(40) < 36 - lost))
        assert verdict.keep is kept and verdict.reason == ("" if kept else "canary")
        assert verdict.signs["canary"]["drop"] == pytest.approx(lost / 40)
        assert verdict.signs["canary"]["adapted"] == pytest.approx((36 - lost) / 40)


def test_the_bound_is_hoeffdings_over_all_updates():
    bound, width = canary_bound(0.1, 40, 1)
    assert width == pytest.approx(math.sqrt(2 * math.log(math.pi**2 / 0.3) / 40)) == pytest.approx(0.41794, abs=1e-5)
    assert bound == pytest.approx(0.1 - 0.41794, abs=1e-5)
    assert canary_bound(0.1, 40, 10)[1] == pytest.approx(0.63634, abs=1e-5)
    assert canary_bound(0.1, 4000, 1)[1] == pytest.approx(0.041794, abs=1e-6)
    assert sum(6 * 0.05 / (math.pi**2 * k**2) for k in range(1, 100_000)) == pytest.approx(0.05, abs=1e-6)


def test_reasons_are_those_of_the_contract():
    assert REASONS == ("not_finite", "top_class", "information", "less_sure", "changed", "drift", "canary", "failed")


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        (Limits(top_class=1.1), "top_class=1.1: expected"),
        (Limits(information=-0.1), "information=-0.1: expected"),
        (Limits(max_drift=0.0), "--max_drift=0.0: expected"),
        (Limits(alpha=0.0), "alpha=0.0: expected"),
    ],
)
def test_limits_out_of_range_are_refused(limits, said):
    with pytest.raises(BadInput, match=f"^{said}"):
        guards.check(limits)


def test_no_clips_are_refused():
    with pytest.raises(BadInput, match="no clips"):
        judge(SOURCE[:0], SOURCE[:0])
