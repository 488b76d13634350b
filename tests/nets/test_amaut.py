"""AMAuT and its heads against numbers that the PyTorch modules gave (tests/goldens)."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from converters import amaut as converter
from converters.heads import IGNORE, head_leaves
from converters.mapping import split, to_flax
from dhauds_jax.nets import zoo
from dhauds_jax.nets.amaut import tokens
from dhauds_jax.nets.heads import build_head
from dhauds_jax.nets.normalisers import EVAL, TRAIN, batch
from dhauds_jax.types import Mode
from tests.goldens.golden_weights import golden_state_dict

GOLDENS = Path(__file__).parents[1] / "goldens"
TRAIN_NO_DROPOUT = Mode(dropout=False, norm=batch)

PUBLISHED = {
    "amaut_sc2": (103_072_070, 15),
    "amaut_sc1": (103_070_780, 15),
    "amaut_rs": (99_136_586, 26),
    "amaut_us8": (99_080_852, 39),
    "amaut_vs": (97_005_989, 67),
    "amaut_audiomnist": (99_126_548, 22),
    "amaut_cochlscene": (100_976_556, 94),
    "amaut_arabic15": (1_526_238, 15),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", PUBLISHED)
def test_parameter_count_and_tokens_are_the_published(name):
    config = zoo.preset(name)
    count, expected_tokens = PUBLISHED[name]
    assert zoo.published_parameter_count(config) == count
    features = jax.eval_shape(zoo.front_end(config), jax.ShapeDtypeStruct((1, config.length), jnp.float32))
    assert tokens(config, features.shape[1]) == expected_tokens


def test_applied_mlp_norm_has_its_parameters_in_the_tree():
    config = zoo.preset("amaut_arabic15")
    applied = config.replace(geometry={**config.geometry, "mlp_norm": "applied"})
    dead = zoo.parameter_count(zoo.shapes(zoo.build(config)))
    assert (dead, zoo.parameter_count(zoo.shapes(zoo.build(applied)))) == (1_526_238 - 2 * 192 * 4, 1_526_238)
    assert zoo.published_parameter_count(applied) == 1_526_238


def with_statistics(state, golden):
    return {key: golden.get(f"bn/{key}", value) for key, value in state.items()}


def relative(found, expected):
    return float(np.abs(np.asarray(found) - expected).max() / np.abs(expected).max())


@pytest.fixture(scope="module")
def base():
    golden = dict(np.load(GOLDENS / "amaut_base.npz"))
    encoder = golden_state_dict(GOLDENS / "amaut_base.spec.json")
    head = golden_state_dict(GOLDENS / "audio_classifier_768_35.spec.json")
    config = zoo.preset("amaut_sc2")
    config = config.replace(geometry={**config.geometry, "stages": [6, 8]})
    return golden, encoder, head, config


@pytest.mark.slow
def test_base_size_in_eval_mode(base):
    golden, encoder, head, config = base
    encoder, head = with_statistics(encoder, golden), with_statistics(head, golden)
    variables = converter.from_torch(encoder, head, config).variables
    net = zoo.build(config)
    features = jnp.asarray(golden["features"].transpose(0, 2, 1))
    outputs, stats = jax.jit(lambda v, x: net.apply_features(v, x, mode=EVAL))(variables, features)
    errors = {
        "tokens": relative(outputs.frames, golden["tokens"]),
        "cls_tail": relative(outputs.frames[:, jnp.array([0, -1])], golden["cls_tail"]),
        "embedding": relative(outputs.embedding, golden["embedding"]),
        "logits": relative(outputs.logits, golden["logits"]),
    }
    print(errors)
    assert max(errors.values()) < 1e-3
    jax.tree.map(np.testing.assert_array_equal, stats, variables["batch_stats"])
    kernel, bias = net.head(variables)
    np.testing.assert_allclose(outputs.embedding @ kernel + bias[None], outputs.logits, atol=1e-4)


@pytest.mark.slow
def test_base_size_in_train_mode_without_token_dropout(base):
    golden, encoder, head, config = base
    variables = converter.from_torch(encoder, head, config).variables
    net = zoo.build(config)
    features = jnp.asarray(golden["features"].transpose(0, 2, 1))
    outputs, stats = jax.jit(lambda v, x: net.apply_features(v, x, mode=TRAIN_NO_DROPOUT))(variables, features)
    first, last = stats["encoder"]["stem"]["batch_norm"], stats["head"]["batch_norm"]
    errors = {
        "train_logits_nodropout": relative(outputs.logits, golden["train_logits_nodropout"]),
        "bn_root_running_mean": relative(first["mean"], golden["bn_root_running_mean"]),
        "bn_root_running_var": relative(first["var"], golden["bn_root_running_var"]),
        "bn2_running_mean": relative(last["mean"], golden["bn2_running_mean"]),
        "bn2_running_var": relative(last["var"], golden["bn2_running_var"]),
    }
    print(errors)
    assert errors.pop("train_logits_nodropout") < 1e-3
    assert max(errors.values()) < 1e-4


@pytest.mark.slow
@pytest.mark.parametrize(("name", "stages", "classes"), [("2_10", [2], 10), ("22_6", [2, 2], 6)])
def test_hub_classifier(name, stages, classes):
    golden = dict(np.load(GOLDENS / f"hub_classifier_{name}.npz"))
    state = golden_state_dict(GOLDENS / f"hub_classifier_{name}.spec.json")
    record = {"kind": "hub_classifier", "stages": stages}
    leaves = head_leaves(record)
    module = build_head(record, classes)
    hidden = jnp.asarray(golden["hidden"])

    def run(state, mode):
        tree = to_flax(state, leaves, IGNORE).variables
        variables = {"params": tree["params"]["head"], "batch_stats": tree["batch_stats"]["head"]}
        return jax.jit(lambda v, x: module.apply(v, x, mode=mode, mutable=["batch_stats"]))(variables, hidden)

    (logits, embedding), _ = run(with_statistics(state, golden), EVAL)
    assert embedding.shape == (2, 384)
    eval_error = relative(logits, golden["logits"])
    (logits, _), _ = run(state, TRAIN)
    train_error = relative(logits, golden["train_logits"])
    print(eval_error, train_error)
    assert eval_error < 1e-4
    assert train_error < 1e-4
    parameters = sum(v.size for k, v in state.items() if "running" not in k and "num_batches" not in k)
    assert parameters == golden["params"]


@pytest.mark.slow
def test_trained_checkpoint_gives_pytorchs_logits():
    golden = np.load(GOLDENS / "tta_trajectory.npz")
    parts = split(dict(np.load(GOLDENS / "amaut_arabic15.npz")))
    net = zoo.build(zoo.preset("amaut_arabic15"))
    variables = converter.from_torch(parts["encoder"], parts["head"], net.config).variables
    features = jnp.asarray(golden["view1"].transpose(0, 2, 1))
    outputs, _ = jax.jit(lambda v, x: net.apply_features(v, x, mode=EVAL))(variables, features)
    np.testing.assert_allclose(outputs.logits, golden["logits"][0], atol=1e-4)
