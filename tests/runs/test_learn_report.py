"""What is said of a learner: which classes are confused, of which to record more, where unknown begins."""

import numpy as np
import pytest

from dhauds_jax.runs import learn_report
from dhauds_jax.runs.learn_report import Forecast
from dhauds_jax.types import Calibration
from tests.incremental.points import begun, taught

NAMES = ("cat", "dog", "owl", "rain")


def of(confusion, known=20, score="max_score"):
    """A forecast of four classes; the nearest one is always the next."""
    confusion = np.array(confusion)
    judged = confusion.sum(1)
    made = Calibration(1.0, "nll of left-out shots", score, known=np.arange(1.0, known + 1))
    nearest = (*NAMES[1:], NAMES[0])
    return Forecast(NAMES, tuple(judged.tolist()), judged, confusion.diagonal(), confusion, nearest, made, "by hand")


MIXED = of([[5, 0, 0, 0], [0, 4, 1, 0], [1, 0, 1, 3], [0, 0, 3, 2]])
EVEN = of([[4, 1, 0, 0], [1, 4, 0, 0], [0, 0, 4, 1], [0, 0, 1, 4]])


def test_the_class_that_clips_were_taken_for_is_named_not_the_nearest():
    rows = learn_report.class_rows(MIXED)
    assert rows[0] == ("class", "clips", "left_out_right", "left_out", "taken_for", "nearest_other")
    assert rows[1:] == [
        ("cat", 5, 5, 5, "", "dog"),
        ("dog", 5, 4, 5, "owl 1", "owl"),
        ("owl", 5, 1, 5, "rain 3, cat 1", "rain"),
        ("rain", 5, 2, 5, "owl 3", "cat"),
    ]
    report = learn_report.text(MIXED, ["a fact"], [], 0.05, "learn")
    assert "| cat | 5 | 5 of 5 | - | dog |\n| dog | 5 | 4 of 5 | owl 1 | owl |\n" in report
    assert "Nearest: the other class\nwith the highest mean probability over all left-out clips of the class" in report


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (
            MIXED,
            "Record more clips of owl (1 of 5 right, taken for rain 3, cat 1), rain (2 of 5 right, taken for owl 3): "
            "less often right than all clips together (60 %).",
        ),
        (EVEN, "All classes are right equally often, so more clips of each help alike."),
        (
            of([[5, 0, 0, 0], [0, 5, 0, 0], [0, 0, 5, 0], [0, 0, 0, 5]]),
            "No left-out clip is wrong; more clips narrow the interval, first of cat (5 clips).",
        ),
    ],
)
def test_more_clips_are_asked_of_classes_below_the_others_alone(found, said):
    assert learn_report.advice(found) == said


def test_at_most_three_classes_are_named_and_the_rest_is_counted():
    found = of([[9, 0, 0, 0], [2, 0, 0, 0], [1, 1, 0, 0], [0, 2, 0, 0]])
    assert learn_report.advice(found).startswith(
        "Record more clips of dog (0 of 2 right, taken for cat 2), owl (0 of 2"
    )
    five = Forecast(
        (*NAMES, "bell"),
        (9, 2, 2, 2, 2),
        np.array([9, 2, 2, 2, 2]),
        np.array([9, 0, 0, 0, 0]),
        np.array([[9, 0, 0, 0, 0], *[[2, 0, 0, 0, 0]] * 4]),
        ("",) * 5,
        None,
        "by hand",
    )
    assert learn_report.advice(five).endswith(": less often right than all clips together (53 %), as is 1 class more.")


@pytest.mark.parametrize(
    ("known", "score", "said"),
    [
        (20, "max_score", "whose largest logit (--score=max_logit) is below 2, which loses 1 of 20 left-out clips."),
        (20, "energy", "whose energy (--score=energy) is below 2, which loses 1 of 20 left-out clips."),
        (
            19,
            "max_probability",
            "whose largest probability (--score=max_probability) is below 1, which loses 0 of 19 left-out clips: this "
            "is the lowest left-out score, and only 20 or more such clips can say where 0.05 lies.",
        ),
    ],
)
def test_the_threshold_of_unknown_names_its_score_and_how_many_clips_it_takes(known, score, said):
    found = of(np.eye(4, dtype=int), known, score)
    assert learn_report.unknown(found, 0.05) == f"--reject=0.05 calls a recording unknown {said}"


def test_the_report_says_by_what_its_figures_flatter():
    found = learn_report.forecast(taught(begun(), "abc"), "max_logit")
    text = learn_report.text(found, [], [], 0.05, "c")
    assert "lambda come of these same left-out clips, and clips of one recording, room or day count as inde" in text
