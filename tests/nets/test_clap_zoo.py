"""The record of a pair of towers, its presets, and the towers as pure functions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dhauds_jax.errors import BadInput
from dhauds_jax.nets import clap_zoo, zoo
from dhauds_jax.nets.audio_text_config import AudioTextConfig
from dhauds_jax.nets.clap_layout import LongRule
from dhauds_jax.nets.normalisers import EVAL
from tests.nets.clap_goldens import drawn, unit
from tests.paths import largest_error

TEST = clap_zoo.audio_text_preset("clap_test")


def test_record_there_and_back():
    for config in clap_zoo.PRESETS.values():
        assert AudioTextConfig.from_json(config.to_json()) == config
        assert config.to_dict()["kind"] == "audio_text"
        assert clap_zoo.PRESETS[config.net] is config
    assert len({hash(config) for config in clap_zoo.PRESETS.values()}) == len(clap_zoo.PRESETS)
    assert TEST.places() == ("clap_test", "clap_mel")
    kinds = {name: config.front_end["scale"] for name, config in clap_zoo.PRESETS.items()}
    assert kinds["clap_htsat_tiny"] == "slaney" and kinds["clap_htsat_tiny_fused"] == "htk"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"kind": "classifier"}, "no record of an audio-text model, expected an object with kind 'audio_text'"),
        ({"length": "long"}, "length is 'long', expected a whole number"),
        ({"text": 3}, "text is 3, expected an object"),
        ({"net": None}, "net is None, expected a name"),
        ({"classes": []}, r"foreign keys \['classes'\]"),
        ({"length": 0}, "length is 0, expected a positive number"),
        ({"projection": {"hidden": 16}}, r"config projection: missing keys \['width'\]"),
        ({"front_end": {"kind": "clap_mel", "norm": None, "scale": "htk"}}, r"kind 'clap_mel' lacks \['quantise'\]"),
        ({"audio": {**TEST.audio, "mels": 24}}, "spec 64 is no multiple of 24 mels"),
        ({"audio": {**TEST.audio, "mels": 32}}, "front_end.n_mels is 16, audio.mels 32"),
        ({"audio": {**TEST.audio, "window": 3}}, r"stage 0 has 16 / 1 tokens a side, expected a multiple of .* 3"),
        ({"audio": {**TEST.audio, "heads": [3, 2, 4, 4]}}, "stage 0: width 16 is no multiple of 3 heads"),
        ({"audio": {**TEST.audio, "depths": [1]}}, r"depths \[1\] and heads \[2, 2, 4, 4\]"),
        ({"audio": {**TEST.audio, "spec": {}}}, r"^config audio: spec is {}, expected a whole number from 1 on$"),
        ({"audio": {**TEST.audio, "heads": [2, "4", 4, 4]}}, "audio: heads is .*, expected whole numbers from 1 on"),
        ({"audio": {**TEST.audio, "fusion": 0}}, "audio: fusion is 0, expected null or a whole number from 1 on"),
        ({"text": {**TEST.text, "heads": [2]}}, r"config text: heads is \[2\], expected whole numbers from 1 on"),
        ({"text": {**TEST.text, "epsilon": "a"}}, "config text: epsilon is 'a', expected a small number"),
        ({"text": {**TEST.text, "heads": 3}}, "config text: width 16 is no multiple of 3 heads"),
    ],
)
def test_records_that_are_none(change, sentence):
    with pytest.raises(BadInput, match=sentence):
        AudioTextConfig.from_dict({**TEST.to_dict(), **change}, "here")


def test_unknown_names_and_text_that_is_no_json():
    with pytest.raises(BadInput, match="unknown audio-text net 'clap_htsat_tny': expected clap_htsat_tiny"):
        clap_zoo.audio_text_preset("clap_htsat_tny")
    with pytest.raises(BadInput, match="here: is not JSON"):
        AudioTextConfig.from_json("{", "here")
    with pytest.raises(BadInput, match=r"audio-text models have no options \['scan'\]"):
        clap_zoo.build_audio_text(TEST, scan=True)


@pytest.mark.parametrize(("ending", "audio"), [("", 27_534_488), ("_fused", 27_549_128)])
def test_parameters_of_published_sizes(ending, audio):
    """What transformers' modules count, encoders and the two projections of 768-512-512; nothing is computed."""
    shapes = clap_zoo.shapes(clap_zoo.build_audio_text(clap_zoo.audio_text_preset(f"clap_htsat_tiny{ending}")))
    found = {tower: zoo.parameter_count({"params": shapes["params"][tower]}) for tower in ("audio", "text")}
    assert found == {"audio": audio + 656_384, "text": 124_645_632 + 656_384}
    assert set(shapes["params"]) == {"audio", "text", "scale"} and set(shapes["batch_stats"]) == {"audio"}


def test_towers_as_functions():
    """From waves and token numbers to embeddings, from arrays as a checkpoint gives them."""
    model = clap_zoo.build_audio_text(TEST)
    variables = jax.tree.map(np.asarray, drawn(clap_zoo.shapes(model)))
    wave = jnp.sin(jnp.arange(2 * 48000.0).reshape(2, 48000) * jnp.array([[0.1], [0.05]]))
    features = jax.jit(model.features)(wave)
    assert features.shape == (2, 101, 16)
    embedded = jax.jit(model.audio)(variables, features[:, None], jnp.zeros(2, bool))
    read = jax.jit(model.text)(variables, jnp.array([[0, 5, 2], [0, 9, 2]]), jnp.ones((2, 3), bool))
    assert embedded.shape == read.shape == (2, 16)
    assert largest_error(embedded[0], embedded[1]) > 1e-3
    variables["params"]["scale"]["audio"] = np.float32(np.log(14.0))
    np.testing.assert_allclose(model.scale(variables), 14.0, rtol=1e-6)


@pytest.mark.slow
def test_the_encoder_of_a_classifier_is_the_audio_tower_s():
    model = clap_zoo.build_audio_text(TEST)
    variables = drawn(clap_zoo.shapes(model))
    features = 20 * jax.random.normal(jax.random.key(0), (2, 101, 16)) - 30
    embedded = jax.jit(model.audio)(variables, features[:, None], jnp.zeros(2, bool))
    config = zoo.preset("ssast_test", ("a", "b"))
    config = config.replace(geometry=TEST.audio, front_end=TEST.front_end, sample_rate=48000, length=48000)
    encoder = clap_zoo.build_encoder(config)
    own = {"params": variables["params"]["audio"], "batch_stats": variables["batch_stats"]["audio"]}
    own = {kind: tree["encoder"] for kind, tree in own.items()}
    projected = jax.tree.map(np.asarray, variables["params"]["audio"]["projection"])
    pooled = np.asarray(jax.jit(lambda x: encoder.apply(own, x, mode=EVAL))(features).mean(1))
    hidden = np.maximum(pooled @ projected["dense1"]["kernel"] + projected["dense1"]["bias"], 0)
    assert largest_error(hidden @ projected["dense2"]["kernel"] + projected["dense2"]["bias"], embedded) < 1e-5


@pytest.mark.slow
def test_first_variables():
    model = clap_zoo.build_audio_text(TEST)
    variables = model.init(jax.random.key(0))
    shapes = clap_zoo.shapes(model)
    assert jax.tree.map(jnp.shape, variables) == jax.tree.map(lambda leaf: leaf.shape, shapes)
    np.testing.assert_allclose(model.scale(variables), 1 / 0.07, rtol=1e-6)
    same = jax.tree.map(lambda a, b: bool((a == b).all()), variables, model.init(jax.random.key(0)))
    assert all(jax.tree.leaves(same))


@pytest.mark.slow
def test_a_long_recording_from_its_samples():
    """Laid out by the rule of fusion: the same alone and beside a short one, and other than its first second."""
    model = clap_zoo.build_audio_text(clap_zoo.audio_text_preset("clap_test_fused"))
    variables = drawn(clap_zoo.shapes(model))
    noise = (0.3 * np.random.default_rng(0).normal(size=150_000)).astype(np.float32).clip(-1, 1)
    noise *= np.linspace(0.1, 1, len(noise), dtype=np.float32)
    long, longer = model.layout(noise, LongRule("fusion_fixed"), "noise.wav")
    assert long.shape == (1, 4, 101, 16) and longer.tolist() == [True]
    wave, short = model.layout(noise[:30_000], LongRule("fusion_fixed"), "noise.wav")
    assert wave.shape == (1, 1, 48_000) and short.tolist() == [False]
    run = jax.jit(model.audio)

    def audio(*inputs):
        return unit(run(variables, *inputs))

    first = model.features(jnp.asarray(wave[:, 0]))[:, None]
    both = jnp.concatenate([jnp.asarray(long), jnp.repeat(first, 4, 1)])
    found = audio(both, jnp.array([True, False]))
    # Shapes differ, so sums have another order; the layer norms of silent patches then magnify the last digit.
    assert largest_error(audio(jnp.asarray(long), jnp.array([True])), found[:1]) < 1e-5
    assert largest_error(audio(first, jnp.array([False])), found[1:]) < 1e-5
    assert largest_error(audio(jnp.asarray(long[:, :1]), jnp.array([False])), found[:1]) > 1e-3
