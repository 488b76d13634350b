"""Groups of parameters by path."""

import numpy as np
import pytest

from dhauds_jax.tta import masks

PARAMS = {
    "encoder": {
        "front_end": {"conv": {"kernel": np.zeros(2)}},
        "block": {"layer_norm": {"scale": np.zeros(3)}, "batch_norm1": {"bias": np.zeros(5)}},
    },
    "head": {"batch_norm": {"scale": np.zeros(7)}, "classify": {"v": np.zeros(11)}},
}
SIZES = {
    "none": 0,
    "batch_norm": 12,
    "norm": 15,
    "head": 18,
    "encoder": 10,
    "front_end_frozen": 26,
    "all": 28,
}


@pytest.mark.parametrize("group", masks.GROUPS)
def test_groups_hold_the_leaves_their_names_say(group):
    assert masks.count(PARAMS, group) == SIZES[group]


@pytest.mark.parametrize("group", masks.GROUPS)
def test_split_and_merge_are_inverse(group):
    moving, frozen = masks.split(PARAMS, group)
    assert masks.merge(moving, frozen) == PARAMS


def test_unknown_group_lists_the_valid_ones():
    with pytest.raises(ValueError, match="unknown group of parameters 'heads': expected one of none, batch_norm"):
        masks.split(PARAMS, "heads")
