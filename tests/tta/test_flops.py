"""Floating-point operations against a count by hand."""

import jax.numpy as jnp
import pytest

from dhauds_jax.tta import flops
from dhauds_jax.types import AdaptState, Prediction


def test_a_matrix_product_has_two_operations_a_weight():
    def step(state, batch, key):
        return state, Prediction(batch.wave @ state.variables["params"]["w"], {})

    state = AdaptState({"params": {"w": jnp.zeros((100, 7))}, "batch_stats": {}}, (), (), jnp.int32(0))
    assert flops.flops_per_clip(step, state, 8, 100) == pytest.approx(2 * 100 * 7)
