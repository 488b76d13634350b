"""A batch spread over devices gives the update and the predictions of one, for methods that couple its rows."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dhauds_jax.tta import methods
from dhauds_jax.types import Batch, RunInfo
from tests.tta import tiny


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("shot", {"lr": 0.1}),
        ("conmix", {"lr": 0.1, "semitones": 0}),
        ("notela", {"k": 2, "statistics": "batch"}),
        ("lame", {"k": 2}),
        ("lame", {"affinity": "rbf"}),
        ("t3a", {"supports": 2}),
        pytest.param("ntta", {"loss": "text", "partial_batch": "rescaled"}, marks=pytest.mark.slow),
    ],
)
def test_two_devices_give_the_step_of_one(name, options):
    classifier = tiny.NETS["batch_norm"]()
    variables = tiny.variables_of(classifier, tiny.LENGTH)
    batch = Batch(
        jnp.asarray(tiny.waves()[:8]), jnp.asarray([1.0] * 7 + [0.0]), jnp.asarray([5, 1, 2, 9, 4, 0, 6, 5], jnp.int32)
    )
    info = RunInfo(3, tiny.CLIPS, tiny.CLASSES)
    one = methods.make(name, classifier, options)
    state = one.init(variables, info)
    wanted_state, wanted = jax.jit(one.step)(state, batch, jax.random.key(0))
    two = methods.make(name, classifier, options, axis_name="batch")
    halves = jax.tree.map(lambda x: x.reshape(2, 4, *x.shape[1:]), batch)
    spread = jax.jit(jax.vmap(lambda b: two.step(state, b, jax.random.key(0)), axis_name="batch"))
    states, predictions = spread(halves)
    np.testing.assert_allclose(np.concatenate(predictions.logits)[:7], wanted.logits[:7], rtol=1e-4, atol=1e-5)
    for loss, value in wanted.losses.items():
        np.testing.assert_allclose(predictions.losses[loss], [float(value)] * 2, rtol=1e-5, atol=1e-6)
    for spread_leaf, leaf in zip(jax.tree.leaves(states), jax.tree.leaves(wanted_state), strict=True):
        # Adam's and SGD's first steps on sums in another order
        np.testing.assert_allclose(spread_leaf, np.stack([leaf] * 2), rtol=1e-4, atol=2e-6)
