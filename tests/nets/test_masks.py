"""Groups of parameters by path."""

import numpy as np
import optax
import pytest
from flax import traverse_util

from dhauds_jax.errors import BadInput
from dhauds_jax.nets import masks, zoo
from dhauds_jax.tta.update import first_state

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
    "aux_path": 0,
    "front_end_frozen": 26,
    "weights_and_biases": 17,
    "all": 28,
}


@pytest.mark.parametrize("group", masks.GROUPS)
def test_groups_hold_the_leaves_their_names_say(group):
    assert masks.count(PARAMS, group) == SIZES[group]


@pytest.mark.parametrize("group", masks.GROUPS)
def test_split_and_merge_are_inverse(group):
    moving, frozen = masks.split(PARAMS, group)
    assert masks.merge(moving, frozen) == PARAMS


def test_the_path_of_an_auxiliary_head_is_the_head_and_what_it_shares():
    shared = {"extractor": {"conv": np.zeros(2)}, "last_group": {"conv": np.zeros(3)}}
    params = {"encoder": shared, "aux": {"kernel": np.zeros(5)}, "head": {"kernel": np.zeros(7)}}
    moving, _ = masks.split(params, "aux_path")
    assert moving == {"encoder": {"extractor": shared["extractor"]}, "aux": params["aux"]}
    assert masks.count(params, "aux_path") == 7


def test_unknown_group_lists_the_valid_ones():
    with pytest.raises(ValueError, match="unknown group of parameters 'heads': expected one of none, batch_norm"):
        masks.split(PARAMS, "heads")


@pytest.mark.parametrize("net", ["amaut_tiny", "hubert_tiny"])
def test_groups_of_real_networks(net):
    params = zoo.shapes(zoo.build(zoo.preset(net, ["a", "b"])))["params"]
    paths = {group: set(traverse_util.flatten_dict(masks.split(params, group)[0])) for group in masks.GROUPS}
    assert paths["all"] == paths["encoder"] | paths["head"]
    assert not paths["encoder"] & paths["head"]
    assert paths["batch_norm"] < paths["norm"] < paths["all"]
    assert {path[-1] for path in paths["norm"]} == {"scale", "bias"}
    frozen = paths["all"] - paths["front_end_frozen"]
    assert all(path[:2] == ("encoder", "front_end") for path in frozen)
    assert bool(frozen) == (net == "hubert_tiny")


def test_a_rule_of_a_methods_own_is_a_group_too():
    def biases(path):
        return path[-1] == "bias"

    moving, frozen = masks.split(PARAMS, biases)
    assert masks.count(PARAMS, biases) == 5 and masks.merge(moving, frozen) == PARAMS
    assert (masks.name_of("norm"), masks.name_of(biases)) == ("norm", "biases")
    with pytest.raises(BadInput, match=r"method mine adapts what <lambda> picks, and it picks nothing of this net"):
        first_state("mine", {"params": PARAMS}, optax.sgd(1.0), lambda path: path[0] == "nowhere")
