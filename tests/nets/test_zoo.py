"""Networks by name: what they return, and what is refused."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dhauds_jax import names, registry
from dhauds_jax.errors import BadInput
from dhauds_jax.nets import zoo
from dhauds_jax.nets.amaut import AMAuT
from dhauds_jax.nets.config import head_sizes
from dhauds_jax.nets.heads import build_head
from dhauds_jax.nets.normalisers import EVAL, TRAIN

CLASSES = ("a", "b", "c", "d")
MEL = ("sample_rate", "n_fft", "win_length", "hop", "n_mels", "f_min", "f_max", "scale")


@pytest.fixture(scope="module")
def tiny():
    net = zoo.build(zoo.preset("amaut_tiny", CLASSES))
    wave = jnp.asarray(np.random.default_rng(0).standard_normal((8, net.config.length)) * 0.1, jnp.float32)
    return net, net.init(jax.random.key(0), wave[:1]), wave


def test_names_and_unknown_names():
    assert {"amaut_sc2", "amaut_vs", "amaut_arabic15", "amaut_small", "amaut_tiny"} <= set(zoo.names())
    with pytest.raises(ValueError, match=r"unknown net 'amaut_sc': expected amaut_sc2, amaut_sc1 or "):
        zoo.preset("amaut_sc")
    with pytest.raises(ValueError, match="'amaut_small' has no classes of its own"):
        zoo.preset("amaut_small")
    assert len(zoo.preset("amaut_sc2").classes) == 35
    assert len(zoo.preset("amaut_rs").classes) == 37
    assert zoo.preset("amaut_small", CLASSES).geometry == zoo.preset("amaut_arabic15").geometry


@pytest.mark.slow
def test_tiny_is_tiny_and_tidy(tiny):
    net, variables, wave = tiny
    assert zoo.parameter_count(variables) < 40_000
    assert set(variables) == {"params", "batch_stats"}
    assert set(variables["params"]) == set(variables["batch_stats"]) == {"encoder", "head"}
    outputs, stats = jax.jit(lambda v, x: net.apply(v, x, mode=EVAL))(variables, wave)
    assert outputs.logits.shape == (8, 4)
    jax.tree.map(np.testing.assert_array_equal, stats, variables["batch_stats"])
    kernel, bias = net.head(variables)
    np.testing.assert_allclose(outputs.embedding @ kernel + bias[None], outputs.logits, atol=1e-5)
    features = net.features(wave)
    again, _ = jax.jit(lambda v, x: net.apply_features(v, x, mode=EVAL))(variables, features)
    np.testing.assert_allclose(again.logits, outputs.logits, atol=1e-5)


@pytest.mark.slow
def test_train_mode_over_an_axis_with_padding_is_that_of_one_device(tiny):
    net, variables, wave = tiny
    weights = jnp.array([1.0] * 6 + [0.0] * 2)
    rngs = {"dropout": jax.random.key(5)}
    features = net.features(wave)

    def run(x, w, axis_name=None):
        return net.apply_features(variables, x, mode=TRAIN, weights=w, rngs=rngs, axis_name=axis_name)

    outputs, stats = jax.jit(run)(features, weights)
    spread = jax.jit(jax.vmap(lambda x, w: run(x, w, "batch"), axis_name="batch"))
    outputs2, stats2 = spread(features.reshape(4, 2, *features.shape[1:]), weights.reshape(4, 2))
    np.testing.assert_allclose(outputs2.logits.reshape(8, 4)[:6], outputs.logits[:6], atol=2e-4)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a[0], b, atol=1e-5), stats2, stats)
    alone, stats3 = jax.jit(run)(features.at[6:].set(9.0), weights)
    np.testing.assert_allclose(alone.logits[:6], outputs.logits[:6], atol=2e-4)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), stats3, stats)


@pytest.mark.slow
def test_discarded_norm_has_no_influence_and_applied_has(tiny):
    net, variables, wave = tiny
    config = net.config.replace(geometry={**net.config.geometry, "mlp_norm": "applied"})
    applied = zoo.build(config)
    more = applied.init(jax.random.key(0), wave[:1])
    assert zoo.parameter_count(more) == zoo.parameter_count(variables) + 2 * 32
    assert zoo.published_parameter_count(net.config) == zoo.parameter_count(more)


def change(section, **values):
    config = zoo.preset("amaut_tiny", CLASSES)
    return config.replace(**{section: {**getattr(config, section), **values}})


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (change("geometry", mlp_norm="both"), "mlp_norm is 'both', expected one of"),
        (change("geometry", depht=3), r"foreign keys \['depht'\]"),
        (change("front_end", sample_rate=8000), "front_end.sample_rate is 8000 Hz, sample_rate 16000 Hz"),
        (change("front_end", colour="pink"), r"config front_end: .*foreign keys \['colour'\]"),
        (change("head", pair="ends"), r"config head: .*foreign keys \['pair'\]"),
        (zoo.preset("amaut_tiny", CLASSES).replace(family="lstm"), "unknown net family 'lstm': expected "),
        (
            zoo.preset("amaut_tiny", CLASSES).replace(front_end={"kind": "wave", "normalise": False}),
            "family 'amaut' has front end 'wave'",
        ),
    ],
)
def test_impossible_records_are_refused(config, message):
    with pytest.raises(ValueError, match=message):
        zoo.build(config)


def test_fce_head_reads_two_tokens():
    x = jnp.asarray(np.random.default_rng(1).standard_normal((3, 7, 16)), jnp.float32)
    for pair, chosen in (("ends", (0, -1)), ("first", (0, 1))):
        head = build_head({"kind": "fce", "pair": pair}, 5)
        variables = head.init(jax.random.key(0), x, mode=EVAL)
        logits, embedding = head.apply(variables, x, mode=EVAL)
        params = variables["params"]
        padded = np.pad(np.asarray(x[:, jnp.array(chosen)]), ((0, 0), (0, 0), (7, 7)))
        merged = [np.einsum("bck,kc->b", padded[:, :, i : i + 15], params["kernel"][:, :, 0]) for i in range(16)]
        merged = np.stack(merged, 1) + np.asarray(params["bias"])
        normed = (merged - merged.mean(1, keepdims=True)) / np.sqrt(merged.var(1, keepdims=True) + 1e-6)
        np.testing.assert_allclose(embedding, normed, atol=1e-4)
        kernel, bias = head.linear(params)
        np.testing.assert_allclose(logits, embedding @ kernel + bias[None], atol=1e-5)
    with pytest.raises(ValueError, match="pair is 'last'"):
        build_head({"kind": "fce", "pair": "last"}, 5)


def test_wave_front_end_normalises_on_demand():
    config = zoo.preset("amaut_tiny", CLASSES).replace(front_end={"kind": "wave", "normalise": True})
    wave = 3 + jnp.asarray(np.random.default_rng(2).standard_normal((2, 400)), jnp.float32)
    normal = zoo.front_end(config)(wave)
    np.testing.assert_allclose(normal.mean(1), 0, atol=1e-6)
    np.testing.assert_allclose(normal.var(1), 1, atol=1e-4)
    plain = zoo.front_end(config.replace(front_end={"kind": "wave", "normalise": False}))
    np.testing.assert_array_equal(plain(wave), wave)


def test_positions_and_tokens_start_small(tiny):
    _, variables, _ = tiny
    encoder = variables["params"]["encoder"]
    drawn = jnp.concatenate([encoder["positions"].ravel(), encoder["cls_token"], encoder["tail_token"]])
    assert 0.015 < float(drawn.std()) < 0.025
    assert isinstance(zoo.family("amaut").build_encoder(zoo.preset("amaut_tiny", CLASSES)), AMAuT)


def positions(config):
    shapes = zoo.shapes(zoo.build(config))["params"]["encoder"]
    return shapes["positions"].shape if "positions" in shapes else None


@pytest.mark.parametrize(
    ("net", "frames", "tokens"),
    [
        ("amaut_small", None, (28, 192)),
        ("ssast_tiny_patch_esc50", None, (2 + 12 * 19, 192)),
        ("conmix_small", None, None),
        ("hubert_tiny", None, None),
        ("tta_in_ac_resnet26_sc1", 128, None),
        ("tta_in_ac_cnn_sc1", None, None),
    ],
)
def test_every_family_takes_clips_of_another_length(net, frames, tokens):
    config = zoo.preset(net, CLASSES)
    longer = zoo.at_length(config, 2.0)
    assert longer.length == 2 * config.sample_rate and longer.net == net
    assert longer.front_end.get("frames") == frames and positions(longer) == tokens
    assert zoo.at_length(config, config.length / config.sample_rate) is config
    wave = jax.ShapeDtypeStruct((1, longer.length), jnp.float32)
    assert min(jax.eval_shape(zoo.build(longer).features, wave).shape) >= 1
    with pytest.raises(ValueError, match=r"expected|has 0"):
        zoo.at_length(config, 0.002)


@pytest.mark.parametrize(
    ("net", "seconds", "message"),
    [
        ("amaut_tiny", 0.02, "1 frame is left for a max pool of 6, expected at least 2"),
        ("hubert_base_vs", 0.025, "0 frames are left for a max pool of 6, expected at least 2"),
        ("hubert_base_vs_fce", 0.025, "1 token is left for the head 'fce', expected 2"),
    ],
)
def test_too_few_tokens_are_counted(net, seconds, message):
    """Before, a TypeError of shapes that cannot be broadcast."""
    with pytest.raises(BadInput) as caught:
        zoo.at_length(zoo.preset(net, CLASSES), seconds)
    assert str(caught.value) == message


@pytest.mark.parametrize(("seconds", "frames"), [(2, 101), (5, 126), (10, 201)])
def test_small_presets_for_longer_clips(seconds, frames):
    config = zoo.preset(f"amaut_small_{seconds}s", CLASSES)
    wave = jax.ShapeDtypeStruct((1, seconds * 16_000), jnp.float32)
    assert config.length == seconds * 16_000 and config.geometry == zoo.preset("amaut_small", CLASSES).geometry
    net = zoo.build(config)
    assert jax.eval_shape(net.features, wave).shape == (1, frames, 64)
    variables = jax.eval_shape(net.init, jax.random.key(0), wave)
    outputs, stats = jax.eval_shape(lambda v, x: net.apply(v, x, mode=EVAL), variables, wave)
    assert outputs.logits.shape == (1, 4) and outputs.embedding.shape == (1, 64)
    assert outputs.frames.shape == (1, *positions(config))
    assert stats == variables["batch_stats"]


def test_every_name_stands_for_what_it_should():
    """The tables of `dhauds_jax.names`: families that hold their own presets, heads and front ends."""
    counts = {name: len(zoo.family(name).presets) for name in names.FAMILIES}
    assert counts == {
        "amaut": 17,
        "conmix": 6,
        "hubert": 23,
        "resnet": 8,
        "cnn": 3,
        "spectrogram_transformer": 57,
        "clap": 4,
        "vggish": 2,
    }
    assert len(zoo.names()) == sum(counts.values())
    for name in names.FAMILIES:
        for preset in zoo.family(name).presets:
            assert zoo.preset(preset, CLASSES).family == name
    heads = {kind: head_sizes(registry.resolve(place)) for kind, place in names.HEADS.items()}
    assert {kind: list(sizes) for kind, sizes in heads.items()} == {
        "attention_pool": ["heads", "dropout", "mask"],
        "band_statistics": ["segments"],
        "audio_classifier": ["hidden", "features"],
        "bottleneck": ["features"],
        "fce": ["pair"],
        "hub_classifier": ["stages"],
        "joined": ["inner", "adapters", "heads", "mlp", "epsilon", "unit", "scale", "first", "initial"],
        "levels": ["inner", "levels", "scale"],
        "linear": ["softmax_output"],
        "projected_mean": ["features"],
        "projected_tokens": ["hidden", "features"],
        "prototypes": ["inner", "unit", "scale"],
        "random_projection": ["inner", "features", "unit", "scale"],
        "row_statistics": ["level"],
        "token_pool": ["pool", "prefix", "epsilon"],
    }
    assert {kind: registry.resolve(place).required for kind, place in names.FRONT_ENDS.items()} == {
        "clap_mel": ("scale", "norm", "quantise"),
        "kaldi_fbank": ("sample_rate", "n_mels", "frame_length", "hop", "frames", "mean", "std"),
        "log_mel": MEL,
        "mel_image": (*MEL, "image", "resize", "mean", "deviation"),
        "vggish": (),
        "wave": ("normalise",),
    }


def test_what_is_not_used_is_not_imported():
    """Names are known without jax; a preset imports the families up to its own, building it only that one."""
    code = (
        "import sys, dhauds_jax.nets as nets, dhauds_jax.nets.config, dhauds_jax.names;"
        "assert not any(k in sys.modules for k in ('jax', 'numpy', 'flax'));"
        "nets.zoo.build(nets.zoo.preset('amaut_tiny', ['a', 'b']));"
        "assert nets.checkpoint.CONFIG == 'config.json';"
        "assert not any('dhauds_jax.nets.' + k in sys.modules for k in ('hubert', 'resnet', 'conmix'))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=900)
