"""Points of the curve: what a criterion of the user's own may give."""

import json
import sys
import types

import numpy as np
import pytest

from dhauds_jax.cells.scoring import scored
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
