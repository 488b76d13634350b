"""What a record says of a run's cost: passes by hand, under a window too."""

import pytest

from dhauds_jax.cells import running
from dhauds_jax.cells.cell import Cell
from dhauds_jax.tta import methods, wrappers
from tests.tta import linear


def passes(name, options, window, batch_norm=True, protocol="batch1"):
    given = (("window", window),) if window else ()
    cell = Cell("synthetic", "WHN", "L2", "net", name, protocol, "reference", 0, (), 1, 8, "information")
    cell = cell._replace(protocol_options=given)
    method = methods.make(name, linear.classifier(), options)
    found = running._passes(wrappers.with_reset(method, "every:3"), cell, 1, batch_norm)
    return found["forward"], found["backward"]


@pytest.mark.parametrize(
    ("name", "options", "plain", "of_a_clip"),
    [
        ("tent", {}, (1, 1), (1 + 1, 0)),
        ("ttaug", {"augmentations": 8}, (9, 0), (1 + 9, 0)),
        ("rmt", {}, (4, 3), (2 + 2, 0)),
        ("suta", {"iterations": 3, "augmentations": 2}, (7, 6), (1 + 7, 6)),
        ("suta", {"iterations": 3, "augmentations": 2, "over": "batch", "reset": False}, (7, 6), (1 + 1, 0)),
        ("dsuta", {"iterations": 3, "augmentations": 1}, (7, 4), (1 + 4, 3)),
        ("auto", {"candidates": "tent+rmt"}, (1 + 1 + 4, 1 + 3), (2 + 2, 0)),
        ("auto", {"candidates": "tent+norm"}, (1 + 1 + 1, 1), (1 + 1, 0)),
    ],
)
def test_passes_of_a_window_are_those_of_its_clips_predictions(name, options, plain, of_a_clip):
    assert passes(name, options, 0) == plain
    assert passes(name, options, 5) == (plain[0] + 5 * of_a_clip[0], plain[1] + 5 * of_a_clip[1])


def test_without_batch_norm_a_window_has_no_pass_for_its_statistics():
    assert passes("ttaug", {"augmentations": 8}, 5, batch_norm=False) == (9 + 5 * 9, 0)
