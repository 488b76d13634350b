"""Risk against coverage, and a rate of background that is kept on clips not seen before."""

import jax
import numpy as np
import pytest

from dhauds_jax import calibration, metrics
from dhauds_jax.types import Calibration
from dhauds_jax.zeroshot import abstain, synthetic


def test_risk_and_coverage_by_hand():
    found = abstain.risk_coverage(np.array([0.9, 0.2, 0.9, 0.4]), np.array([True, False, False, True]))
    np.testing.assert_allclose(found.coverage, [0.5, 0.75, 1.0])
    np.testing.assert_allclose(found.risk, [0.5, 1 / 3, 0.5])
    assert found.area == pytest.approx((2 * 0.5 + 1 / 3 + 0.5) / 4)
    assert abstain.accepted(np.array([0.1, 0.5, 0.9]), 0.5) == pytest.approx(2 / 3)
    assert abstain.accepted(np.array([0.1]), None) == 1.0


@pytest.mark.slow
def test_of_new_background_windows_about_the_asked_share_gets_a_name():
    """Half of 400 synthetic background recordings sets the threshold, the other half is named or not."""
    made = synthetic.embed(jax.random.key(3), 10.0, synthetic.World(recordings=400))
    anchors = np.asarray(made.text).T
    known, noise = np.asarray(made.vectors) @ anchors, np.asarray(made.recordings) @ anchors
    held = calibration.with_scores(Calibration(0.05, "none", "max_score"), known[:500], noise[:200])
    for rate in (0.02, 0.05, 0.2):
        least = calibration.threshold(held, reject_background=rate)
        named = abstain.accepted(calibration.sureness(held, noise[200:]), least)
        assert abs(named - rate) < 3 * np.sqrt(2 * rate / 200)  # three deviations of two samples of 200
    sure = calibration.sureness(held, known[500:])
    assert metrics.auroc(sure, calibration.sureness(held, noise[200:])) > 0.7
    least = calibration.threshold(held, reject=0.1)
    assert abs(np.mean(sure < least) - 0.1) < 0.06
