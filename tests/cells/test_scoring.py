"""Points of the curve: what a criterion of the user's own may give, and which epochs are chosen by them."""

import json
import sys
import types
from pathlib import Path

import numpy as np
import pytest

from dhauds_jax.cells import running
from dhauds_jax.cells.cell import Cell
from dhauds_jax.cells.loops import Trajectory
from dhauds_jax.cells.scoring import scored
from dhauds_jax.cells.targets import Target
from dhauds_jax.tta import selection


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_criterion_that_is_not_finite_is_none_and_never_chosen(monkeypatch, value):
    """Before, the record of a whole adaptation could not be written."""
    mine = types.SimpleNamespace(criterion=lambda logits: value if logits[0, 0] > 1 else logits[0, 0])
    monkeypatch.setitem(sys.modules, "my_criteria", mine)
    labels = np.array([0, 1])
    curve = [
        scored(index, scale * np.eye(2), labels, "accuracy", {}, "my_criteria:criterion")
        for index, scale in enumerate((0.25, 0.5, 4.0))
    ]
    found = [point["criteria"]["my_criteria:criterion"] for point in curve]
    assert found == [0.25, 0.5, None]
    assert json.loads(json.dumps(curve, allow_nan=False))[2]["criteria"]["my_criteria:criterion"] is None
    assert selection.choose(found) == 1
    assert selection.choose([None, None]) == 0


def test_the_oracle_is_chosen_on_the_draw_that_is_adapted_to_and_can_lie_below_the_selected_epoch():
    """As docs/methods.md says where it explains the choices of epoch; of equally good epochs the last one is taken."""
    cell = Cell("d", "WHN", "L1", "n", "tent", "offline", "reference", 0, (), 2, 8, "information")
    points = zip((0.5, 0.8, 0.8), (0.50, 0.75, 0.70), (0.0, 2.0, 1.0), strict=True)
    curve = [
        {
            "metric": adapted,
            "criteria": {"information": criterion},
            "evaluation": {"metric": reported, "ece": 0.0, "nll": 0.0, "collapsed": False},
        }
        for adapted, reported, criterion in points
    ]
    logits, labels = np.eye(2)[[0, 1]], np.array([0, 1])
    target = Target(np.zeros((2, 4), np.float32), labels, "accuracy", evaluation=np.zeros((2, 4), np.float32))
    found = running._chosen(cell, target, logits, Trajectory(curve, [], 0.0, None, {}, {}))
    assert found["selection"] == {"criterion": "information", "epoch": 1, "oracle_epoch": 2}
    assert (found["adapted_selected"], found["adapted_oracle"], found["adapted_last"]) == (0.75, 0.70, 0.70)
    page = (Path(__file__).resolve().parents[2] / "docs" / "methods.md").read_text(encoding="utf-8")
    assert "so `adapted_oracle` can lie below `adapted_selected`" in page
