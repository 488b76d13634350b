"""Networks from a user's own module take the road of ours: preset, build, train mode, checkpoint, and the same care."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dhauds_jax.errors import BadInput
from dhauds_jax.nets import checkpoint, zoo
from dhauds_jax.nets.config import ClassifierConfig
from dhauds_jax.nets.normalisers import EVAL
from tests.nets import foreign

NAME = "tests.nets.foreign:tiny"


def by_hand(variables, wave):
    """Logits and embedding in numpy."""
    params = jax.tree.map(np.asarray, variables["params"])
    frames = np.log(np.square(wave).reshape(len(wave), 10, 40) + 1e-6)
    tokens = np.maximum(frames @ params["encoder"]["embed"]["kernel"] + params["encoder"]["embed"]["bias"], 0)
    embedding = 0.5 * tokens.max(1)
    return embedding @ params["head"]["classifier"]["kernel"] + params["head"]["classifier"]["bias"], embedding


def test_a_users_own_network_is_built_saved_loaded_and_run(tmp_path):
    config = zoo.preset(NAME, ["a", "b", "c"])
    assert (config.net, config.family, config.classes) == (NAME, "tests.nets.foreign:FAMILY", ("a", "b", "c"))
    assert zoo.preset(NAME).classes == ("no", "yes") and NAME not in zoo.names()
    net = zoo.build(config)
    wave = np.random.default_rng(0).standard_normal((4, 400)).astype(np.float32)
    variables = net.init(jax.random.key(0), jnp.asarray(wave))
    assert zoo.parameter_count(variables) == zoo.published_parameter_count(config) == 40 * 8 + 8 + 8 * 3 + 3
    checkpoint.save(tmp_path / "mine", variables, config)
    loaded, again, _ = checkpoint.load(tmp_path / "mine")
    assert again == config and checkpoint.variables_hash(loaded) == checkpoint.variables_hash(variables)
    outputs, _ = jax.jit(lambda v, w: zoo.build(again).apply(v, w, mode=EVAL))(loaded, wave)
    logits, embedding = by_hand(variables, wave)
    np.testing.assert_allclose(outputs.logits, logits, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(outputs.embedding, embedding, rtol=1e-5, atol=1e-5)
    kernel, bias = net.head(variables)
    np.testing.assert_allclose(outputs.embedding @ kernel + bias[None], outputs.logits, atol=1e-5)
    assert zoo.build(config, dtype=jnp.bfloat16).config == config


def test_a_head_of_ones_own_has_its_sizes_by_its_fields():
    config = zoo.preset(NAME)
    with pytest.raises(BadInput, match=r"config: head of kind 'tests.nets.foreign:MaxPool' lacks \['scale'\]"):
        config.replace(head={"kind": "tests.nets.foreign:MaxPool"})
    with pytest.raises(BadInput, match=r"config: front_end of kind 'tests.nets.foreign:LOG_ENERGY' lacks \['window'\]"):
        config.replace(front_end={"kind": foreign.ENERGY})
    zoo.build(config.replace(head={**config.head, "centred": True}))
    with pytest.raises(BadInput, match=r"config head: missing keys \[\], foreign keys \['pool'\]"):
        zoo.build(config.replace(head={**config.head, "pool": "cls"}))


def test_a_length_that_the_layers_of_ones_own_network_do_not_take_is_one_sentence():
    """Before, whatever its layers raised: 500 samples are no whole windows of 40."""
    config = zoo.preset(NAME)
    assert zoo.at_length(config, 0.03).length == 480
    with pytest.raises(
        BadInput, match=r"^its layers do not go together there \(.*\), expected another length$"
    ) as caught:
        zoo.at_length(config, 500 / 16_000)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("tests.nets.foreign:tyni", "net 'tests.nets.foreign:tyni': module tests.nets.foreign has no 'tyni', .*tiny"),
        ("tests.nets.forein:tiny", "there is no module 'tests.nets.forein'"),
        ("tests.nets.foreign:text", "net 'tests.nets.foreign:text': gives a str, expected a function of class names"),
        ("tests.nets.foreign:NUMBER", "gives an int, expected a function"),
        ("amaut_sc3", r"unknown net 'amaut_sc3': expected amaut_sc2, amaut_sc1 .* names: --list\)$"),
    ],
)
def test_what_is_no_network_is_said(name, message):
    with pytest.raises(BadInput, match=message):
        zoo.preset(name, ["a", "b"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"family": "tests.nets.foreign:NUMBER"}, "net family 'tests.nets.foreign:NUMBER' is an int, expected a dhau"),
        ({"head": {"kind": "tests.nets.foreign:NUMBER"}}, "head.kind 'tests.nets.foreign:NUMBER' is an int, expected"),
        ({"front_end": {"kind": "tests.nets.foreign:NUMBER"}}, "front_end.kind 'tests.nets.foreign:NUMBER' is an int"),
        ({"front_end": {"kind": "log_mal"}}, "unknown front_end kind 'log_mal': expected "),
    ],
)
def test_what_is_no_family_head_or_front_end_is_said(changes, message):
    record = {**zoo.preset(NAME).to_dict(), **changes}
    with pytest.raises(BadInput, match=message):
        zoo.build(ClassifierConfig.from_dict(record))


def test_a_file_whose_users_code_is_gone_is_named(tmp_path):
    config = zoo.preset(NAME)
    variables = zoo.build(config).init(jax.random.key(0), jnp.zeros((1, 400)))
    checkpoint.save(tmp_path / "mine", variables, config)
    path = tmp_path / "mine" / "config.json"
    path.write_text(path.read_text().replace("tests.nets.foreign:FAMILY", "gone_away:FAMILY"))
    with pytest.raises(BadInput, match="net family 'gone_away:FAMILY': there is no module 'gone_away'"):
        checkpoint.load(tmp_path / "mine")
