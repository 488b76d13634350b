"""Pretraining's network: what a mask does, and the way from its weights to a classifier's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dhauds_jax.nets import checkpoint, ssast_pretrain, zoo
from dhauds_jax.nets.normalisers import EVAL
from dhauds_jax.nets.spectrogram_transfer import for_clips
from dhauds_jax.nets.spectrogram_zoo import config_grid

CONFIG = zoo.preset("ssast_test", ("a", "b", "c"))
BEFORE = ssast_pretrain.pretraining_config(CONFIG)


@pytest.fixture(scope="module")
def pretrained():
    net = ssast_pretrain.build(BEFORE)
    return net, ssast_pretrain.init(net, BEFORE, jax.random.key(0))


def test_grids_and_tree(pretrained):
    _, variables = pretrained
    assert config_grid(CONFIG) == (5, 3) and config_grid(BEFORE) == (4, 2)
    assert BEFORE.front_end["frames"] == 16 and BEFORE.net == "ssast_test_pretrain"
    assert ssast_pretrain.pretraining_config(BEFORE) == BEFORE
    assert set(variables["params"]) == {"encoder", *ssast_pretrain.EXTRA}
    shapes = jax.tree.map(jnp.shape, variables["params"]["encoder"])
    expected = jax.tree.map(jnp.shape, zoo.shapes(zoo.build(CONFIG))["params"]["encoder"])
    assert shapes.pop("positions") == (10, 16) and expected.pop("positions") == (17, 16)
    assert shapes == expected
    with pytest.raises(ValueError, match=r"stride is \[6, 6\], patch \[8, 8\], expected equal ones"):
        ssast_pretrain.build(CONFIG)


def test_masked_patches_have_no_influence(pretrained):
    net, variables = pretrained
    rng = np.random.default_rng(0)
    features = rng.standard_normal((2, 16, 32)).astype(np.float32)
    mask = np.zeros((2, 8), bool)
    mask[0, 3] = mask[1, 0] = True  # row 1, column 1 of the first clip; row 0, column 0 of the second
    run = jax.jit(net.apply)
    found = run(variables, features, mask)
    assert found.contrast.shape == found.generate.shape == found.patches.shape == (2, 8, 64)
    other = features.copy()
    other[0, 8:16, 8:16] = 9.0
    other[1, :8, :8] = -9.0
    again = run(variables, other, mask)
    np.testing.assert_allclose(again.tokens, found.tokens, atol=1e-6)
    np.testing.assert_array_equal(again.patches[0, 3], 9.0)
    # A patch's values: frequency first, as PyTorch unfolds the (mels, frames) image.
    np.testing.assert_array_equal(found.patches[0, 3], features[0, 8:16, 8:16].T.ravel())
    seen = run(variables, other, np.zeros((2, 8), bool))
    assert np.abs(seen.tokens - found.tokens).max() > 1e-2


@pytest.mark.slow
def test_unmasked_tokens_are_the_classifiers(pretrained):
    net, variables = pretrained
    features = jnp.asarray(np.random.default_rng(1).standard_normal((2, 16, 32)), jnp.float32)
    tokens = net.apply(variables, features, jnp.zeros((2, 8), bool)).tokens
    classifier = zoo.build(BEFORE)
    weights = for_clips(variables, BEFORE, BEFORE, jax.random.key(1))
    outputs, _ = classifier.apply_features(weights, features, mode=EVAL)
    np.testing.assert_allclose(outputs.frames[:, 2:], tokens, atol=1e-5)
    kernel, bias = classifier.head(weights)
    np.testing.assert_allclose(outputs.embedding @ kernel + bias[None], outputs.logits, atol=1e-5)


def test_checkpoint_there_and_back_and_on_to_a_classifier(pretrained, tmp_path):
    _, variables = pretrained
    classifier, extra = ssast_pretrain.to_checkpoint(variables, BEFORE, jax.random.key(1))
    folder = checkpoint.save(tmp_path / "pretrained", classifier, BEFORE, extra)
    loaded, config, extra = checkpoint.load(folder)
    again = ssast_pretrain.from_checkpoint(loaded, extra)
    jax.tree.map(np.testing.assert_array_equal, again, dict(variables))
    tuned = for_clips(loaded, config, CONFIG, jax.random.key(2))
    checkpoint.load(checkpoint.save(tmp_path / "tuned", tuned, CONFIG))  # shapes are checked there
    kept = dict(tuned["params"]["encoder"])
    positions = kept.pop("positions")
    before = dict(variables["params"]["encoder"])
    np.testing.assert_array_equal(positions[:2], before.pop("positions")[:2])
    jax.tree.map(np.testing.assert_array_equal, kept, before)
    with pytest.raises(ValueError, match="has no mask embedding and predictors"):
        ssast_pretrain.from_checkpoint(tuned, {})


@pytest.mark.slow
def test_gradients_reach_the_mask_and_one_predictor(pretrained):
    net, variables = pretrained
    features = jnp.asarray(np.random.default_rng(2).standard_normal((1, 16, 32)), jnp.float32)
    mask = jnp.arange(8)[None] < 5

    def loss(v):
        found = net.apply(v, features, mask)
        return jnp.square(found.generate - found.patches)[:, :5].mean()

    gradients = jax.jit(jax.grad(loss))(variables)["params"]
    assert float(jnp.abs(gradients["mask_embed"]).max()) > 1e-4
    assert float(jnp.abs(gradients["generate"]["output"]["kernel"]).max()) > 1e-4
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(gradients["contrast"]))
