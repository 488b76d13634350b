"""VGGish against torchvggish's numbers, with and without its last ReLU, and what its embeddings go through afterwards.

Goldens `vggish.npz`, `vggish_postprocess.npz`, `vggish_no_relu.npz`: weights by `golden_weights.py` from
`vggish.spec.json` and `vggish_attention_head.spec.json`, the principal components under the names below.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dhauds_jax.nets import zoo
from dhauds_jax.nets.normalisers import EVAL, TRAIN
from dhauds_jax.nets.vggish import VGGish, max_pool2x2, principal_components, quantised
from tests.goldens.golden_weights import golden_array, golden_state_dict
from tests.nets.vggish_weights import pool_params, vggish_params
from tests.paths import GOLDENS, golden, largest_error

COMPONENTS = golden_array("pca_eigen_vectors", (128, 128)), golden_array("pca_means", (128, 1))
SMALL = VGGish((2, 3), (1, 2), (5, 4), final_relu=True, batch_norm=False)


@pytest.fixture(scope="module")
def published():
    """Of the whole network on the golden's wave: outputs with and without the last ReLU."""
    variables = {
        "params": {
            "encoder": vggish_params(golden_state_dict(GOLDENS / "vggish.spec.json")),
            "head": pool_params(golden_state_dict(GOLDENS / "vggish_attention_head.spec.json")),
        },
        "batch_stats": {},
    }
    config = zoo.preset("vggish", tuple("abcdefghij"))
    outputs = []
    for final_relu in (True, False):
        net = zoo.build(config.replace(geometry={**config.geometry, "final_relu": final_relu}))
        wave = jnp.asarray(golden("vggish")["wave"])
        outputs.append(jax.jit(lambda v, x, net=net: net.apply(v, x, mode=EVAL)[0])(variables, wave))
    return outputs


@pytest.mark.slow
def test_the_whole_network_gives_torchvggishs_numbers(published):
    stored, (with_relu, without) = golden("vggish"), published
    assert largest_error(with_relu.frames[0], stored["embedding"]) < 1e-5
    assert largest_error(with_relu.embedding, stored["attention_pooled"]) < 1e-5
    assert largest_error(with_relu.logits, stored["logits"]) < 1e-5
    assert largest_error(jax.nn.softmax(with_relu.logits / 2), stored["softmax_t2"]) < 1e-6
    assert largest_error(without.frames[0], golden("vggish_no_relu")["embedding"]) < 1e-5


@pytest.mark.slow
def test_the_whole_networks_embeddings_give_the_8_bit_values(published):
    stored = golden("vggish_no_relu")
    after, before = (principal_components(outputs.frames[0], *COMPONENTS) for outputs in published)
    assert largest_error(before, stored["pca_applied"]) < 1e-5
    sure = stored["rounding_margin"] >= 1e-3
    assert np.array_equal(quantised(before)[sure], stored["quantized"][sure])
    assert largest_error(quantised(before), stored["quantized"]) <= 1
    assert np.array_equal(quantised(after), stored["quantized_after_relu"])


def test_stored_embeddings_give_the_8_bit_values():
    stored, after = golden("vggish_no_relu"), golden("vggish_postprocess")
    components = principal_components(stored["embedding"], *COMPONENTS)
    assert largest_error(components, stored["pca_applied"]) < 1e-5
    sure = stored["rounding_margin"] >= 1e-3
    assert sure.mean() > 0.99 and np.array_equal(quantised(components)[sure], stored["quantized"][sure])
    assert np.array_equal(quantised(principal_components(after["embedding"], *COMPONENTS)), after["quantized"])


def test_levels_are_the_nearest_or_those_below():
    components = np.array([[-3.0, -2.0, -1.99, 0.0, 1.995, 2.0, 9.0]])
    assert quantised(components).tolist() == [[0, 0, 1, 128, 255, 255, 255]]  # 127.5 to the even one
    assert quantised(components, "below").tolist() == [[0, 0, 0, 127, 254, 255, 255]]
    with pytest.raises(ValueError, match="rule is 'up', expected 'nearest' or 'below'"):
        quantised(components, "up")


def by_hand(params, image):
    """`SMALL` of one example (frames, bands), loop by loop in float64."""
    x, number = np.asarray(image, np.float64)[..., None], 0
    for convs in (1, 2):
        for _ in range(convs):
            number += 1
            kernel = np.asarray(params[f"conv{number}"]["kernel"], np.float64)
            padded = np.pad(x, [(1, 1), (1, 1), (0, 0)])
            rows, columns = x.shape[:2]
            taps = [padded[i : i + rows, j : j + columns] @ kernel[i, j] for i in range(3) for j in range(3)]
            x = np.maximum(sum(taps) + np.asarray(params[f"conv{number}"]["bias"]), 0)
        x = x.reshape(x.shape[0] // 2, 2, x.shape[1] // 2, 2, -1).max((1, 3))
    x = x.reshape(-1)
    for i in (1, 2):
        x = np.maximum(x @ np.asarray(params[f"dense{i}"]["kernel"], np.float64) + params[f"dense{i}"]["bias"], 0)
    return x


def test_layers_are_those_worked_out_by_hand():
    features = jnp.asarray(np.random.default_rng(0).standard_normal((2, 3, 8, 4)), jnp.float32)
    variables = SMALL.init(jax.random.key(0), features, mode=EVAL)
    tokens = SMALL.apply(variables, features, mode=EVAL)
    assert tokens.shape == (2, 3, 4)
    expected = [[by_hand(variables["params"], example) for example in clip] for clip in features]
    assert largest_error(tokens, expected) < 1e-5
    assert (tokens.min() == 0) and tokens.max() > 0
    open_end = SMALL.clone(final_relu=False).apply(variables, features, mode=EVAL)
    assert open_end.min() < 0 and largest_error(jnp.maximum(open_end, 0), tokens) == 0


def test_half_precision_is_of_products_alone():
    features = jnp.asarray(np.random.default_rng(0).standard_normal((2, 1, 8, 4)), jnp.float32)
    variables = SMALL.init(jax.random.key(0), features, mode=EVAL)
    tokens = SMALL.clone(dtype=jnp.bfloat16).apply(variables, features, mode=EVAL)
    assert tokens.dtype == jnp.float32
    assert 0 < largest_error(tokens, SMALL.apply(variables, features, mode=EVAL)) < 0.02


def test_statistics_are_over_clips_and_examples_and_padded_clips_have_no_part():
    net = SMALL.clone(batch_norm=True)
    features = np.random.default_rng(0).standard_normal((3, 2, 8, 4)).astype(np.float32)
    variables = net.init(jax.random.key(0), jnp.asarray(features), mode=EVAL)
    stats = []
    for fill in (0.0, 7.0):
        features[2] = fill
        weights = jnp.array([1.0, 1.0, 0.0])
        _, updated = net.apply(variables, jnp.asarray(features), mode=TRAIN, weights=weights, mutable=["batch_stats"])
        stats.append(updated["batch_stats"])
    jax.tree.map(np.testing.assert_array_equal, *stats)
    params = jax.tree.map(np.asarray, variables["params"]["conv1"])
    padded = np.pad(features[:2].reshape(4, 8, 4), [(0, 0), (1, 1), (1, 1)])
    taps = [padded[:, i : i + 8, j : j + 4, None] * params["kernel"][i, j, 0] for i in range(3) for j in range(3)]
    image = sum(taps) + params["bias"]
    assert largest_error(stats[0]["batch_norm1"]["mean"], 0.1 * image.mean((0, 1, 2))) < 1e-6
    assert largest_error(stats[0]["batch_norm1"]["var"], 0.9 + 0.1 * image.var((0, 1, 2), ddof=1)) < 1e-5


def test_the_pool_is_of_squares_and_ties_share_its_gradient():
    image = jnp.arange(16.0).reshape(1, 4, 4, 1)
    assert max_pool2x2(image)[0, :, :, 0].tolist() == [[5, 7], [13, 15]]
    gradient = jax.grad(lambda x: max_pool2x2(x).sum())(jnp.ones((1, 2, 2, 1)))
    assert gradient.ravel().tolist() == [0.25] * 4
