"""VGGish's presets: published sizes, what a short clip gives, and what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dhauds_jax.nets import zoo
from dhauds_jax.nets.config import reading
from dhauds_jax.nets.normalisers import EVAL

CLASSES = tuple("abcdefghijklmno")


@pytest.mark.parametrize(
    ("name", "encoder", "whole"), [("vggish", 72_141_184, 72_209_167), ("vggish_small", 897_248, 965_231)]
)
def test_sizes(name, encoder, whole):
    config = zoo.preset(name, CLASSES)
    net = zoo.build(config)
    shapes = zoo.shapes(net)
    assert zoo.parameter_count({"params": shapes["params"]["encoder"]}) == encoder
    assert zoo.parameter_count(shapes) == whole
    wave = jax.ShapeDtypeStruct((2, config.length), jnp.float32)
    assert config.length == 80_000 and jax.eval_shape(net.features, wave).shape == (2, 5, 96, 64)
    assert reading(config.front_end) == {"layout": "start", "resampler": "kaiser_best"}
    assert ("batch_norm1" in shapes["params"]["encoder"]) == (name == "vggish_small")


def test_clips_of_other_lengths():
    config = zoo.at_length(zoo.preset("vggish_small", CLASSES), 0.5)
    net = zoo.build(config)
    assert jax.eval_shape(net.features, jax.ShapeDtypeStruct((1, 8_000), jnp.float32)).shape == (1, 1, 96, 64)
    assert zoo.shapes(net) == zoo.shapes(zoo.build(zoo.preset("vggish_small", CLASSES)))


@pytest.mark.slow
def test_silence_behind_a_clip_changes_no_answer():
    net = zoo.build(changed("geometry", widths=[2, 2, 4, 4], dense=[8]))
    wave = np.zeros((2, 80_000), np.float32)
    wave[:, :31_000] = 0.1 * np.random.default_rng(0).standard_normal((2, 31_000))
    wave = jnp.asarray(wave)
    variables = net.init(jax.random.key(0), wave)
    run = jax.jit(lambda wave: net.apply(variables, wave, mode=EVAL)[0])
    whole, cut = run(wave), run(wave[:, :46_320])
    assert whole.frames.shape[1] == 5 and cut.frames.shape[1] == 3
    np.testing.assert_allclose(whole.logits, cut.logits, atol=1e-5)


def changed(section, **values):
    config = zoo.preset("vggish_small", CLASSES)
    return config.replace(**{section: {**getattr(config, section), **values}})


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (changed("geometry", widths=[4] * 6, convs=[1] * 6), "6 widths, expected 1 to 5"),
        (changed("geometry", convs=[1, 1]), r"convs is \[1, 1\] and dense \[192, 128\], expected a number from 1 on"),
        (changed("geometry", pca=True), r"foreign keys \['pca'\]"),
        (changed("front_end", n_mels=32), r"config front_end: .*foreign keys \['n_mels'\]"),
        (
            zoo.preset("vggish_small", CLASSES).replace(sample_rate=8000),
            "front end 'vggish' at sample_rate 8000 Hz, expected 16000 Hz",
        ),
        (
            zoo.preset("vggish_small", CLASSES).replace(front_end={"kind": "wave", "normalise": False}),
            "family 'vggish' has front end 'wave', expected 'vggish'",
        ),
    ],
)
def test_impossible_records_are_refused(config, message):
    with pytest.raises(ValueError, match=message):
        zoo.build(config)
