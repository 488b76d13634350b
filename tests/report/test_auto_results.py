"""The table of docs/results.md on `--method=auto` is that of the committed records."""

from pathlib import Path

import pytest

from benchmarks import auto_table

ROOT = Path(__file__).resolve().parents[2]


def test_the_page_is_what_the_records_say():
    text = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    found = auto_table.read(ROOT / auto_table.RECORDS)
    assert auto_table.BEGIN in text and auto_table.filled(text, found) == text


def test_a_regret_is_what_is_lacking_to_the_best_choice():
    """Auto may lie above all of them, for it may change its mind: then its regret is below 0."""
    mine = {"source": 50.0, "dhauds": 70.0, "shot": 72.5, "ntta": 60.0, "auto": 71.0}
    assert auto_table.regrets(mine)["auto"] == pytest.approx(1.5)
    assert auto_table.regrets(mine)["source"] == pytest.approx(22.5)
    assert auto_table.regrets({**mine, "auto": 73.0})["auto"] == pytest.approx(-0.5)
    row = {"protocol": "online", "corruption": "UNI", "level": "0.1"}
    rows = [{**row, "method": name, "adapted_last": value / 100} for name, value in mine.items()]
    assert "| online | UNI | 0.1 | 50.0 | 70.0 | 72.5 | 60.0 | 71.0 | 1.5 |\n" in auto_table.table(rows)
    assert "| online, 1 shifts | 1.5 (1.5) | 22.5 (22.5) | 2.5 (2.5) | 0.0 (0.0) | 12.5 (12.5) |\n" in auto_table.table(
        rows
    )
    assert not auto_table.cells(rows[:-1])
