"""AMAuT's pair of files: there and back, bit for bit."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from converters import amaut as converter
from converters.mapping import split
from dhauds_jax.nets import zoo

GOLDENS = Path(__file__).parents[1] / "goldens"


@pytest.fixture(scope="module")
def pair():
    parts = split(dict(np.load(GOLDENS / "amaut_arabic15.npz")))
    return parts["encoder"], parts["head"]


def assert_same(found, expected):
    assert set(found) == set(expected)
    for key, value in expected.items():
        assert (found[key].dtype, found[key].shape) == (value.dtype, value.shape), key
        assert found[key].tobytes() == value.tobytes(), key


def test_trained_pair_round_trips_bit_for_bit(pair):
    config = zoo.preset("amaut_arabic15")
    result = converter.from_torch(*pair, config)
    dead = [k for k in result.ignored if "ffn_norm" in k]
    assert len(dead) == 8
    assert zoo.parameter_count(result.variables) + sum(result.ignored[k].size for k in dead) == 1_526_238
    assert len(result.used) + len(result.ignored) == len(pair[0]) + len(pair[1])
    encoder, head = converter.to_pair(result.variables, config, result.ignored)
    assert_same(encoder, pair[0])
    assert_same(head, pair[1])


def test_fresh_values_stand_in_for_what_our_tree_lacks(pair):
    config = zoo.preset("amaut_arabic15")
    result = converter.from_torch(*pair, config)
    encoder, head = converter.to_pair(result.variables, config)
    assert set(encoder) == set(pair[0]) and set(head) == set(pair[1])
    np.testing.assert_array_equal(encoder["layers.3.ffn_norm.weight"], np.ones(192))
    np.testing.assert_array_equal(encoder["layers.3.ffn_norm.bias"], np.zeros(192))
    assert head["bn2.num_batches_tracked"] == 0


def test_applied_norms_are_converted_too(pair):
    config = zoo.preset("amaut_arabic15")
    applied = config.replace(geometry={**config.geometry, "mlp_norm": "applied"})
    result = converter.from_torch(*pair, applied)
    assert zoo.parameter_count(result.variables) == 1_526_238
    assert_same(converter.to_pair(result.variables, applied, result.ignored)[0], pair[0])


def test_other_sizes_are_refused_with_the_list(pair):
    config = zoo.preset("amaut_arabic15")
    deeper = config.replace(geometry={**config.geometry, "depth": 5}, classes=config.classes[:-1])
    with pytest.raises(ValueError) as caught:
        converter.from_torch(*pair, deeper, "aut-AR15.pt, clsf-AR15.pt")
    message = str(caught.value)
    start = "aut-AR15.pt, clsf-AR15.pt: 0 keys left over [], 14 missing ['encoder/layers.4.attention.k"
    assert message.startswith(start)
    assert "head/fc3.bias is (15,), expected (14,)" in message


@pytest.mark.slow
@pytest.mark.parametrize("head", [{"kind": "fce"}, {"kind": "hub_classifier", "stages": [1]}])
def test_other_heads_round_trip(head):
    config = zoo.preset("amaut_tiny", ("a", "b")).replace(head=head)
    net = zoo.build(config)
    variables = jax.device_get(net.init(jax.random.key(1), jnp.zeros((1, config.length))))
    states = converter.to_pair(variables, config)
    again = converter.from_torch(*states, config).variables
    jax.tree.map(np.testing.assert_array_equal, again, variables)
