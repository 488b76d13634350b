"""An audio-text model as a classifier: its logits are scaled cosines with the anchors, less the background's share."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dhauds_jax.nets import zoo
from dhauds_jax.nets.clap_classifier import as_classifier
from dhauds_jax.nets.clap_zoo import audio_text_preset, build_audio_text
from dhauds_jax.nets.normalisers import EVAL


@pytest.mark.parametrize("name", [pytest.param("clap_test", marks=pytest.mark.slow), "clap_test_fused"])
def test_logits_are_scaled_cosines_less_the_background(name):
    config = audio_text_preset(name)
    towers = build_audio_text(config)
    variables = towers.init(jax.random.key(0))
    wave = jnp.asarray(0.1 * np.random.default_rng(0).standard_normal((2, config.length)), jnp.float32)
    rng = np.random.default_rng(1)
    anchors = rng.standard_normal((3, config.projection["width"]))
    anchors /= np.linalg.norm(anchors, axis=1, keepdims=True)
    background, tau = rng.standard_normal(config.projection["width"]), 0.5
    background /= np.linalg.norm(background)
    scale = float(towers.scale(variables))
    assert scale == pytest.approx(1 / 0.07, rel=1e-6)

    embedded = np.asarray(towers.audio(variables, towers.features(wave)[:, None], jnp.zeros(2, bool)), np.float64)
    embedded /= np.linalg.norm(embedded, axis=1, keepdims=True)
    profile = background @ anchors.T
    classifier, own = as_classifier(config, variables, anchors.T, -scale * tau * profile, ("a", "b", "c"))
    outputs, _ = classifier.apply(own, wave, mode=EVAL)
    np.testing.assert_allclose(outputs.embedding, embedded, atol=2e-6)
    wanted = scale * (embedded @ anchors.T - tau * profile)
    np.testing.assert_allclose(outputs.logits, wanted, atol=5e-5)
    np.testing.assert_allclose(wanted, scale * (embedded - tau * background) @ anchors.T, atol=1e-9)  # the same move
    shapes = jax.tree.map(jnp.shape, zoo.shapes(classifier))
    assert jax.tree.map(jnp.shape, own) == shapes
    assert classifier.config.classes == ("a", "b", "c") and classifier.config.geometry["fusion"] is None


def test_a_model_without_sounds_is_refused():
    config = audio_text_preset("clap_test")
    with pytest.raises(ValueError, match="has no audio tower"):
        as_classifier(config, {"params": {"text": {}}}, np.eye(16, 2), np.zeros(2), "ab")


def test_an_audio_tower_can_be_trained_by_its_name():
    config = zoo.preset("clap_test", ("a", "b"))
    assert (config.family, config.length, config.sample_rate) == ("clap", 48000, 48000)
    with pytest.raises(ValueError, match="has no classes of its own"):
        zoo.preset("clap_test")
