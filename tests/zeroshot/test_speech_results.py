"""The tables of docs/results.md on background correction in speech are those of the committed rows."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks import zeroshot_differences_table as differences
from benchmarks import zeroshot_speech_table as table
from benchmarks import zeroshot_unknown_table as unknown

ROOT = Path(__file__).resolve().parents[2]
FLOORS = {
    "prototypes, `plain`": (53.3, 36.6, 20.8),
    "`subtract` 0.2": (54.0, 37.7, 21.8),
    "`subtract` 0.5": (54.1, 38.0, 22.7),
    "`subtract` 0.8": (52.9, 36.9, 22.8),
    "`subtract` 1.0": (50.7, 34.3, 21.5),
    "`subtract`, chosen without labels": (55.2, 38.9, 23.9),
    "`centre`, the set at once": (57.5, 40.8, 25.3),
}
"""Measured once before, by another program, with one draw."""


@pytest.fixture(scope="module")
def rows():
    return table.read(ROOT / table.RECORDS)


def test_the_page_is_what_the_rows_say(rows):
    text = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    assert table.BEGIN in text and table.filled(text, rows) == text


def test_every_setting_has_every_row(rows):
    source = [row for row in rows if row["weights"] == "source"]
    assert len({(row["background"], row["snr_db"], row["seed"]) for row in source}) == 90
    for line in table.LINES:
        assert len(line.of(source)) == 90, line.words


@pytest.mark.parametrize("words", FLOORS)
def test_what_was_measured_before_is_reached_within_two_points(rows, words):
    line = next(line for line in table.LINES if line.words == words)
    found = line.of([row for row in rows if row["weights"] == "source"])
    for snr, floor in zip(table.SNRS, FLOORS[words], strict=True):
        assert np.mean(table.by_seed([row for row in found if row["snr_db"] == snr], line.value)) > floor - 2


def test_no_choice_beats_the_best_by_labels(rows):
    for row in rows:
        assert float(row["chosen"]) <= float(row["oracle"])


def test_intervals_are_over_seeds():
    rows = [{"seed": str(seed), "value": str(value)} for seed, value in [(0, 0.5), (0, 0.7), (1, 0.62), (2, 0.64)]]
    assert table.by_seed(rows, "value") == pytest.approx([60, 62, 64])
    assert table.with_interval([60, 62, 64]) == "62.0 ± 5.0"  # Student's t of 2 degrees, 4.303, times 2 / sqrt(3)


def test_the_page_is_what_the_rows_of_unknown_say():
    text, rows = (ROOT / "docs" / "results.md").read_text(encoding="utf-8"), table.read(ROOT / unknown.RECORDS)
    assert unknown.BEGIN in text and unknown.filled(text, rows) == text
    assert len(rows) == 480 and {row["scorer"] for row in rows} == set(unknown.SCORERS)
    assert all(0 <= float(row[name]) <= 1 for row in rows for name in unknown.COLUMNS[5:])


def test_a_rate_of_known_clips_is_kept_by_clips_of_the_place_and_not_by_clean_ones():
    rows = [row for row in table.read(ROOT / unknown.RECORDS) if row["snr_db"] == "5"]
    kept = {ends: np.mean([float(row[f"reject_known_{ends}"]) for row in rows]) for ends in ("held", "clean")}
    assert kept["held"] > 0.92 and kept["clean"] < 0.5
    area = {
        name: np.mean([float(r["auroc_noise_held"]) for r in rows if r["scorer"] == name]) for name in unknown.SCORERS
    }
    assert max(area, key=area.get) == "subtract" and min(area, key=area.get) == "centre"


def test_the_page_is_what_the_rows_of_the_differences_say():
    text, rows = (ROOT / "docs" / "results.md").read_text(encoding="utf-8"), table.read(ROOT / differences.RECORDS)
    assert differences.BEGIN in text and differences.filled(text, rows) == text
    assert len({(row["background"], row["snr_db"], row["seed"]) for row in rows}) == 30
    assert all(float(row["chosen"]) <= float(row["oracle"]) for row in rows)


def test_a_difference_is_of_the_same_settings():
    def rows(name, places, values):
        return [
            {"background": place, "seed": "0", "snr_db": "5", "scorer": name, "given": str(value)}
            for place, value in zip(places, values, strict=True)
        ]

    found = [*rows("a", "xy", (0.5, 0.7)), *rows("b", "yx", (0.4, 0.6))]
    gaps = differences.gaps(found, ({"scorer": "a"}, "given"), ({"scorer": "b"}, "given"), "5")
    np.testing.assert_allclose(gaps, [-10, 30])
