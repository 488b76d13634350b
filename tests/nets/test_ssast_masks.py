"""SSAST's masks: how many, where, and the original's slips; its losses against numpy."""

import random

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dhauds_jax.nets import ssast_losses, ssast_masks

GRID = (8, 16)
HIDDEN = 90
COUNT = 600
DISCRIMINATE = jax.jit(ssast_losses.discriminate, static_argnames="over")


def masks(profile, count=COUNT):
    index = jnp.arange(count, dtype=jnp.int32)
    settings = {"clusters": True, "profile": profile}
    draw = jax.jit(lambda key: ssast_masks.draw_masks(key, index, GRID, HIDDEN, **settings))
    return np.asarray(draw(jax.random.key(0)))


@pytest.fixture(scope="module")
def drawn():
    return {profile: masks(profile) for profile in ("reference", "corrected")}


@pytest.mark.slow
@pytest.mark.parametrize("profile", ["reference", "corrected"])
def test_every_clip_hides_as_many_patches_as_asked_and_its_own(drawn, profile):
    assert (drawn[profile].sum(1) == HIDDEN).all()
    assert len(np.unique(drawn[profile], axis=0)) == COUNT
    part = ssast_masks.draw_masks(
        jax.random.key(0), jnp.asarray([7, 3], jnp.int32), GRID, HIDDEN, clusters=True, profile=profile
    )
    np.testing.assert_array_equal(part, drawn[profile][[7, 3]])


def test_reference_masks_are_distributed_as_the_original_s(drawn):
    """S4: patch 0 is never hidden, the last patches seldom; every patch's frequency is that of the Python original."""
    rng = random.Random(0)
    found = np.zeros((COUNT, GRID[0] * GRID[1]), bool)
    for row in found:
        row[ssast_masks.reference_cluster_ids(rng, GRID, HIDDEN)] = True
    ours, theirs = drawn["reference"].mean(0), found.mean(0)
    assert ours[0] == theirs[0] == 0.0
    # 600 draws of each: a difference of two frequencies has a deviation of at most 0.029.
    assert np.abs(ours - theirs).max() < 0.1
    assert np.abs(ours - theirs).mean() < 0.03
    assert ours[-1] < 0.05 and ours[-8:].mean() < 0.5 < 0.65 < ours[40:80].mean()


def test_corrected_masks_hide_the_first_and_the_last_patches_too(drawn):
    frequency = drawn["corrected"].mean(0).reshape(GRID)
    assert frequency[0, 0] > 0.1  # only a square that starts there covers it
    assert frequency[-1, -1] > 0.6
    assert frequency.mean() == pytest.approx(HIDDEN / 128)


@pytest.mark.slow
def test_squares_of_the_corrected_masks_end_at_the_edge():
    """One square's worth of patches on a wide grid mostly lies within five rows and columns: nothing wraps."""
    rows = np.asarray(
        jax.vmap(lambda key: ssast_masks.cluster_mask(key, (20, 20), 8, "corrected"))(
            jax.random.split(jax.random.key(1), 200)
        )
    ).reshape(200, 20, 20)
    spans = [(np.ptp(np.nonzero(row)[0]), np.ptp(np.nonzero(row)[1])) for row in rows]
    # Eight patches come from one square, or from two where the first was cut by an edge or is exactly as large.
    assert np.mean([max(span) < 5 for span in spans]) > 0.5


def test_frames_are_drawn_without_preference():
    draw = jax.jit(jax.vmap(lambda key: ssast_masks.frame_mask(key, 40, 30)))
    found = np.asarray(draw(jax.random.split(jax.random.key(2), 800)))
    assert (found.sum(1) == 30).all()
    np.testing.assert_allclose(found.mean(0), 0.75, atol=0.07)


def test_too_many_hidden_patches_are_refused():
    for hidden in (0, 127):
        with pytest.raises(ValueError, match=f"--mask_patches={hidden}: the spectrogram has 8 x 16 patches"):
            ssast_masks.check_hidden(GRID, hidden, clusters=True)
    ssast_masks.check_hidden(GRID, 126, clusters=True)


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    true, guess = rng.normal(size=(2, 3, 5, 4)).astype(np.float32)
    return true, guess, jnp.asarray([1.0, 1.0, 0.0])


@pytest.mark.parametrize(("over", "axis"), [("predictions", 1), ("patches", 0)])
def test_the_contrastive_loss_equals_numpy(rows, over, axis):
    true, guess, weights = rows
    expected, right = [], []
    for x, c in zip(true[:2], guess[:2]):
        scores = x @ c.T
        log_p = scores - np.log(np.exp(scores).sum(axis, keepdims=True))
        expected.append(-np.diagonal(log_p).mean())
        right.append((scores.argmax(0) == np.arange(5)).mean())
    found = DISCRIMINATE(true, guess, weights, over=over)
    assert float(found.loss) == pytest.approx(np.mean(expected), rel=1e-5)
    assert float(found.accuracy) == pytest.approx(np.mean(right), abs=1e-6)


def test_zero_predictions_cost_the_logarithm_of_the_hidden_patches(rows):
    true, guess, weights = rows
    found = DISCRIMINATE(true, np.zeros_like(guess), weights)
    assert float(found.loss) == pytest.approx(np.log(5), rel=1e-6)


def test_the_reconstruction_loss_equals_numpy(rows):
    true, guess, weights = rows
    found = jax.jit(ssast_losses.reconstruct)(true, guess, weights)
    assert float(found) == pytest.approx(((true - guess) ** 2)[:2].mean(), rel=1e-5)


def test_hidden_rows_come_in_order():
    values = np.arange(12, dtype=np.float32).reshape(1, 6, 2)
    mask = np.array([[False, True, False, True, True, False]])
    found = jax.jit(ssast_losses.hidden_rows, static_argnums=2)(values, mask, 3)
    np.testing.assert_array_equal(np.asarray(found)[0], [[2, 3], [6, 7], [8, 9]])
