"""Floating-point operations against a count by hand."""

import jax
import jax.numpy as jnp
import pytest

from dhauds_jax.tta import flops
from dhauds_jax.types import AdaptState, Prediction


def test_a_matrix_product_has_two_operations_a_weight():
    def step(state, batch, key):
        return state, Prediction(batch.wave @ state.variables["params"]["w"], {})

    state = AdaptState({"params": {"w": jnp.zeros((100, 7))}, "batch_stats": {}}, (), (), jnp.int32(0))
    assert flops.flops_per_clip(step, state, 8, 100) == pytest.approx(2 * 100 * 7)


def test_where_a_gpu_does_not_count_the_program_is_counted_for_the_processor(monkeypatch):
    """As JAX 0.11 on an H200, whose cost analysis of what is lowered names no operations."""
    here, seen = jax.stages.Lowered.cost_analysis, []

    def cost_analysis(lowered):
        seen.append(jax.config.jax_default_device)
        return here(lowered) if seen[-1] is not None else {}

    monkeypatch.setattr(jax.stages.Lowered, "cost_analysis", cost_analysis)
    shapes = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in ((8, 100), (100, 7))]
    assert flops.counted(jax.jit(jnp.matmul), *shapes) is None
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert flops.counted(jnp.matmul, *shapes) == 2 * 8 * 100 * 7
    assert seen[0] is None and seen[-1] == jax.devices("cpu")[0]
