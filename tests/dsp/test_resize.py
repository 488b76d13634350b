"""Bilinear and bicubic resizing against PyTorch and by hand."""

import jax.numpy as jnp
import numpy as np
import pytest

from dhauds_jax.dsp.resize import bicubic_weights, bilinear_weights, resize
from tests.paths import golden, largest_error


@pytest.mark.parametrize(("size", "wanted"), [((81, 81), (224, 224)), ((16, 17), (5, 24)), ((1, 3), (4, 3))])
def test_equals_pytorch(size, wanted):
    torch = pytest.importorskip("torch")
    image = np.random.default_rng(0).normal(size=(2, *size)).astype(np.float32)
    theirs = torch.nn.functional.interpolate(
        torch.from_numpy(image)[None], wanted, mode="bilinear", align_corners=False
    )
    # PyTorch has the places in float32: up to 3e-5 at a slope of 1 a pixel.
    np.testing.assert_allclose(resize(jnp.asarray(image), *wanted), theirs[0].numpy(), atol=5e-5)


def test_by_hand():
    np.testing.assert_allclose(bilinear_weights(2, 4), [[1, 0], [0.75, 0.25], [0.25, 0.75], [0, 1]])
    np.testing.assert_array_equal(bilinear_weights(3, 3), np.eye(3))
    with pytest.raises(ValueError, match="from 0 to 4 values"):
        bilinear_weights(0, 4)


def test_bicubic_equals_pytorch_in_float64():
    numbers = golden("clap_frontend")
    for case in range(4):
        found, image = numbers[f"bicubic_{case}_out"], numbers[f"bicubic_{case}_in"].astype(np.float64)
        down, across = (
            bicubic_weights(size, wanted).astype(np.float64) for size, wanted in zip(image.shape, found.shape)
        )
        assert largest_error(down @ image @ across.T, found) < 1e-6


def test_bicubic_by_hand():
    """Corners meet corners; half way the four neighbours weigh -3/32, 19/32, 19/32, -3/32, ends repeated."""
    np.testing.assert_array_equal(bicubic_weights(5, 5), np.eye(5))
    weights = bicubic_weights(4, 7)
    np.testing.assert_allclose(weights[3], [-3 / 32, 19 / 32, 19 / 32, -3 / 32], atol=1e-7)
    np.testing.assert_allclose(weights[1], [16 / 32, 19 / 32, -3 / 32, 0], atol=1e-7)
    np.testing.assert_allclose(weights.sum(1), np.ones(7), atol=1e-6)
    np.testing.assert_array_equal(bicubic_weights(3, 1), [[1, 0, 0]])
    with pytest.raises(ValueError, match="from 4 to 0 values"):
        bicubic_weights(4, 0)
