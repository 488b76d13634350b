"""A telephone's band and its eight bits, by their closed forms; the line itself is in test_transmission_kinds.py."""

import jax.numpy as jnp
import numpy as np

from dhauds_jax.dsp import telephone


def test_mu_law_has_255_values_and_takes_the_nearest():
    steps = np.arange(-127, 128)
    held = np.sign(steps) * (256.0 ** (np.abs(steps) / 127) - 1) / 255
    np.testing.assert_allclose(telephone.mu_law(jnp.asarray(held, jnp.float32)), held, rtol=2e-6)
    middles = np.sign(steps) * (256.0 ** ((np.abs(steps) + 0.4) / 127) - 1) / 255
    np.testing.assert_allclose(telephone.mu_law(jnp.asarray(middles, jnp.float32)), held, rtol=2e-6)
    assert telephone.mu_law(jnp.array([-3.0, 0.0, 3.0])).tolist() == [-1.0, 0.0, 1.0]


def test_a_band_is_one_inside_half_at_the_middles_of_its_edges_and_nothing_beyond():
    hz = jnp.array([0.0, 150.0, 225.0, 300.0, 1_000.0, 3_400.0, 3_570.0, 3_740.0, 8_000.0])
    found = telephone.band(hz, 300.0, 3_400.0)
    np.testing.assert_allclose(found, [0, 0, 0.5, 1, 1, 1, 0.5, 0, 0], atol=1e-4)
    # A quarter of the way up a half cosine: (1 - cos(pi / 4)) / 2.
    np.testing.assert_allclose(telephone.band(jnp.array([187.5, 3_655.0]), 300.0, 3_400.0), 0.1464466, atol=1e-4)
