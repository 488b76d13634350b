"""CoNMix's network: the published numbers and parameter counts, its pieces against numpy, what its statistics do."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from converters import conmix as converter
from converters.mapping import merge, to_flax
from dhauds_jax.nets import conmix, conmix_zoo, mel_image, zoo
from dhauds_jax.nets.normalisers import EVAL, TRAIN
from tests.goldens.golden_weights import golden_state_dict
from tests.paths import GOLDENS, golden, largest_error

CLASSES = ["a", "b", "c", "d"]


@pytest.fixture(scope="module")
def tiny():
    """(classifier, variables, waves) of the test size."""
    classifier = zoo.build(zoo.preset("conmix_tiny", CLASSES))
    waves = 0.1 * np.random.default_rng(0).standard_normal((6, 4000)).astype(np.float32)
    return classifier, classifier.init(jax.random.key(0), jnp.asarray(waves[:1])), waves


@pytest.mark.slow
def test_the_encoder_equals_the_published_hybrid():
    state = golden_state_dict(str(GOLDENS / "conmix_vit_hybrid.spec.json"))
    numbers = golden("conmix_vit_hybrid")
    assert converter.style_of(state) == "torch"
    shown = converter.inferred_geometry(state, "torch")
    assert shown == {key: conmix_zoo.BASE[key] for key in shown} and len(shown) == 6
    leaves = converter.prefixed(converter._torch_encoder(conmix_zoo.BASE), "encoder/")
    converted = to_flax(merge(encoder=state), leaves, converter.ignore("torch"))
    decoder = sum(a.size for k, a in converted.ignored.items() if k.endswith((".weight", ".bias")))
    assert decoder == conmix.DECODER == 3_847_232
    net = conmix.Hybrid(**{**conmix_zoo.BASE, "units": tuple(conmix_zoo.BASE["units"])})
    params = {"params": converted.variables["params"]["encoder"]}
    one = {"mean": np.zeros(1, np.float32), "deviation": np.ones(1, np.float32)}
    images = jnp.asarray(numbers["image_f16"].astype(np.float32).transpose(0, 2, 3, 1))
    run = jax.jit(lambda v, x: net.apply(v, x, mode=EVAL))
    found = run({**params, "batch_stats": {mel_image.NAME: one}}, images)
    assert largest_error(found[:, 0], numbers["feature"]) < 1e-4
    # Other statistics, the images moved by as much: the same feature.
    two = {"mean": np.full(1, -40, np.float32), "deviation": np.full(1, 20, np.float32)}
    moved = run({**params, "batch_stats": {mel_image.NAME: two}}, images * 20 - 40)
    assert largest_error(moved[:, 0], numbers["feature"]) < 2e-4


@pytest.mark.parametrize(
    ("name", "published"),
    [
        ("sc2", 103_694_278),
        pytest.param("rs", 103_694_794, marks=pytest.mark.slow),  # of other numbers of classes alone
        ("sc1", 103_692_988),
        pytest.param("am", 103_687_828, marks=pytest.mark.slow),
    ],
)
def test_parameters_are_as_published_with_the_decoder_that_is_not_in_the_tree(name, published):
    config = zoo.preset(f"conmix_{name}")
    assert zoo.published_parameter_count(config) == published
    assert zoo.family("conmix").dead(config) == 3_847_232


@pytest.mark.slow
def test_one_channel_stands_for_three_equal_ones(tiny):
    classifier, variables, waves = tiny
    images = jax.jit(classifier.features)(jnp.asarray(waves))
    assert images.shape == (6, 24, 24)
    three = jnp.repeat(images[..., None], 3, -1)
    run = jax.jit(lambda x: classifier.apply_features(variables, x, mode=EVAL)[0])
    np.testing.assert_allclose(run(images).frames, run(three).frames, rtol=1e-4, atol=1e-5)
    assert run(images).frames.shape == (6, 1, 24) and run(images).embedding.shape == (6, 8)


def test_pool_and_norms_against_numpy():
    rng = np.random.default_rng(1)
    x = rng.standard_normal((2, 9, 12, 4)).astype(np.float32)
    windows = np.lib.stride_tricks.sliding_window_view(x, (3, 3), (1, 2))[:, ::2, ::2]
    expected = windows.max((-2, -1))
    np.testing.assert_array_equal(conmix._halved(jnp.asarray(x)), expected)
    for groups, epsilon in ((2, 1e-6), (4, 1e-5)):
        y = conmix.GroupNorm(groups, epsilon).apply(
            {"params": {"scale": jnp.full(4, 2.0), "bias": jnp.ones(4)}}, jnp.asarray(x)
        )
        parts = x.astype(np.float64).reshape(2, 108, groups, 4 // groups)
        expected = (parts - parts.mean((1, 3), keepdims=True)) / np.sqrt(parts.var((1, 3), keepdims=True) + epsilon)
        np.testing.assert_allclose(y, 2 * expected.reshape(x.shape) + 1, atol=1e-5)


def test_a_standardised_convolution_against_numpy():
    rng = np.random.default_rng(2)
    x, kernel = rng.standard_normal((1, 7, 6, 3)), rng.standard_normal((3, 3, 3, 2)) / 5
    found = conmix.StdConv2d(2, 3, 2).apply(
        {"params": {"kernel": jnp.asarray(kernel, jnp.float32)}}, jnp.asarray(x, jnp.float32)
    )
    kernel = (kernel - kernel.mean((0, 1, 2))) / np.sqrt(kernel.var((0, 1, 2)) + 1e-5)
    padded = np.pad(x, [(0, 0), (1, 1), (1, 1), (0, 0)])
    for i in range(4):
        for j in range(3):
            patch = padded[0, 2 * i : 2 * i + 3, 2 * j : 2 * j + 3]
            np.testing.assert_allclose(found[0, i, j], np.einsum("abc,abcd->d", patch, kernel), atol=1e-5)


@pytest.mark.slow
def test_statistics_normalise_and_nothing_updates_them(tiny):
    classifier, variables, waves = tiny
    spec = mel_image.spec_of(classifier.config.front_end)
    start = mel_image.statistics_of(variables)
    np.testing.assert_allclose((start.mean[0], start.deviation[0]), (-52.9362, 19.3889), rtol=1e-6)
    own = mel_image.set_statistics(waves, spec)
    images = np.asarray(jax.jit(classifier.features)(jnp.asarray(waves)), np.float64)
    np.testing.assert_allclose(own.mean[0], images.mean(), rtol=1e-5)
    np.testing.assert_allclose(own.deviation[0], images.std(), rtol=1e-4)
    changed = mel_image.with_statistics({"state": [variables]}, own)["state"][0]
    run = jax.jit(lambda v, x: classifier.apply_features(v, x, mode=EVAL)[0].logits)
    moved = mel_image.as_if(jnp.asarray(images, jnp.float32), own, start)
    np.testing.assert_allclose(run(changed, images.astype(np.float32)), run(variables, moved), atol=2e-4)
    train = jax.jit(lambda v, x, k: classifier.apply(v, x, mode=TRAIN, rngs={"dropout": k})[1])
    stats = train(changed, jnp.asarray(waves), jax.random.key(0))
    np.testing.assert_array_equal(stats["encoder"][mel_image.NAME]["mean"], own.mean)
    assert np.abs(stats["head"]["batch_norm"]["mean"]).max() > 0


def test_a_set_s_statistics_are_means_over_its_batches():
    rng = np.random.default_rng(3)
    images = rng.normal(-40, 15, (5, 6, 7)) + rng.normal(0, 5, (5, 1, 1))
    each = mel_image.moments(jnp.asarray(images, jnp.float32))
    found = mel_image.pooled(each, clips=2)
    parts = [images[:2], images[2:4], images[4:]]
    np.testing.assert_allclose(found.mean[0], np.mean([p.mean() for p in parts]), rtol=1e-6)
    np.testing.assert_allclose(found.deviation[0], np.mean([p.std() for p in parts]), rtol=1e-5)


@pytest.mark.slow
def test_random_pieces_are_pieces_of_the_larger_image(tiny):
    classifier, _, waves = tiny
    spec = mel_image.spec_of(classifier.config.front_end)
    whole = np.asarray(mel_image.images(jnp.asarray(waves), spec._replace(image=spec.resize)))
    index, key = jnp.arange(6) + 3, jax.random.key(5)
    pieces = np.asarray(mel_image.cropped_images(key, jnp.asarray(waves), index, spec))
    places = set()
    for picture, piece in zip(whole, pieces, strict=True):
        fits = [
            (i, j) for i in range(4) for j in range(4) if np.allclose(picture[i : i + 24, j : j + 24], piece, atol=1e-3)
        ]
        assert len(fits) == 1
        places.add(fits[0])
    assert len(places) > 2
    again = mel_image.cropped_images(key, jnp.asarray(waves[4:]), index[4:], spec)
    np.testing.assert_allclose(again, pieces[4:], atol=1e-4)  # a clip's piece is its own
    flipped = np.asarray(mel_image.cropped_images(key, jnp.asarray(waves), index, spec, flip=True))
    mirrored = [np.allclose(f, p[:, ::-1], atol=1e-3) for f, p in zip(flipped, pieces, strict=True)]
    same = [np.allclose(f, p, atol=1e-3) for f, p in zip(flipped, pieces, strict=True)]
    assert all(a != b for a, b in zip(mirrored, same, strict=True)) and 0 < sum(mirrored) < 6


def test_impossible_sizes_are_refused_in_one_sentence():
    config = zoo.preset("conmix_tiny", CLASSES)
    for change, words in (
        ({"geometry": {**config.geometry, "heads": 3}}, "width 16 is no multiple of 3 heads"),
        ({"geometry": {**config.geometry, "groups": 3}}, "root 4 is no multiple of 3 groups"),
        ({"front_end": {**config.front_end, "resize": 20}}, "image is 24, expected 1 to resize = 20"),
        ({"front_end": {**config.front_end, "deviation": 0}}, "deviation is 0"),
        ({"front_end": zoo.preset("amaut_tiny", CLASSES).front_end}, "expected 'mel_image'"),
    ):
        with pytest.raises(ValueError, match=words):
            zoo.build(config.replace(**change))


@pytest.mark.slow
def test_gradients_are_differences_and_remat_gives_the_same():
    config = zoo.preset("conmix_tiny", CLASSES)
    config = config.replace(geometry={**config.geometry, "units": [1, 1]})  # the first stage and one that halves
    images = jnp.asarray(np.random.default_rng(0).normal(-50, 20, (4, 24, 24)), jnp.float32)
    variables = zoo.build(config).init(jax.random.key(0), jnp.zeros((1, 4000)))

    def loss_of(**compute):
        classifier = zoo.build(config, **compute)

        def loss(params):
            outputs, _ = classifier.apply_features({**variables, "params": params}, images, mode=EVAL)
            return jnp.square(outputs.logits - 1).mean()

        return loss

    plain = jax.jit(jax.value_and_grad(loss_of()))
    value, gradient = plain(variables["params"])
    rng, params = np.random.default_rng(2), jax.tree.map(np.asarray, variables["params"])
    way = jax.tree.map(lambda p: (rng.normal(size=p.shape) * np.abs(p).mean()).astype(np.float32), params)
    moved = (jax.tree.map(lambda p, d, s=s: p + np.float32(s) * d, params, way) for s in (2e-4, -2e-4))
    ends = [plain(each)[0] for each in moved]
    slope = sum(float(np.vdot(g, d)) for g, d in zip(jax.tree.leaves(gradient), jax.tree.leaves(way), strict=True))
    # In float64 the two agree to 8 digits at steps of 1e-6; here float32 and the step leave two.
    assert slope == pytest.approx(float(ends[0] - ends[1]) / 4e-4, rel=0.02)
    again, same = jax.jit(jax.value_and_grad(loss_of(remat=True)))(variables["params"])
    assert float(again) == pytest.approx(float(value), rel=1e-5)
    for a, b in zip(jax.tree.leaves(gradient), jax.tree.leaves(same), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)
    half = jax.jit(loss_of(dtype=jnp.bfloat16))(variables["params"])
    assert float(half) == pytest.approx(float(value), rel=0.05)
