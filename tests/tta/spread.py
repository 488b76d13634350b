"""A batch spread over two mapped halves must give what one device gives."""

import jax
import jax.numpy as jnp
import numpy as np

from dhauds_jax.tta import methods
from dhauds_jax.types import Batch
from tests.tta import tiny


def check(name, info, **options):
    """Asserts that state, logits and losses of a step agree; seven of the eight rows are real."""
    classifier = tiny.NETS["batch_norm"]()
    variables = tiny.variables_of(classifier, tiny.LENGTH)
    options = methods.resolve_options(name, "reference", options)
    wave = np.array(tiny.waves()[:8])
    batch = Batch(jnp.asarray(wave), jnp.asarray([1.0] * 7 + [0.0]), jnp.arange(8, dtype=jnp.int32))
    key = jax.random.key(4)
    one = methods.make(name, classifier, options)
    state = one.init(variables, info)
    state_a, a = jax.jit(one.step)(state, batch, key)

    halves = jax.tree.map(lambda x: x.reshape(2, 4, *x.shape[1:]), batch)
    two = methods.make(name, classifier, options, axis_name="batch")
    state_b, b = jax.jit(jax.vmap(two.step, in_axes=(None, 0, None), axis_name="batch"))(state, halves, key)
    assert not all(np.array_equal(x, y) for x, y in zip(jax.tree.leaves(state), jax.tree.leaves(state_a), strict=True))
    for x, y in zip(jax.tree.leaves(state_a), jax.tree.leaves(state_b), strict=True):
        np.testing.assert_allclose(y[0], y[1], rtol=1e-6)
        np.testing.assert_allclose(x, y[0], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(a.logits[:7], b.logits.reshape(8, -1)[:7], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(a.losses["total"], b.losses["total"][0], rtol=1e-5)
