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
from dhauds_jax.cells.scoring import by_domain, chosen_as_it_goes, scored
from dhauds_jax.cells.targets import Target
from dhauds_jax.tta import selection
from dhauds_jax.tta.streams import StreamBatch


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


def sure(labels, scale):
    """Logits of two classes that say these labels, the surer the larger the scale."""
    return scale * np.eye(2)[np.asarray(labels)]


def test_a_stream_chooses_batch_by_batch_by_what_has_gone_by():
    """Ten clips in batches of two: adapted predictions are surer for four batches, and all of one class in the last.

    Mutual information of the first two batches is higher adapted; with the last one, over the last clips that are
    looked at, the adapted ones still spread less, and the unadapted ones win.
    """
    labels = np.array([0, 1] * 5)
    before, after = sure(labels, 1.0), sure(labels, 3.0)
    after[4:] = sure(np.zeros(6, int), 9.0)
    batches = [np.arange(first, first + 2) for first in range(0, 10, 2)]
    gain = [selection.information(after[: 2 * k]) - selection.information(before[: 2 * k]) for k in range(1, 6)]
    wanted = np.repeat(np.array(gain) > 0, 2)
    assert list(wanted[::2]) == [True, True, True, True, True], "all clips so far still speak for it"
    assert list(selection.as_it_goes(before, after, batches, "information")) == list(wanted)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(selection, "LOOKED_AT", 4)
        taken = selection.as_it_goes(before, after, batches, "information")
    assert list(taken[::2]) == [True, True, True, False, False], "the last four clips do not"
    alone = selection.as_it_goes(before, after, batches, "information", alone=True)
    assert list(alone[::2]) == [False, True, True, True, True], "nothing is known before the first clips"
    assert not selection.as_it_goes(before, before, batches, "information").any(), "adaptation has to earn its place"


def test_what_a_stream_chose_is_measured_and_said():
    """Three batches of two: the last is adapted wrongly, and the look at the last two clips alone rejects it."""
    labels = np.array([0, 1, 0, 1, 0, 1])
    before, after = sure(1 - labels, 1.0), sure(labels, 3.0)
    after[4:] = sure([1, 1], 9.0)
    before[4:] = sure([0, 1], 1.0)
    target = Target(np.zeros((6, 4), np.float32), labels, "accuracy", (("WHN", "L2"),))
    stream = [StreamBatch(np.arange(i, i + 2), np.ones(2, np.float32), 0, i == 0) for i in (0, 2, 4)]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(selection, "LOOKED_AT", 2)
        found = chosen_as_it_goes(stream, target, before, after, "information", False)
    assert found == {"criterion": "information", "metric": 1.0, "adapted": pytest.approx(4 / 6)}
    assert chosen_as_it_goes(stream, target, before, after, "agreement", False)["criterion"] == "information"


def test_a_stream_of_several_domains_is_measured_domain_by_domain():
    """Three domains of four clips, of which the stream shows two of the first, all of the second, none of the third."""
    labels = np.array([0, 1, 0, 1] * 3)
    before, after = sure(labels, 1.0), sure(labels, 1.0)
    before[1], after[4:7] = sure([0], 1.0), sure([1, 0, 1], 1.0)
    domains = (("WHN", "L1"), ("WHN", "L2"), ("ENQ", "L2"))
    target = Target(np.zeros((12, 4), np.float32), labels, "accuracy", domains)
    stream = [StreamBatch(np.array(rows), np.ones(2, np.float32), 0, True) for rows in ([1, 0], [4, 5], [7, 6])]
    stream.append(StreamBatch(np.array([6, 11]), np.array([0.0, 0.0], np.float32), 0, False))  # filled up, unseen
    assert by_domain(stream, target, before, after, [0.9]) == [
        {"corruption": "WHN", "level": "L1", "n": 2, "non_adapted": 0.5, "metric": 1.0, "clean": 0.9},
        {"corruption": "WHN", "level": "L2", "n": 4, "non_adapted": 1.0, "metric": 0.25},
    ]
    assert by_domain(stream, target._replace(domains=domains[:1]), before, after, []) == []


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
