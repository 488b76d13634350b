"""HTSAT: the image it looks at, channels and rows that count, statistics, gradients, ways to compute it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dhauds_jax.errors import BadInput
from dhauds_jax.nets import clap_zoo, masks
from dhauds_jax.nets.htsat import folded, patches, stretched
from dhauds_jax.nets.normalisers import EVAL, TRAIN, batch
from dhauds_jax.types import Mode
from tests.nets.clap_goldens import drawn
from tests.paths import largest_error

NAME = "clap_test_fused"
LONGER = jnp.array([True, False, True])
BATCH = Mode(dropout=False, norm=batch)


def encoder(**compute):
    return clap_zoo.build_towers(clap_zoo.audio_text_preset(NAME), **compute)[0].encoder


@pytest.fixture(scope="module")
def made():
    """The encoder, variables, features (3, 4, 101, 16), and tokens under `EVAL`."""
    net = encoder()
    inputs = 20 * jax.random.normal(jax.random.key(1), (3, 4, 101, 16)) - 30
    variables = drawn(jax.eval_shape(lambda key: net.init(key, inputs[:, 0], mode=EVAL), jax.random.key(0)))
    run = jax.jit(lambda x, longer: net.apply(variables, x, mode=EVAL, longer=longer))
    return net, variables, inputs, run


def test_time_is_stretched_and_cut_into_pieces_below_each_other():
    mel = jnp.arange(8.0).reshape(1, 4, 2)  # frame t has bands 2t, 2t + 1
    np.testing.assert_allclose(stretched(mel, 7)[0, ::2, 0], [0, 2, 4, 6], atol=1e-6)
    np.testing.assert_array_equal(stretched(mel, 4), mel)
    # Two pieces of two frames; row = piece x 2 + band, column = frame.
    np.testing.assert_array_equal(folded(mel, 2)[0], [[0, 2], [1, 3], [4, 6], [5, 7]])
    image = jnp.arange(24.0).reshape(1, 4, 6)
    np.testing.assert_array_equal(patches(image, 2, 3)[0, 0], [[0, 1, 2, 6, 7, 8], [3, 4, 5, 9, 10, 11]])
    np.testing.assert_array_equal(
        patches(image, 2, 4)[0, :, 0], [[0, 1, 2, 3, 6, 7, 8, 9], [12, 13, 14, 15, 18, 19, 20, 21]]
    )


def test_channels_count_in_longer_rows_alone(made):
    """Of a short row only the first channel counts, whatever the others hold; equal channels change nothing in it."""
    _, _, inputs, run = made
    found = run(inputs, LONGER)
    assert found.shape == (3, 4, 128) and found.dtype == jnp.float32
    others = inputs.at[1, 1:].set(jnp.nan)
    np.testing.assert_array_equal(run(others, LONGER), found)
    one = run(inputs[:, :1], LONGER)
    assert largest_error(one[1], found[1]) < 1e-6
    assert largest_error(one[0], found[0]) > 1e-3  # fusion does something


@pytest.mark.slow
def test_statistics_of_a_batch_and_rows_that_do_not_count(made):
    """Batch statistics of real rows; padded rows change nothing, two halves on one axis are the whole."""
    net, variables, inputs, _ = made

    def pair(x, longer, weights, axis_name=None):
        options = {"mode": BATCH, "weights": weights, "axis_name": axis_name, "longer": longer}
        found, updated = net.apply(variables, x, **options, mutable=["batch_stats"])
        return found, updated["batch_stats"]

    padded = jnp.concatenate([inputs, jnp.full_like(inputs[:1], 1e3)])
    longer, weights = jnp.array([True, False, True, False]), jnp.array([1.0, 1.0, 1.0, 0.0])
    tokens, stats = jax.jit(pair)(inputs, LONGER, None)
    again, same = jax.jit(pair)(padded, longer, weights)
    assert largest_error(again[:3], tokens) < 2e-5
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5), same, stats)
    short = jnp.where(LONGER[:, None, None, None], inputs, inputs[:, :1])
    expected = 0.9 * variables["batch_stats"]["batch_norm"]["mean"] + 0.1 * short.mean((0, 1, 2))
    np.testing.assert_allclose(stats["batch_norm"]["mean"], expected, rtol=1e-5)
    halves = [value.reshape(2, 2, *value.shape[1:]) for value in (padded, longer, weights)]
    split = jax.vmap(lambda *each: pair(*each, "rows"), axis_name="rows", out_axes=(0, None))
    spread, spread_stats = jax.jit(split)(*halves)
    assert largest_error(spread.reshape(again.shape)[:3], again[:3]) < 2e-5
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5), spread_stats, same)


@pytest.mark.slow
def test_gradients_are_finite_and_reach_every_leaf(made):
    """In training too, where branches are dropped by row; a batch without a longer row leaves the fusion alone."""
    net, variables, inputs, _ = made

    def loss(params, longer):
        own = {**variables, "params": params}
        rngs, options = {"dropout": jax.random.key(2)}, {"mode": TRAIN, "longer": longer}
        tokens, _ = net.apply(own, inputs, **options, rngs=rngs, mutable=["batch_stats"])
        return jnp.square(tokens[..., 0]).mean()

    slope = jax.jit(jax.grad(loss))
    found = masks.split(slope(variables["params"], LONGER), "all")[0]
    sizes = {path: float(jnp.abs(leaf).max()) for path, leaf in jax.tree_util.tree_leaves_with_path(found)}
    assert all(np.isfinite(size) for size in sizes.values())
    # A bias before a BatchNorm moves nothing but the mean that is taken off; keys' biases move all scores alike.
    still = [str(path) for path, size in sizes.items() if size < 1e-9]
    assert all("dense" in path and "bias" in path for path in still), still
    none = slope(variables["params"], LONGER & ~LONGER)
    assert all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(none))
    assert max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(none["patch_embed"]["fusion"])) == 0.0


def test_norms_are_found_by_their_names(made):
    _, variables, _, _ = made
    params = {"encoder": variables["params"]}
    # 16 bands and the fusion's four layers of 4 and 16; blocks, mergings, patches and the last norm have layer norms.
    assert masks.count(params, "batch_norm") == 2 * (16 + 2 * (4 + 16))
    assert masks.count(params, "norm") == 2 * (56 + 16 + 128 + sum(2 * w + 4 * w for w in (16, 32, 64)) + 2 * 128)


def test_features_of_another_net_are_refused(made):
    net, variables, inputs, _ = made
    cases = [
        (inputs[:, 0, :, :8], None, "101 frames and 8 mels, expected at most 256 and 16"),
        (jnp.zeros((1, 300, 16)), None, "300 frames and 16 mels, expected at most 256"),
        (inputs[:, :2], LONGER, "2 channels for a net with fusion"),
        (inputs, None, "4 channels for a net with fusion, expected 1"),
    ]
    for features, longer, sentence in cases:
        with pytest.raises(BadInput, match=sentence):
            net.apply(variables, features, mode=EVAL, longer=longer)
    plain = clap_zoo.build_towers(clap_zoo.audio_text_preset("clap_test"))[0].encoder
    with pytest.raises(BadInput, match="4 channels for a net without fusion, expected 1"):
        plain.init(jax.random.key(0), inputs, mode=EVAL, longer=LONGER)


@pytest.mark.slow
def test_half_types_and_recomputation(made):
    net, variables, inputs, run = made
    tokens = run(inputs, LONGER)
    other = encoder(dtype=jnp.bfloat16)
    half = jax.jit(lambda x: other.apply(variables, x, mode=EVAL, longer=LONGER))(inputs)
    assert half.dtype == jnp.float32 and 1e-4 < largest_error(half, tokens) < 0.1  # bfloat16 has 8 bits of 24

    def loss(params, net):
        options = {"mode": EVAL._replace(dropout=True), "rngs": {"dropout": jax.random.key(0)}, "longer": LONGER}
        tokens = net.apply({**variables, "params": params}, inputs, **options)
        return jnp.square(tokens[..., 0]).mean()

    plain, again = (
        jax.jit(jax.grad(lambda p, n=n: loss(p, n)))(variables["params"]) for n in (net, encoder(remat=True))
    )
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=5e-6), plain, again)


@pytest.mark.slow
def test_branches_are_dropped_row_by_row(made):
    """A row's draw depends on its number in the whole batch, so a spread batch has the draws of one device."""
    _, variables, inputs, _ = made
    config = clap_zoo.audio_text_preset(NAME)
    net = clap_zoo.build_towers(config.replace(audio={**config.audio, "drop_path": 0.5}))[0].encoder
    mode, rngs = EVAL._replace(dropout=True), {"dropout": jax.random.key(0)}
    four = jnp.concatenate([inputs[:, 0], inputs[:1, 0]])

    def run(x, axis_name=None):
        return net.apply(variables, x, mode=mode, rngs=rngs, axis_name=axis_name)

    whole = jax.jit(run)(four)
    spread = jax.jit(jax.vmap(lambda x: run(x, "rows"), axis_name="rows"))(four.reshape(2, 2, 101, 16))
    assert largest_error(spread.reshape(whole.shape), whole) < 1e-5
    assert largest_error(whole[0], whole[3]) > 1e-3  # one clip twice
