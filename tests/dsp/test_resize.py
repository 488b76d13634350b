"""Bilinear resizing against PyTorch and by hand."""

import jax.numpy as jnp
import numpy as np
import pytest

from dhauds_jax.dsp.resize import bilinear_weights, resize


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
