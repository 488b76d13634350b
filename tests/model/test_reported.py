"""What a model reports: the softmax at its checkpoint's temperature, groups of classes summed."""

import jax.numpy as jnp
import numpy as np
import pytest

from dhauds_jax import calibration, metrics
from dhauds_jax.model.record import Model
from dhauds_jax.nets import zoo
from dhauds_jax.types import Calibration
from tests.runs import tiny

LOGITS = np.array([[1.0, 2.0, 0.5], [0.0, -1.0, 3.0]], np.float32)
GROUPS = {"names": ["x", "y"], "of": [0, 1, 0]}


def a_model(groups=None, temperature=None):
    config = tiny.smallest(("a", "b", "c")).replace(groups=groups or {})
    made = None if temperature is None else Calibration(temperature, "nll", "max_probability")
    extra = {} if made is None else {"calibration": calibration.to_extra(made)}
    return Model(zoo.build(config), {}, config, extra)


def test_without_groups_and_temperature_nothing_is_changed():
    model = a_model()
    assert model.temperature == 1 and model.scores(LOGITS) is LOGITS
    np.testing.assert_array_equal(model.probabilities(LOGITS), metrics.softmax(LOGITS))
    assert a_model(temperature=1.0).scores(LOGITS) is LOGITS


@pytest.mark.parametrize("groups", [None, GROUPS])
def test_temperature_and_groups_are_in_all_that_is_reported(groups):
    model = a_model(groups, 2.0)
    p = metrics.softmax(LOGITS / 2)
    wanted = np.stack([p[:, [0, 2]].sum(-1), p[:, 1]], -1) if groups else p
    np.testing.assert_allclose(model.probabilities(LOGITS), wanted, atol=1e-12)
    np.testing.assert_allclose(metrics.softmax(model.scores(LOGITS)), wanted, atol=1e-7)
    np.testing.assert_allclose(model.traced_probabilities(jnp.asarray(LOGITS)), wanted, atol=1e-6)
    assert model.config.reported == (("x", "y") if groups else ("a", "b", "c"))
    assert model.classes == ("a", "b", "c")  # of the logits
