"""What RMT and SANTA share: prototypes, projector and the contrastive loss, against numpy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dhauds_jax.tta import contrast
from dhauds_jax.tta.contrast import (
    Prototypes,
    first_projector,
    first_prototypes,
    nearest_prototype,
    projected,
)
from dhauds_jax.types import SourceData
from tests.tta import affine, by_hand
from tests.tta.affine import BIAS, CLASSES, INFO, SCALE

contrastive = jax.jit(contrast.contrastive, static_argnums=(2, 3))  # operation by operation each is compiled alone
RNG = np.random.default_rng(3)
SOURCE = SourceData(jnp.asarray(affine.wave(9, 70)), jnp.asarray(np.arange(70) % 2, jnp.int32))


def unit(shape):
    views = RNG.normal(size=shape)
    return views / np.linalg.norm(views, axis=-1, keepdims=True)


def test_the_contrastive_loss_is_that_of_a_loop_over_all_pairs():
    views = unit((3, 5, 4))
    wanted = by_hand.supervised_contrast(views, 0.1)
    found = contrastive(jnp.asarray(views, jnp.float32), jnp.ones(5), 0.1)
    assert float(found) == pytest.approx(wanted, rel=1e-5)
    with jax.enable_x64(True):
        assert float(contrastive(jnp.asarray(views), jnp.ones(5), 0.1)) == pytest.approx(wanted, rel=1e-12)


def test_padded_clips_are_nobodys_negatives():
    views = unit((3, 5, 4))
    with jax.enable_x64(True):
        weights = jnp.asarray([1, 0, 1, 1, 0.0])
        found, slope = jax.jit(jax.value_and_grad(lambda v: contrastive(v, weights, 0.2)))(jnp.asarray(views))
    kept = [0, 2, 3]
    assert float(found) == pytest.approx(by_hand.supervised_contrast(views[:, kept], 0.2), rel=1e-12)
    wanted = by_hand.slopes(lambda v: by_hand.supervised_contrast(v, 0.2), views[:, kept])
    np.testing.assert_allclose(slope[:, np.array(kept)], wanted, atol=1e-8)  # of central differences
    assert not np.asarray(slope)[:, [1, 4]].any()


def test_one_clip_has_its_own_views_alone():
    views = unit((2, 1, 4))
    # Two views, each the other's only neighbour: probability 1.
    assert float(contrastive(jnp.asarray(views, jnp.float32), jnp.ones(1), 0.1)) == pytest.approx(0.0, abs=1e-6)


@pytest.mark.slow
def test_a_spread_batch_has_the_loss_and_the_slope_of_one_device():
    views, weights = jnp.asarray(unit((3, 6, 4)), jnp.float32), jnp.asarray([1, 1, 0, 1, 1, 1.0])
    loss, slope = jax.value_and_grad(lambda v: contrastive(v, weights, 0.1))(views)

    def on_one(part, w):
        return jax.value_and_grad(lambda v: contrastive(v, w, 0.1, "batch"))(part)

    halves = jnp.stack([views[:, :3], views[:, 3:]])
    found, parts = jax.vmap(on_one, axis_name="batch")(halves, weights.reshape(2, 3))
    np.testing.assert_allclose(found, [loss, loss], rtol=1e-6)
    # Each device's slope is that of both devices' losses; the pmean over parameters halves it.
    np.testing.assert_allclose(np.concatenate(parts, 1) / 2, slope, rtol=1e-5, atol=1e-6)


def test_prototypes_are_class_means_of_the_source_and_a_class_without_clips_has_none():
    info = INFO._replace(source=SOURCE)
    found = first_prototypes("rmt", affine.classifier(), affine.VARIABLES, info, "source")
    embedding = (np.asarray(SOURCE.waves, np.float64) - 0.2) / np.sqrt(1.5 + 1e-5) * SCALE + BIAS
    for k in (0, 1):
        np.testing.assert_allclose(found.vectors[k], embedding[k::2].mean(0), rtol=1e-5)
    assert list(np.asarray(found.known)) == [True, True, False]
    head = first_prototypes("rmt", affine.classifier(), affine.VARIABLES, INFO, "head")
    np.testing.assert_array_equal(head.vectors, np.eye(CLASSES))
    assert np.asarray(head.known).all()


def test_the_nearest_prototype_is_that_of_the_largest_cosine_among_the_known():
    vectors = jnp.asarray([[2.0, 0, 0], [0, 1, 0], [1, 1, 0]])
    rows = jnp.asarray([[1.0, 0.9, 0], [0.1, 1, 0], [9, 1, 0]])
    assert list(nearest_prototype(rows, Prototypes(vectors, jnp.asarray([True, True, True])))) == [2, 1, 0]
    assert list(nearest_prototype(rows, Prototypes(vectors, jnp.asarray([True, True, False])))) == [0, 1, 0]


def test_the_projector_is_drawn_as_pytorch_does_and_gives_unit_vectors():
    projector = first_projector(9, 100)
    for name, fan_in in (("first", 9), ("second", 100)):
        kernel, bound = np.asarray(projector[name]["kernel"]), 1 / np.sqrt(fan_in)
        assert kernel.shape == (fan_in, 100)
        assert np.abs(kernel).max() <= bound
        # Of a uniform draw: the deviation of its deviation over 900 numbers is 1.5 %.
        assert kernel.std() == pytest.approx(bound / np.sqrt(3), rel=0.06)
    rows = RNG.normal(size=(6, 9))
    numbers = [np.asarray(projector[n][p], np.float64) for n in ("first", "second") for p in ("kernel", "bias")]
    np.testing.assert_allclose(
        projected(projector, jnp.asarray(rows, jnp.float32)), by_hand.behind(numbers, rows), atol=2e-6
    )
