"""The tables of docs/results.md on home sounds are those of the committed records."""

import re
from pathlib import Path

import numpy as np
import pytest

from benchmarks import home_sounds_table as table

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def found():
    return table.read(ROOT / table.RECORDS)


def test_the_page_is_what_the_records_say(found):
    text = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    assert table.BEGIN in text and table.filled(text, found) == text


def test_every_row_is_one_run_a_seed_of_five_folds(found):
    runs = [(row["row"], row["seed"]) for row in found]
    assert len(set(runs)) == len(runs) and {name for name, _ in runs} <= set(table.WORDS)
    for row in found:
        assert [one["fold"] for one in row["by_fold"]] == [1, 2, 3, 4, 5]
        assert row["auc"] == pytest.approx(np.mean([one["auc"] for one in row["by_fold"]]))
        assert (row["gap"] is None) == (row["selection"] == "oracle")
        assert row["test"]["n"] == 120


def test_no_home_is_judged_by_a_network_that_was_trained_on_it(found):
    """Folds of 3 or 4 of the 16 homes: 90 or 120 clips; profile reference permutes clips, so all have 96 or nearly."""
    for row in found:
        sizes = [one["n"] for one in row["by_fold"]]
        assert re.fullmatch("groups|permutation", row["fold_rule"])
        if row["fold_rule"] == "groups":
            assert set(sizes) == {90, 120} and sum(sizes) == 480
