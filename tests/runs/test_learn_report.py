"""The report of experiments.learn says what its forecast does not know."""

from dhauds_jax.runs import learn_report
from tests.incremental.points import begun, taught


def test_the_report_says_by_what_its_figures_flatter():
    found = learn_report.forecast(taught(begun(), "abc"), "max_logit")
    text = learn_report.text(found, [], [], 0.05, "c")
    assert "lambda come of these same left-out clips, and clips of one recording, room or day count as inde" in text
