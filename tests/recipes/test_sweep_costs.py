"""benchmarks/sweep_costs.py: predictions from the other rows alone, rows without a record left out."""

import json

import pytest

from benchmarks import sweep_costs
from dhauds_jax.recipes import cost
from dhauds_jax.recipes.table import read


def test_a_row_is_predicted_by_the_others():
    rows = sweep_costs.checked([("a", 100.0, 10.0), ("b", 200.0, 20.0), ("c", 300.0, 60.0)])
    assert [row.predicted for row in rows] == [100 / 7.5, 200 / 7.5, 30.0]
    assert rows[2].ratio == 2.0 and sweep_costs.lines(rows)[-1] == "3 rows: median 0.75, from 0.75 to 2.00"
    with pytest.raises(ValueError, match="2 rows with a record and a count, expected at least 3"):
        sweep_costs.checked([("a", 1.0, 1.0)] * 2)


def test_rows_are_those_with_a_record(tmp_path, monkeypatch):
    costs = {1: 0.5, 2: None, 3: 0.25}
    monkeypatch.setattr(cost, "costs_of", lambda rows: iter([cost.Cost("", 1, 1, 0.0, 0.0, costs[rows[0].number])]))
    found = [{"recipe": {"row": number}, "seconds": 2.0 * number} for number in costs]
    monkeypatch.setattr(sweep_costs.records, "read", lambda folder: [*found, {"seconds": 1.0}])
    rows = read("synthetic").rows
    assert sweep_costs.measured("synthetic", tmp_path) == [
        (f"1 {rows[0].name}", 500_000.0, 2.0),
        (f"3 {rows[2].name}", 250_000.0, 6.0),
    ]
    monkeypatch.setattr(sweep_costs, "measured", lambda *given: [("a", 1.0, 1.0)] * 3)
    sweep_costs.main(["--recipes=synthetic", f"--workdir={tmp_path}", f"--json={tmp_path / 'rows.jsonl'}"])
    assert json.loads((tmp_path / "rows.jsonl").read_text().splitlines()[0])["ratio"] == 1.0
