"""The two-way weight map: exact there and back, and the full list of what does not fit."""

import numpy as np
import pytest

from converters.mapping import (
    COLUMN,
    CONV1D,
    LINEAR,
    Leaf,
    Transform,
    batch_norm,
    canonical,
    conv,
    dense,
    leaf,
    merge,
    permuted,
    reshaped,
    split,
    stack,
    to_flax,
    to_torch,
    weight_norm_dense,
)

RNG = np.random.default_rng(0)


def normal(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


LEAVES = [
    *dense("head/first", "fc1"),
    *conv("head/conv", "conv1"),
    *batch_norm("head/batch_norm", "bn"),
    *weight_norm_dense("head/classifier", "fc3"),
    stack("params/blocks/kernel", ["blocks.0.weight", "blocks.1.weight"], LINEAR),
    Leaf(
        (("params", "q"), ("params", "k")),
        ("qk",),
        Transform(lambda a: list(np.split(a[0], 2)), lambda a: [np.concatenate(a)]),
    ),
]


def state():
    return {
        "fc1.weight": normal(4, 3),
        "fc1.bias": normal(4),
        "conv1.weight": normal(5, 4, 7),
        "bn.weight": normal(5),
        "bn.bias": normal(5),
        "bn.running_mean": normal(5),
        "bn.running_var": normal(5),
        "bn.num_batches_tracked": np.asarray(7),
        "fc3.parametrizations.weight.original0": normal(2, 1),
        "fc3.parametrizations.weight.original1": normal(2, 5),
        "fc3.bias": normal(2),
        "blocks.0.weight": normal(4, 3),
        "blocks.1.weight": normal(4, 3),
        "qk": normal(6),
    }


IGNORE = (r".*num_batches_tracked",)


def test_round_trip_is_bit_exact():
    source = state()
    result = to_flax(source, LEAVES, IGNORE)
    assert result.variables["params"]["head"]["first"]["kernel"].shape == (3, 4)
    assert result.variables["params"]["blocks"]["kernel"].shape == (2, 3, 4)
    assert result.variables["params"]["q"].shape == (3,)
    assert set(result.ignored) == {"bn.num_batches_tracked"}
    assert len(result.used) == 13
    back = to_torch(result.variables, LEAVES, result.ignored)
    assert set(back) == set(source)
    for key, value in source.items():
        assert back[key].dtype == value.dtype and back[key].shape == value.shape
        assert back[key].tobytes() == value.tobytes()


def test_old_weight_norm_names_and_a_data_parallel_prefix_are_understood():
    source = state()
    old = {"module." + k: v for k, v in source.items() if "parametrizations" not in k}
    old["module.fc3.weight_g"] = source["fc3.parametrizations.weight.original0"]
    old["module.fc3.weight_v"] = source["fc3.parametrizations.weight.original1"]
    assert to_torch(to_flax(old, LEAVES, IGNORE).variables, LEAVES).keys() == source.keys() - {"bn.num_batches_tracked"}
    with pytest.raises(ValueError, match=r"'fc1.bias' and 'module.fc1.bias' are both 'fc1.bias'"):
        canonical({"fc1.bias": normal(4), "module.fc1.bias": normal(4)})


def test_half_precision_becomes_float32():
    source = {k: v.astype(np.float16) if v.dtype == np.float32 else v for k, v in state().items()}
    kernel = to_flax(source, LEAVES, IGNORE).variables["params"]["head"]["first"]["kernel"]
    assert kernel.dtype == np.float32


def test_every_problem_is_listed_at_once():
    source = state()
    shapes = to_flax(source, LEAVES, IGNORE).variables
    del source["fc1.bias"], source["bn.running_var"]
    source |= {"extra.weight": normal(1), "other": normal(1), "conv1.weight": normal(5, 4, 9)}
    source["fc3.parametrizations.weight.original0"] = normal(2)
    with pytest.raises(ValueError) as caught:
        to_flax(source, LEAVES, IGNORE, shapes, "some.pt")
    message = str(caught.value)
    assert message.startswith("some.pt: 2 keys left over ['extra.weight', 'other'], 2 missing ['bn.running_var'")
    assert "'fc1.bias'" in message
    assert "conv1.weight is (5, 4, 9), expected (5, 4, 7)" in message
    assert "original0 is (2,), expected (2, 1)" in message


def test_map_and_network_must_agree():
    shapes = to_flax(state(), LEAVES, IGNORE).variables
    shapes["params"]["new"] = normal(1)
    del shapes["params"]["q"]
    with pytest.raises(ValueError, match=r"no key gives params/new.*the network has no params/q"):
        to_flax(state(), LEAVES, IGNORE, shapes)


def test_reverse_names_leaves_that_do_not_fit():
    variables = to_flax(state(), LEAVES, IGNORE).variables
    variables["params"]["q2"] = variables["params"].pop("q")
    with pytest.raises(ValueError, match=r"leaves missing \['params/q'\], left over \['params/q2'\]"):
        to_torch(variables, LEAVES)


def test_merged_files_come_apart_again():
    parts = {"encoder": {"a.weight": normal(2)}, "head": {"module.a.weight_g": normal(3)}}
    whole = merge(**parts)
    assert set(whole) == {"encoder/a.weight", "head/a.parametrizations.weight.original0"}
    assert set(split(whole)) == {"encoder", "head"}


@pytest.mark.parametrize(
    ("transform", "shape"),
    [
        (LINEAR, (3, 4)),
        (CONV1D, (3, 4, 5)),
        (COLUMN, (6, 1)),
        (permuted(2, 0, 1), (2, 3, 4)),
        (reshaped((1, -1), (-1,)), (1, 4)),
    ],
)
def test_transforms_invert(transform, shape):
    array = normal(*shape)
    (there,) = transform.there([array])
    (back,) = transform.back([there])
    np.testing.assert_array_equal(back, array)
    assert leaf("params/a/b", "k", transform).paths == (("params", "a", "b"),)
