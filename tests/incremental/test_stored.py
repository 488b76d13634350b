"""A learner in a checkpoint's extra, there and back."""

import json

import numpy as np
import pytest

from dhauds_jax.errors import BadInput
from dhauds_jax.incremental import learners, precision, rooms, stored
from dhauds_jax.nets import checkpoint
from tests.incremental.points import begun, logits, taught


def made(name, options):
    return precision.compiled(learners.make(name, None, options))


def entry():
    learned = rooms.without(taught(taught(begun(), "abc"), "d"), "b")
    arrays, rest = checkpoint._split(stored.to_extra(learned, "00ff"))
    return learned, checkpoint._join(arrays, json.loads(json.dumps(rest)))


def test_it_goes_on_as_if_it_had_never_been_put_away():
    learned, kept = entry()
    again = stored.from_extra(kept, made, {})
    assert (again.name, again.head, again.classes, again.clips) == (
        "prototype",
        "prototype",
        learned.classes,
        learned.clips,
    )
    assert again.info == learned.info and kept["backbone"] == "00ff"
    np.testing.assert_array_equal(logits(again), logits(learned))
    np.testing.assert_array_equal(logits(taught(again, "e")), logits(taught(learned, "e")))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 9}, "is of format 9, expected at most 1"),
        ({"rows": {}}, "the checkpoint's learner is damaged \\(KeyError: 'inputs'\\)"),
        ({"state": {}}, "the checkpoint's learner is damaged"),
        ({"name": "no_such"}, "unknown learner 'no_such'"),
        ({"state": {f"{k:04d}": np.zeros(3) for k in range(4)}}, "damaged \\(TypeError: float64 \\(3,\\) in place of"),
    ],
)
def test_a_damaged_one_is_refused(change, message):
    with pytest.raises(BadInput, match=message):
        stored.from_extra({**entry()[1], **change}, made, {})
