"""What the guard around the tests' compiled steps stops."""

import jax
import numpy as np
import pytest

from dhauds_jax.tta.evaluation import Compiled
from tests.tta.guarded import CALLED, guarded


def test_a_step_that_is_given_arrays_of_the_host_is_stopped():
    run = guarded(Compiled(None, **{name: jax.jit(lambda wave, key: 2 * wave) for name in CALLED}))
    wave, key = jax.device_put(np.ones(3, np.float32)), jax.random.key(0)
    assert run.step(wave, key).tolist() == [2.0, 2.0, 2.0]
    with pytest.raises(jax.errors.JaxRuntimeError, match="Disallowed host-to-device transfer"):
        run.step(np.ones(3, np.float32), key)
    with pytest.raises(jax.errors.JaxRuntimeError, match="Disallowed host-to-device transfer"):
        run.predict(1.0, key)
