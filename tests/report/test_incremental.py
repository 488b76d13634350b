"""Tables of class-incremental courses: seeds in one line with Student's interval, and what adaptation changed."""

import pytest

from dhauds_jax.errors import BadInput
from dhauds_jax.report import incremental
from dhauds_jax.report import incremental_figures as figures
from dhauds_jax.report.marked_pages import render_page
from dhauds_jax.workdir import records


def record(seed=0, last=0.5, **more):
    over = [0.9, last]
    session = {"all": over, "former": [None, last - 0.1], "current": [0.9, last + 0.1], "base": over, "novel": over}
    session |= {"ece": [0.1, 0.2], "ece_calibrated": [0.05, 0.1], "nll": [1.0, 1.0], "accepted": [0.9, 0.92]}
    session |= {"auroc_unknown": [0.8, None], "seconds": [0.1, 0.2], "per_class": [{"a": 0.9}, {"a": 0.9, "b": last}]}
    whole = {"AA": (0.9 + last) / 2, "PD": 0.9 - last, "last": last, "forgetting": 0.1, "bwt": -0.1}
    place = {"dataset": "birds", "net": "tiny", "way": 1, "shot": 5, "sessions": 2, "base_way": 1, "base_shot": "5"}
    line = {"learner": "ridge", "head": "ridge", "profile": "corrected", "order": "random", "memory": 0}
    line |= {"exemplars_from": None, "shots_corruption": "clean", "tta": "none", "tta_reset": None, "options": {}}
    found = {**place, **line, **whole, "per_session": session, "seed": seed, "corruption": "clean", "level": "-"}
    found |= {"labels_used": 10, "bytes_held": 2048, "seconds": 0.3, "source_checkpoint": "abc", "classes": ["a", "b"]}
    return {**found, **more}


def cells(text, row=0):
    return [cell.strip() for cell in text.splitlines()[2 + row].strip("|").split("|")]


def test_seeds_stand_in_one_line_with_students_interval():
    found = [record(seed, last) for seed, last in enumerate((0.5, 0.6, 0.7, 0.5, 0.6, 0.7))]
    text = incremental.lines_table(found)
    assert len(text.splitlines()) == 3
    row = cells(text)
    assert row[:3] == ["ridge", "6", "75.0 ± 4.7"]
    assert row[4] == "60.0 ± 9.4"  # 2.571 of 8.944 over the root of six
    assert row[9:] == ["80.0 ± 0.0", "91.0 ± 0.0", "10", "2.05 kB", "0.3"]


def test_lines_are_named_by_what_differs():
    found = [record(), record(memory=5), record(options={"lambda": "loo"}), record(head="linear", tta="t3a")]
    names = [line.name for line in incremental.lines_of(found)]
    assert names == [
        "ridge [memory=0]",
        "ridge [memory=5]",
        "ridge [memory=0, lambda=loo]",
        "ridge (linear) + t3a [memory=0]",
    ]


@pytest.mark.parametrize(
    ("more", "mark"),
    [
        ({"reject": 0.3}, "reject=0.3"),
        ({"precision": "bf16"}, "precision=bf16"),
        ({"listing": "fedcba9876543210"}, "listing=fedcba98"),
        ({"tta_options": {"lr": 1e-3}}, "tent.lr=0.001"),
        ({"tta_batch_size": 8}, "tta_batch_size=8"),
        ({"tta_sessions": "last"}, "tta_sessions=last"),
    ],
)
def test_what_was_run_otherwise_is_no_further_seed(more, mark):
    same = {"tta": "tent", "tta_options": {"lr": 1e-4}, "tta_batch_size": 32, "reject": 0.05, "precision": "float32"}
    lines = incremental.lines_of([record(**same, listing="abcdef0123456789"), record(1, **{**same, **more})])
    assert [len(line.members) for line in lines] == [1, 1]
    assert mark in lines[1].name and lines[0].name != lines[1].name


def test_sessions_that_were_not_measured_are_no_points(tmp_path):
    one = record(tta="tent", AA=None)
    one["per_session"] = {**one["per_session"], "all": [None, 0.5], "per_class": [None, {"a": 0.9, "b": 0.1}]}
    row = cells(incremental.lines_table([one]))
    assert (row[2], row[4]) == ("-", "50.0")
    assert cells(incremental.sessions_table([one]))[-2:] == ["-", "50.0"]
    figures.over_sessions([("ridge + tent", [one, one])], tmp_path / "over.png")
    assert (tmp_path / "over.png").stat().st_size > 1000


def test_older_records_were_adapted_after_every_session():
    found = [record(tta="tent"), record(1, tta="tent", tta_sessions="all")]
    assert [line.name for line in incremental.lines_of(found)] == ["ridge + tent"]


def test_two_checkpoints_of_one_network_are_two_lines_and_both_are_said():
    heard = {"trained_on": "birds", "knew_these_classes": 2}
    found = [record(n=40, backbone={"hash": "abcdef0123456789", **heard}, source_checkpoint="abcdef0123456789")]
    unknown = {"hash": "9876543210fedcba", "trained_on": "unknown", "knew_these_classes": None}
    found.append(record(n=40, backbone=unknown, source_checkpoint="9876543210fedcba"))
    names = [line.name for line in incremental.lines_of(found)]
    assert names == ["ridge [source_checkpoint=abcdef01]", "ridge [source_checkpoint=98765432]"]
    assert incremental._of_place(found) == (
        "40 test clips of 2 classes; the network was trained to tell 2 of these classes apart (trained on: birds, "
        "abcdef012345); the network knew an unknown number of these classes beforehand (trained on: unknown, "
        "9876543210fe)."
    )


def test_of_vectors_of_another_tool_nothing_is_claimed():
    other = {"hash": "unknown", "trained_on": "unknown", "knew_these_classes": None}
    assert incremental._of_place([record(n=40, backbone=other)]) == (
        "40 test clips of 2 classes; what made the vectors, and whether it was trained on these classes, is not known."
    )


def test_seeds_whose_classes_have_other_numbers_of_clips_are_said():
    heard = {"trained_on": "birds", "knew_these_classes": 0, "hash": "abcdef0123456789"}
    found = [record(seed, n=count, backbone=heard) for seed, count in enumerate((1040, 990))]
    assert incremental._of_place(found).startswith("990 to 1,040 test clips of 2 classes; the network was not")


def test_a_seed_counts_once(tmp_path):
    found = [{**record(seed, last), "cell": f"{seed}{last}"} for seed, last in ((0, 0.5), (1, 0.6), (0, 0.8))]
    (line,) = incremental.lines_of(found)
    assert sorted(one["last"] for one in line.members) == [0.6, 0.8]
    assert (
        incremental._left_out(found) == "* left out: 1 record of a seed that was run again later: the last one counts\n"
    )
    assert incremental._left_out(found[:2]) == ""


def test_an_adaptation_under_two_corruptions_is_two_rows():
    found = [record(0, last, tta=tta, corruption=name, level="L2") for name, last, tta in (
        ("WHN", 0.5, "none"), ("WHN", 0.6, "tent"), ("ENSC", 0.3, "none"), ("ENSC", 0.1, "tent"))]  # fmt: skip
    text = incremental.adaptation_table(found)
    assert [cells(text, row)[1:5] for row in range(2)] == [
        ["WHN-L2", "1", "50.0", "10.0"],
        ["ENSC-L2", "1", "30.0", "-20.0"],
    ]


def test_adaptation_is_compared_with_the_same_course_without_it():
    found = [record(seed, 0.5) for seed in range(2)]
    found += [record(seed, 0.6 + 0.02 * seed, tta="tent", tta_reset="session") for seed in range(2)]
    row = cells(incremental.adaptation_table(found))
    assert row[:4] == ["ridge + tent", "clean", "2", "50.0 ± 0.0"]
    assert row[4].startswith("11.0 ±") and row[5].startswith("11.0 ±")
    assert incremental.adaptation_table(found[:2]) == ""


def test_one_seed_has_no_interval_and_nothing_to_measure_is_a_dash():
    assert incremental.with_student([0.5]) == "50.0"
    assert incremental.with_student([None, None]) == "-"


@pytest.mark.parametrize(("count", "said"), [(12, "12 B"), (2048, "2.05 kB"), (3_100_000, "3.1 MB")])
def test_sizes_in_powers_of_ten(count, said):
    assert incremental.size(count) == said


def test_a_row_a_session_for_tables():
    rows = incremental.tidy_rows([record(cell="x")])
    assert [row["session"] for row in rows] == [0, 1]
    assert [row["all"] for row in rows] == [0.9, 0.5]
    one = record(cell="x")
    one["per_session"]["auroc_background"] = [0.7, 0.8]
    rows = incremental.tidy_rows([one])
    assert [(row["auroc_background"], row["before_all"]) for row in rows] == [(0.7, None), (0.8, None)]


def test_a_page_has_its_tables_from_the_records(tmp_path):
    found = {**dict.fromkeys(records.INCREMENTAL_KEYS), **record(cell="x")}
    records.append(tmp_path / "some", found, "incremental")
    page = "<!-- table: courses | records: some | learner: ridge -->\nold\n<!-- end -->"
    assert "| ridge | 1 | 70.0 |" in render_page(page, tmp_path)
    with pytest.raises(BadInput, match="none of the 1 records in some fits"):
        render_page(page.replace("ridge", "slda"), tmp_path)


def test_courses_of_other_shots_or_under_noise_are_no_further_seeds_of_a_line():
    """What a page's mark puts into one table: a report has a table for each."""
    found = [
        record(0, 0.5),
        record(0, 0.6, shot=1, base_shot="1"),
        record(1, 0.7, shot=1, base_shot="1"),
        record(0, 0.2, corruption="WHN", level="L2"),
    ]
    lines = {line.name: [one["last"] for one in line.members] for line in incremental.lines_of(found)}
    assert lines == {
        "ridge [shot=5, corruption=clean, level=-]": [0.5],
        "ridge [shot=1, corruption=clean, level=-]": [0.6, 0.7],
        "ridge [shot=5, corruption=WHN, level=L2]": [0.2],
    }
    reference = record(0, 0.5, profile="reference", options={"profile": "reference"})
    both = [record(0, 0.4, options={"profile": "corrected"}), reference]
    assert [line.name for line in incremental.lines_of(both)] == [
        "ridge [profile=corrected]",
        "ridge [profile=reference]",
    ]
