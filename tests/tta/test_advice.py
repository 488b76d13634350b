"""Verdicts from signs, with numbers worked out by hand, and the committed runs whose truth is known."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks import advice_table
from dhauds_jax.tta import advice
from dhauds_jax.tta.advice import FEW, FOREIGN, KEEP, USE
from dhauds_jax.tta.bank import Distance

ROOT = Path(__file__).parents[2]

NOISY = advice.Signs(
    files=100,
    classes=10,
    silent=0.0,
    top_share=(0.6, 0.15),
    confidence=(0.55, 0.8),
    sureness=(0.55, 0.8),
    information=(0.2, 0.6),
    peak=(2.4, 2.9),
    changed=0.7,
    adapted=True,
    far=Distance(-0.2, 0.3, 0.1),
)
"""Noisy clips of which an adaptation makes sense."""


@pytest.mark.parametrize(
    ("changed", "verdict", "sentence"),
    [
        (
            {},
            USE,
            "Use the adapted model: its labels carry 60.0 % of the information that they could, 20.0 % "
            "before; 70.0 % of them changed.",
        ),
        ({"files": 29}, FEW, "Too few to say: 29 files, and below 30 these signs mean little."),
        ({"files": 29, "silent": 1.0}, FEW, "Too few to say: 29 files, and below 30 these signs mean little."),
        ({"files": 30}, USE, None),
        ({"silent": 0.51}, FOREIGN, "Not this model's sounds: 51.0 % of the files are silent."),
        ({"silent": 0.51, "adapted": False}, FOREIGN, None),
        ({"silent": 0.5}, USE, None),
        (
            {"adapted": False, "changed": 0.0},
            KEEP,
            "Keep the source model: nothing was adapted, so there is nothing to compare.",
        ),
        (
            {"far": Distance(-0.1, 0.9, 0.15)},
            FOREIGN,
            "Not this model's sounds: to the model as it was trained they are as far from its classes as from the "
            "middle of all (-0.6 or less expected, found -0.10; in batches 0.5 or less, found 0.60): other sounds, or "
            "its own beyond recognition.",
        ),
        ({"far": Distance(-0.1, 0.9, 0.15), "adapted": False}, FOREIGN, None),  # it needs no adaptation
        ({"far": Distance(-0.1, 0.9, 0.21)}, USE, None),
        ({"far": Distance(-0.59, 0.5, 0.0)}, USE, None),
        # Its own sounds, and of few classes: 50 clips of one digit had 88 % right, 14 % after "use".
        (
            {"far": Distance(-0.61, 2.0, 0.0)},
            KEEP,
            "Keep the source model: 60.0 % of the files had one label before adaptation, and as the model was trained "
            "they are its own sounds (-0.6 or less, found -0.61): they are of few classes, and what adapts to them "
            "makes many of these.",
        ),
        ({"far": Distance(-0.61, 2.0, 0.0), "top_share": (0.44, 0.15)}, USE, None),
        ({"far": Distance(-0.61, 2.0, 0.0), "classes": 4}, USE, None),  # a quarter each: 75 % would be many
        ({"far": Distance(-0.59, 2.0, 0.0)}, FOREIGN, None),
        ({"peak": (2.4, 2.6)}, USE, None),  # with a bank logits are not asked
        ({"changed": 0.0}, KEEP, "Keep the source model: no label changed."),
        (
            {"sureness": (0.87, 0.75)},
            KEEP,
            "Keep the source model: it is surer of its labels (mean confidence 87.0 %, 75.0 % after adaptation).",
        ),
        ({"confidence": (0.87, 0.71), "sureness": (0.87, 0.81)}, USE, None),  # windows got labels of their own
        (
            {"information": (0.6, 0.63)},
            KEEP,
            "Keep the source model: the labels carry 63.0 % of the information that they could after "
            "adaptation, 60.0 % before, and a growth below 4 points may be no gain (mean confidence before: 55.0 %).",
        ),
        ({"information": (0.6, 0.65)}, USE, None),
        ({"information": (0.6, 0.69), "confidence": (0.74, 0.8)}, USE, None),
        (
            {"information": (0.6, 0.69), "confidence": (0.75, 0.8)},
            KEEP,
            "Keep the source model: the labels carry 69.0 % of the information that they could after "
            "adaptation, 60.0 % before, and a growth below 10 points may be no gain (mean confidence before: 75.0 %).",
        ),
        ({"information": (0.6, 0.71), "confidence": (0.75, 0.8)}, USE, None),
        ({"information": (0.6, 0.0), "top_share": (0.2, 1.0)}, KEEP, None),  # a collapse
    ],
)
def test_each_verdict_has_its_reason_in_numbers(changed, verdict, sentence):
    found = advice.advise(NOISY._replace(**changed))
    assert found.verdict == verdict
    assert sentence is None or found.sentence() == sentence


LITTLE = NOISY._replace(information=(0.6, 0.65), confidence=(0.9, 0.9), sureness=(0.9, 0.9))
"""Little was won, and the source model is sure."""


@pytest.mark.parametrize(
    ("right", "sureness", "verdict"),
    [
        ((None, None), 0.9, KEEP),  # an older bank: the confidence of 0.9 asks for 10 points
        ((0.78, 0.70), 0.9, USE),  # there is much to win
        ((0.79, 0.83), 0.9, KEEP),
        ((0.79, 0.85), 0.9, USE),  # of which the batches' statistics alone tell
        ((0.78, 0.70), 0.87, KEEP),  # labels were lost
        ((None, None), 0.82, KEEP),
    ],
)
def test_what_is_expected_of_accuracy_says_how_much_is_asked(right, sureness, verdict):
    told = LITTLE._replace(far=Distance(-0.2, 0.3, 0.1, *right), sureness=(0.9, sureness))
    assert advice.advise(told).verdict == verdict
    rows = dict(row[:2] for row in told.rows())
    said = rows.get("labels that are right, expected of its own sounds")
    assert said == (None if right[0] is None else f"{100 * right[0]:.1f} %")


def test_the_sentence_says_what_is_expected():
    told = LITTLE._replace(far=Distance(-0.2, 0.3, 0.1, 0.81, 0.82))
    assert advice.advise(told).sentence() == (
        "Keep the source model: the labels carry 65.0 % of the information that they could after adaptation, 60.0 % "
        "before, and a growth below 10 points may be no gain (labels that are right before, as expected: 81.0 %)."
    )


MANY = {"top_share": (0.3, 0.15)}
"""Of many classes before adaptation too."""


@pytest.mark.parametrize(
    ("changed", "verdict"),
    [
        ({"peak": (2.4, 2.6)}, FOREIGN),
        # A sign of 10 to 20 classes: 9 cannot reach it, of many every logit's largest is beyond it.
        ({"peak": (2.4, 2.6), "classes": 9, **MANY}, USE),
        ({"peak": (2.4, 2.6), "classes": 20}, FOREIGN),
        ({"peak": (2.4, 2.6), "classes": 21, **MANY}, USE),
        # Few classes, or noise: without a bank nothing tells.
        ({"top_share": (0.45, 0.15)}, KEEP),
        # A folder of quiet noise, of which nothing was learnt.
        ({"peak": (1.8, 1.8), "changed": 0.0, "information": (0.0, 0.0)}, FOREIGN),
    ],
)
def test_without_a_bank_logits_are_asked_and_the_advice_says_so(changed, verdict):
    found = advice.advise(NOISY._replace(far=None, **changed))
    assert found.verdict == verdict and found.sentence().endswith(
        " (The checkpoint has no bank of the model's own sounds, so other sounds may pass for them: "
        "experiments.evaluate --bank makes one of labelled clips.)"
    )


def test_where_no_bank_would_help_none_is_missed():
    for changed in ({"files": 29}, {"silent": 0.6}):
        assert "bank" not in advice.advise(NOISY._replace(far=None, **changed)).sentence()


def test_signs_are_worked_out():
    two = np.array([[0.9, 0.1], [0.9, 0.1], [0.1, 0.9]]), np.array([[0.5, 0.5], [0.2, 0.8], [0.2, 0.8]])
    files = tuple(np.pad(p, ((0, 0), (0, 2))) for p in two)
    windows = np.array([[3.0, 1.0, 1.0, 1.0]]), np.zeros((1, 4))
    found = advice.signs(files, windows, silent=0.25)
    assert (found.files, found.classes, found.silent, found.adapted) == (3, 4, 0.25, True)
    assert found.top_share == pytest.approx((2 / 3, 2 / 3)) and found.changed == pytest.approx(1 / 3)
    assert found.confidence == pytest.approx((0.9, 0.7))
    assert found.sureness == pytest.approx((20.0855 / (20.0855 + 3 * 2.71828), 0.25), abs=1e-5)
    # 3 lies 1.5 above the mean, and the deviation is the root of (1.5^2 + 3 x 0.5^2) / 4; equal logits have no peak.
    assert found.peak == pytest.approx((1.5 / np.sqrt(0.75), 0.0))
    # In bits, of the two that there could be: H(19/30) - H(0.9), and H(0.3) - (1 + 2 H(0.2)) / 3.
    assert found.information == pytest.approx(((0.94808 - 0.46900) / 2, (0.88129 - 0.81462) / 2), abs=1e-5)


def test_files_whose_windows_get_labels_of_their_own_are_no_loss():
    """Forty files of two words each: the source gives all windows one label, the adapted model each its own."""
    before, after = np.tile([4.0, 0.0, 0.0], (80, 1)), np.tile([[9.0, 0.0, 0.0], [0.0, 9.0, 0.0]], (40, 1))
    windows = tuple(np.exp(z) / np.exp(z).sum(-1, keepdims=True) for z in (before, after))
    files = tuple(p.reshape(40, 2, 3).mean(1) for p in windows)
    found = advice.signs(files, (before, after))
    assert found.confidence == pytest.approx((0.9647, 0.4999), abs=1e-4)
    assert found.sureness == pytest.approx((0.9647, 0.9998), abs=1e-4)
    assert "surer of its labels" not in advice.advise(found).reason


def test_the_difference_of_accuracy_has_an_interval_where_no_file_differs():
    same = np.array([True] * 60 + [False] * 38)
    d, low, high = advice_table.difference(same, same)
    # Agresti and Min with half a file in each cell: 1.96 x root(1) / 100.
    assert (d, low, high) == pytest.approx((0.0, -1.96, 1.96))
    better = np.array([True] * 58 + [False] * 2 + [True] * 38)
    # 38 won, 2 lost: 36 / 98; (36 / 100) -+ 1.96 x root(41 - 36^2 / 100) / 100.
    assert advice_table.difference(same, better) == pytest.approx((36.735, 36 - 10.379, 36 + 10.379), abs=1e-3)


@pytest.mark.parametrize(
    ("changed", "right"),
    [
        ({}, {USE}),
        ({"files": "29"}, {FEW}),
        ({"own": "no"}, {FOREIGN}),
        ({"low": "-2.01"}, {KEEP}),
        ({"low": "-2.00", "d": "2.0"}, {USE, KEEP}),
        ({"changed": "0.0", "d": "0.0", "low": "-1.5"}, {KEEP}),
        ({"before": "9.0", "after": "20.0"}, {USE, FOREIGN}),
        ({"before": "9.0", "after": "20.1"}, {USE}),
    ],
)
def test_what_is_right_follows_from_the_truth(changed, right):
    row = {
        "files": "100", "classes": "10", "own": "yes", "before": "50.0", "after": "70.0", "d": "20.0", "low": "10.0",
        "changed": "0.4",
    }  # fmt: skip
    assert advice_table.right_verdicts({**row, **changed}) == right


@pytest.fixture(scope="module")
def rows():
    return advice_table.read(ROOT / "docs" / "records" / "advice" / "runs.csv")


def test_the_committed_verdicts_are_those_of_the_shipped_function(rows):
    for row in rows:
        assert {name: row[name] for name in ("verdict", "right")} == advice_table.judged(row), row["folder"]


def test_the_page_is_what_the_runs_say(rows):
    text = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    assert advice_table.BEGIN in text and advice_table.filled(text, rows) == text


FALSE = {
    "fit": ("words15 running_tap_10dB lame",),
    "report": (
        "digits other_words dhauds",
        "digits other_words norm",
        "digits other_words tent",
    ),
    "new": (
        "digits other_words_noisy dhauds",
        "digits other_words_noisy norm",
        "digits other_words_noisy tent",
        "digits pitch_-2 dhauds",
    ),
    "fresh": (
        "words15 backwards dhauds",
        "words15 backwards norm",
        "words15 backwards tent",
    ),
}
"""Runs that were called "use" and are not to be used, by half; the page names them."""


def test_agreement_and_false_uses_are_what_the_page_says(rows):
    """90 % and no false "use" were wanted of folders that thresholds were not chosen on; this is what they reach."""
    halves = {h: advice_table.adapting([r for r in rows if r["half"] == h]) for h in advice_table.HALVES}
    reached = {h: advice_table.agreement(half) for h, half in halves.items()}
    assert reached == {"fit": (174, 196), "report": (148, 174), "new": (43, 51), "fresh": (65, 78)}
    (kind, *_) = advice_table.mistakes([])
    false = {h: advice_table.mistakes(half)[kind] for h, half in halves.items()}
    assert {h: tuple(map(advice_table.name_of, found)) for h, found in false.items()} == FALSE
    assert all(USE not in advice_table.right_verdicts(row) for found in false.values() for row in found)
    page = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    line = "174 of 196 (88.8 %) | 148 of 174 (85.1 %) | 43 of 51 (84.3 %) | 65 of 78 (83.3 %) |"
    assert f"| **methods that adapt** | {line}" in page
    (line,) = [line for line in page.splitlines() if line.startswith(f"| {kind} | ")]
    assert all(name in line for found in FALSE.values() for name in found)


def test_words15_alone_agrees_more_often(rows):
    """With logits alone, an earlier measurement of the report half, it was 44 of 55 and a false "use"."""
    own = [[r for r in rows if (r["half"], r["model"]) == (half, "words15")] for half in advice_table.HALVES]
    reached = [advice_table.agreement(advice_table.adapting(half)) for half in own]
    assert reached == [(140, 148), (113, 126), (24, 24), (35, 39)]


def test_the_expected_accuracy_makes_fifteen_verdicts_right_and_one_wrong(rows):
    """What older banks, which expect none, say of the same runs."""
    older = [advice_table.judged({**row, "far_right": "", "far_right_batch": ""}) for row in rows]
    changed = [
        (row["half"] == "fit", told["right"], row["right"])
        for row, told in zip(rows, older)
        if told["verdict"] != row["verdict"]
    ]
    assert sorted(changed) == [(False, "no", "yes")] * 15 + [(False, "yes", "no")]


def test_the_expected_accuracy_is_nearer_than_confidence(rows):
    """Folders of all classes that thresholds were not chosen on."""
    own = [r for r in rows if (r["method"], r["own"]) == ("source", "yes") and r["half"] != "fit" and r["far_right"]]
    told = [r for r in own if int(r["files"]) >= advice.FEWEST and "class" not in r["folder"]]
    off = [
        [abs(100 * float(r[name]) - float(r["before"])) for name in ("far_right", "confidence_before")] for r in told
    ]
    assert len(off) == 47 and np.mean(off, 0) == pytest.approx([3.7, 22.8], abs=0.06)


def test_a_model_of_one_class_tells_nothing():
    assert advice.information(np.ones((40, 1))) == 0.0


def test_a_distance_that_is_no_number_is_as_no_bank():
    """Before, NaN passed for the model's own sounds: a comparison with it is false."""
    p = np.eye(2)[np.arange(40) % 2]
    for far in (Distance(np.nan, 0.1, 0.1), Distance(-0.2, np.inf, 0.1), Distance(-0.2, 0.1, 0.1, np.nan, 0.5)):
        told = advice.signs((p, p), (p, p), far=far)
        assert told.far is None and "has no bank" in advice.advise(told).sentence()
    assert "Adapted weights have no bank" in advice.advise(advice.signs((p, p), (p, p), again=True)).sentence()
