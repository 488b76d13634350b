"""Tables beside published values, by hand."""

import pytest

from dhauds_jax.report import published
from tests.report.test_tables import CLEAN, a_record


def with_said(before, after, *args, **changes):
    return a_record(*args, published={"non_adapted": before, "adapted": after}, **changes)


FOUND = [
    with_said(0.25, 0.60, "WHN", "dhauds", 0, 0.2, 0.5),  # oracle 0.51
    with_said(0.25, 0.60, "WHN", "dhauds", 1, 0.3, 0.7),  # oracle 0.71: the mean, 0.61, is a point above 0.60
    with_said(0.50, None, "TST", "dhauds", 0, 0.4, 0.8),
    with_said(0.10, 0.40, "WHN", "dhauds", 0, 0.1, 0.3, dataset="e", metric="macro_f1"),
]


def cells(text):
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()]


def test_each_cell_beside_its_published_value():
    header, _, *rows = cells(published.beside_published([*FOUND, a_record("PSH", "dhauds", 0, 0.1, 0.2)]))
    assert header == [
        *("cell", "method", "non-adapted", "published", "last", "label-free", "oracle", "published", "difference")
    ]
    spread = ["25.0 ± 7.1", "25.0", "60.0 ± 14.1", "59.0 ± 14.1", "61.0 ± 14.1", "60.0", "+1.0"]
    assert rows == [
        ["d, n, WHN-L2", "dhauds", *spread],
        ["d, n, TST-L2", "dhauds", "40.0", "50.0", "80.0", "79.0", "81.0", "-", "-"],
        ["e, n, WHN-L2", "dhauds", "10.0", "10.0", "30.0", "29.0", "31.0", "40.0", "-9.0"],
    ]


def test_means_per_data_set_and_overall():
    """Cells weigh alike whatever their seeds; clean ones and those without both published values stay out."""
    header, _, *rows = cells(published.overview([*FOUND, {**CLEAN, "method": "dhauds"}]))
    assert header[2:8] == ["cells", "non-adapted", "last", "label-free", "oracle", "gain"]
    assert rows == [
        # last (60 + 80) / 2, non-adapted (25 + 40) / 2; the differences are of WHN alone: 25 - 25, 61 - 60.
        ["d, n", "dhauds", "2", "32.5", "70.0", "69.0", "71.0", "+37.5", "25.0 (1)", "60.0", "+35.0", "+0.0", "+1.0"],
        ["e, n", "dhauds", "1", "10.0", "30.0", "29.0", "31.0", "+20.0", "10.0", "40.0", "+30.0", "+0.0", "-9.0"],
        # (25 + 40 + 10) / 3, (60 + 80 + 30) / 3; published (25 + 10) / 2, (60 + 40) / 2; (1 - 9) / 2.
        [
            "**all**",
            "dhauds",
            "3",
            "25.0",
            "56.7",
            "55.7",
            "57.7",
            "+31.7",
            "17.5 (2)",
            "50.0",
            "+32.5",
            "+0.0",
            "-4.0",
        ],
    ]


def test_without_published_values_the_overview_has_no_such_columns():
    plain = [a_record("WHN", "tent", 0, 0.2, 0.5, protocol="online"), a_record("WHN", "tent", 0, 0.2, 0.6)]
    header, _, *rows = cells(published.overview(plain))
    assert header[-1] == "gain"
    assert rows == [
        ["d, n", "tent, online", "1", "20.0", "50.0", "49.0", "51.0", "+30.0"],
        ["d, n", "tent", "1", "20.0", "60.0", "59.0", "61.0", "+40.0"],
    ]
    with pytest.raises(ValueError, match="none of 2 records has a published value"):
        published.beside_published(plain)
