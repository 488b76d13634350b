"""Tables of zero-shot rows from records made up here: other seeds are one line, other weights are not."""

import numpy as np
import pytest

from dhauds_jax.report import zeroshot, zeroshot_classes, zeroshot_figures, zeroshot_lines
from dhauds_jax.report.intervals import interval

CURVE = [{"weight": w, "metric": 0.5 + w / 10, "criterion": w} for w in (0.0, 0.5, 1.0)]


def record(scorer="subtract", weight=0.5, seed=0, by="given", value=1.0, last=0.6, **more):
    taken = scorer == "subtract"
    made = {
        "dataset": "park", "corruption": "clean", "level": "-", "net": "tiny", "profile": "corrected",
        "protocol": "set", "prototypes": "text", "train": "-", "scorer": scorer, "seed": seed,
        "background": "audio" if taken else "none", "weight": weight if taken else None,
        "weight_chosen_by": by if taken else "none", "normalised": True, "topn": None,
        "template": "laion", "options": {}, "uses": ["text", "background"] if taken else ["text"], "n": 40,
        "classes": ["dog", "rain"], "per_class": [[0.5, None], [0.75, None]], "non_adapted": 0.5, "adapted_last": last,
        "adapted_selected": 0.6, "adapted_oracle": 0.61, "ece": 0.1, "nll": 0.9, "scale": 20.0,
        "selection": {"criterion": "information", "value": value, "weight": 1.0, "oracle_weight": 0.5},
        "curve": CURVE if taken else [], "folds": [last - 0.1, last + 0.1], "plain_folds": [0.45, 0.55],
        "reliability": [[1.0, 0.6, 0.7]], "risk_coverage": {"area": 0.2, "points": [[0.5, 0.1], [1.0, 0.4]]},
    }  # fmt: skip
    return {**made, "cell": f"{scorer} {weight} {seed} {by}", **more}


def test_seeds_are_one_line_and_weights_are_not():
    found = [record(seed=0), record(seed=1), record(weight=0.8), record(by="information"), record("plain")]
    lines = zeroshot_lines.lines_of(found)
    assert [line.name for line in lines] == ["subtract audio 0.5", "subtract audio 0.8", "subtract audio auto", "plain"]
    assert [len(line.members) for line in lines] == [2, 1, 1, 1]


@pytest.mark.parametrize(
    ("more", "mark"),
    [
        ({"folds_asked": "5"}, "folds_asked=5"),
        ({"shots": 4}, "shots=4"),
        ({"scale_asked": "nll"}, "scale_asked=nll"),
        ({"options": {"weight": 0.5, "ridge": 0.1}}, "ridge=0.1"),
        ({"clips": "0123456789abcdef"}, "clips=0123456789ab"),
        ({"long": "windows"}, "long=windows"),
        ({"source_checkpoint": "fedcba9876543210"}, "source_checkpoint=fedcba987654"),
        ({"template_lines": "aaaabbbbccccdddd"}, "template_lines=aaaabbbbcccc"),
        ({"background_of": "street"}, "background_of=street"),
        ({"selection": {"criterion": "margin", "value": 1, "weight": 1.0, "oracle_weight": 0.5}}, "criterion=margin"),
    ],
)
def test_another_run_is_no_other_seed(more, mark):
    lines = zeroshot_lines.lines_of([record(seed=0), record(seed=1, **more), record(seed=2)])
    assert [len(line.members) for line in lines] == [2, 1]
    assert lines[1].name == f"subtract audio 0.5 [{mark}]"


def test_seeds_draw_other_noises_and_one_seed_does_not():
    noisy = [record(seed=seed, corruption="ENSC", level="L1", clips=f"draw{seed}") for seed in (0, 1)]
    assert [len(line.members) for line in zeroshot_lines.lines_of(noisy)] == [2]
    other = record(seed=1, corruption="ENSC", level="L1", clips="other noises")
    assert [len(line.members) for line in zeroshot_lines.lines_of([*noisy, other])] == [1, 1, 1]
    again = {**noisy[1], "cell": "of another release", "adapted_last": 0.7}
    (line,) = zeroshot_lines.lines_of([*noisy, again])
    assert [r["adapted_last"] for r in line.members] == [0.6, 0.7]


def test_a_row_has_its_numbers_and_what_it_sees():
    found = [record(seed=0, last=0.6), record(seed=1, last=0.8)]
    low, high = interval([50, 70, 70, 90])
    (row,) = zeroshot.rows_table(found).splitlines()[2:]
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[:4] == ["text", "subtract", "audio", "0.5"]
    assert cells[5] == f"70.0 [{low:.1f}, {high:.1f}]"
    assert cells[6:8] == ["60.0 ± 0.0 (1)", "61.0 ± 0.0 (0.5)"]
    assert cells[-1] == "text, background"


def test_the_change_of_each_class_in_points():
    text = zeroshot_classes.class_table([record(), record("plain")])
    assert text.splitlines()[2:] == ["| dog | 50.0 | +25.0 |", "| rain | - | - |"]


def test_every_kind_of_prototypes_has_its_own_plain():
    made = {"prototypes": "supervised", "per_class": [[0.2, 0.4], [0.1, 0.5]]}
    found = [record(), record(**made, train="same", cell="same"), record(**made, train="clean", cell="clean")]
    head, _, dog, rain = zeroshot_classes.class_table(found).splitlines()
    assert [cell.strip() for cell in head.strip("|").split("|")] == [
        "class", "text plain", "supervised (same) plain", "supervised (clean) plain", "text subtract audio 0.5",
        "supervised (same) subtract audio 0.5", "supervised (clean) subtract audio 0.5",
    ]  # fmt: skip
    assert dog == "| dog | 50.0 | 20.0 | 20.0 | +25.0 | -10.0 | -10.0 |"
    assert rain == "| rain | - | 40.0 | 40.0 | - | +10.0 | +10.0 |"


def test_rows_of_one_set_over_other_classes_stand_apart():
    three = {"classes": ["cat", "dog", "rain"], "per_class": [[0.1, 0.2, 0.3], [0.2, 0.2, 0.2]], "cell": "of three"}
    found = [record(), record(**three)]
    (two, of_two), (other, of_three) = zeroshot.tables(found)
    assert two == "park, tiny: the set at once, profile corrected, 2 classes (dog, rain)"
    assert other == "park, tiny: the set at once, profile corrected, 3 classes (cat, dog, rain)"
    assert "| cat | 10.0 | +10.0 |" in zeroshot_classes.class_table(of_three)
    assert "| dog | 50.0 | +25.0 |" in zeroshot_classes.class_table(of_two)
    assert [heading for heading, _ in zeroshot.tables(found[:1])] == ["park, tiny: the set at once, profile corrected"]
    assert [len(line.members) for line in zeroshot_lines.lines_of([record(), record(**three, seed=1)])] == [1, 1]


def test_what_a_criterion_prefers_leaves_given_weights_aside():
    found = [record(value=9.0), record(by="information", value=2.0, last=0.7), record("plain", value=1.0)]
    said = zeroshot.preferred(found)
    assert said == "The scorer that information prefers, without labels: text: subtract audio auto, accuracy 70.0.\n"
    assert zeroshot.preferred([record("plain")]) == ""


def test_an_oracle_is_not_preferred():
    oracle = {"by": "information", "value": 9.0, "background": "oracle"}
    found = [record(**oracle), record(by="information", last=0.7), record("plain", value=0.5)]
    assert "text: subtract audio auto, accuracy 70.0." in zeroshot.preferred(found)
    found[1]["background"] = "quiet"
    seen = {**oracle, "background": "audio", "uses": ["text", "background", "own_background", "oracle"]}
    assert "text: subtract quiet auto, accuracy 70.0." in zeroshot.preferred([record(**seen), *found[1:]])
    assert "| oracle | the very recording that was mixed in" in zeroshot.uses_table([record(**seen)])


def test_what_is_preferred_is_named_as_its_line():
    edited = {"by": "information", "value": 3.0, "template_lines": "aaaabbbbcccc"}
    said = zeroshot.preferred([record(by="information"), record(**edited, cell="edited")])
    assert "text: subtract audio auto [template_lines=aaaabbbbcccc], accuracy 60.0." in said
    again = record(by="information", cell="of another release", last=0.7)
    said = zeroshot.preferred([record(by="information"), again, record("plain", value=0.5)])
    assert "text: subtract audio auto, accuracy 70.0." in said


def test_a_criterion_compares_rows_of_the_same_folds_and_criterion_alone():
    """Before, the row of other folds, or of another criterion, whose values are larger, was preferred for all."""
    few = {"folds_asked": "5", "cell": "five"}
    found = [record(by="information", value=2.0, last=0.7), record("plain", value=1.0)]
    found += [record("plain", value=9.0, last=0.3, **few), record(by="information", value=8.0, last=0.9, **few)]
    assert zeroshot.preferred(found) == (
        "The scorer that information prefers, without labels: text [folds_asked=default]: subtract audio auto "
        "[folds_asked=default], accuracy 70.0; text [folds_asked=5]: plain [folds_asked=5], accuracy 30.0.\n"
    )
    margin = {"criterion": "margin", "weight": 1.0, "oracle_weight": 0.5}
    found = [*found[:2], record("plain", selection={**margin, "value": 50.0}, last=0.2, cell="margin")]
    assert zeroshot.preferred(found) == (
        "The scorer that information prefers, without labels: text: subtract audio auto, accuracy 70.0.\n"
    )
    found += [record("centre", selection={**margin, "value": 60.0}, last=0.4, cell="centre")]
    assert zeroshot.preferred(found).splitlines()[1] == (
        "The scorer that margin prefers, without labels: text: centre, accuracy 40.0."
    )


def test_levels_are_means_over_one_list_of_classes(tmp_path):
    """Before, one line was the mean of accuracies over three classes and over two, and over other folds."""
    at = [record("plain", level=f"{snr}dB", last=snr / 20, cell=f"two {snr}") for snr in (5, 10)]
    three = {"classes": ["cat", "dog", "rain"], "per_class": [[0.1, 0.2, 0.3], [0.2, 0.2, 0.2]]}
    other = [record("plain", level=f"{snr}dB", last=0.1, cell=f"three {snr}", **three) for snr in (5, 10)]
    text = "\n".join(zeroshot.levels([*at, *other], tmp_path))
    for name, classes in (("zeroshot-levels.png", 2), ("zeroshot-levels-2.png", 3)):
        assert f"## Accuracy against SNR, tiny, profile corrected, {classes} classes\n\n" in text
        assert f"]({name})" in text and (tmp_path / name).stat().st_size > 5_000
    folds = [
        record("plain", level="5dB", last=0.9, cell="folds", folds_asked="5"),
        record("plain", level="5dB", seed=1),
    ]
    assert zeroshot_figures.levels([*at, *folds]) == {
        "text plain [folds_asked=default]": {5.0: pytest.approx((25 + 60) / 2), 10.0: 50.0},
        "text plain [folds_asked=5]": {5.0: 90.0},
    }
    assert zeroshot.levels(at, tmp_path)[0] == "## Accuracy against SNR"


@pytest.mark.parametrize(
    ("corruption", "level", "snr"), [("rain", "10dB", 10), ("SCN:tap@-5dB", "-", -5), ("ENSC", "L1", None)]
)
def test_snr_of_a_record(corruption, level, snr):
    assert zeroshot_figures.snr_of(record(corruption=corruption, level=level)) == snr


def test_figures_of_several_snrs(tmp_path):
    found = [record(by="information", level=f"{snr}dB", last=snr / 20, cell=str(snr)) for snr in (0, 5, 10)]
    assert zeroshot_figures.has_levels(found) and not zeroshot_figures.has_levels([record(level="5dB")])
    zeroshot_figures.over_levels(found, tmp_path / "levels.png")
    assert (tmp_path / "levels.png").stat().st_size > 5_000


def test_tidy_rows_have_numbers_in_full():
    (row,) = zeroshot.tidy_rows([record(last=2 / 3)])
    assert row["adapted_last"] == 2 / 3 and row["uses"] == "text+background"
    assert np.isclose(row["chosen_weight"], 1.0)


def test_tidy_rows_tell_runs_apart():
    one, other = zeroshot.tidy_rows([record(clips="x", shots=4), record(clips="x", folds_asked="5", cell="other")])
    assert (one["shots"], one["folds_asked"], one["clips"], one["criterion"]) == (4, None, "x", "information")
    assert other["folds_asked"] == "5" and list(one) == list(other)
