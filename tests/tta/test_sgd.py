"""The optimiser against PyTorch's trajectories."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from dhauds_jax.tta.sgd import SGDOptions, schedule, scheduled_sgd, with_steps_per_epoch
from tests.goldens.golden_weights import golden_array
from tests.paths import golden, largest_error


def options_of(hyper, **more):
    lr, backbone, head, gamma, threshold, momentum, cardinality, _ = (float(h) for h in hyper)
    return SGDOptions(lr, backbone, head, int(cardinality), gamma, int(threshold), momentum, **more)


def loss(params, x):
    ours = 0.5 * jnp.mean(jnp.square(params["encoder"] @ x - 1), dtype=jnp.float32)
    return ours + 0.5 * jnp.mean(jnp.square(params["head"] @ x + 1), dtype=jnp.float32)


@pytest.mark.parametrize("name", ["a", "b"])
def test_trajectory_matches_pytorch(name):
    g = golden(f"sgd_trajectory_{name}")
    options = options_of(g["hyper"])
    optimiser = scheduled_sgd(options, steps_per_epoch=3)
    params = {k: jnp.asarray(golden_array(f"traj.{n}", (6, 5))) for k, n in (("encoder", "backbone"), ("head", "head"))}
    state = optimiser.init(params)

    @jax.jit
    def step(params, state, x):
        updates, state = optimiser.update(jax.grad(loss)(params, x), state, params)
        return optax.apply_updates(params, updates), state

    steps = 3 * int(g["hyper"][-1])
    for i in range(steps):
        params, state = step(params, state, jnp.asarray(g["xs"][i % 3]))
        assert largest_error(params["encoder"], g["backbone"][i + 1]) < 1e-6
        assert largest_error(params["head"], g["head"][i + 1]) < 1e-6


@pytest.mark.parametrize("name", ["a", "b"])
def test_rates_in_force_per_epoch(name):
    g = golden(f"sgd_trajectory_{name}")
    options = options_of(g["hyper"])
    factors = [float(schedule(jnp.asarray(e), options)[0]) for e in range(len(g["lr_used"]))]
    rates = np.outer(factors, [options.lr * options.backbone, options.lr * options.classifier])
    np.testing.assert_allclose(rates, g["lr_used"], rtol=1e-6)


def test_epoch_zero_is_plain_and_nothing_is_carried_over():
    """With a gradient of 1 the first buffer of epoch 1 is g + wd p, not g + m g."""
    optimiser = with_options(lr=0.1, momentum=0.5, weight_decay=0.0)
    params, state = {"head": jnp.zeros(1)}, None
    state = optimiser.init(params)
    seen = []
    for _ in range(4):
        updates, state = optimiser.update({"head": jnp.ones(1)}, state, params)
        seen.append(float(updates["head"][0]))
    # two plain steps, then momentum from an empty buffer: 1, 1.5
    np.testing.assert_allclose(seen, [-0.1, -0.1, -0.1, -0.15], rtol=1e-6)


def with_options(**options):
    return scheduled_sgd(SGDOptions(**options), steps_per_epoch=2)


def test_corrected_profile_has_momentum_from_the_start_and_nesterov():
    optimiser = with_options(lr=0.1, momentum=0.5, weight_decay=0.0, first_epoch_plain=False, nesterov=True)
    params = {"head": jnp.zeros(1)}
    state = optimiser.init(params)
    seen = []
    for _ in range(2):
        updates, state = optimiser.update({"head": jnp.ones(1)}, state, params)
        seen.append(float(updates["head"][0]))
    # Nesterov: g + m * buf with buf = 1, then 1.5
    np.testing.assert_allclose(seen, [-0.15, -0.175], rtol=1e-6)


def test_a_counter_of_batches_gives_the_second_epoch_a_lower_rate_already():
    """CoNMix: after epoch e the rate is lr (1 + 30 (e + 1) / 50)^-0.75, with momentum and decay from then on."""
    optimiser = with_options(lr=0.1, cardinality=50, gamma=30.0, threshold=0, momentum=0.5, first_call=1)
    params = {"head": jnp.ones(1)}
    state, buffer, theta = optimiser.init(params), 0.0, 1.0
    for step in range(8):
        updates, state = optimiser.update({"head": params["head"]}, state, params)
        params = optax.apply_updates(params, updates)
        epoch = step // 2
        gradient = theta + (1e-3 * theta if epoch else 0.0)
        buffer = 0.5 * buffer + gradient if epoch else 0.0
        theta -= 0.1 * (1 + 30 * epoch / 50) ** -0.75 * (buffer if epoch else gradient)
        assert float(params["head"][0]) == pytest.approx(theta, rel=1e-5)


def test_schedule_that_never_starts():
    """With cardinality <= threshold the reference's scheduler is never applied."""
    factor, on = schedule(jnp.asarray(9), SGDOptions(lr=1.0, cardinality=5, threshold=5))
    assert float(factor) == 1.0
    assert not bool(on)


def test_steps_per_epoch_must_be_positive():
    state = scheduled_sgd(SGDOptions(lr=1.0)).init({"head": jnp.zeros(1)})
    with pytest.raises(ValueError, match="steps per epoch is 0"):
        with_steps_per_epoch(state, 0)


def test_a_rate_per_update_falls_with_every_one_and_never_below_its_end():
    """SHOT's code counts an update before it sets its rate: (1 + 10 i / (3 x 2))^-0.75 for i = 1, 2, ..., 6, 6."""
    options = SGDOptions(0.1, cardinality=3, momentum=0.0, weight_decay=0.0, first_epoch_plain=False, per_update=True)
    optimiser = scheduled_sgd(options, steps_per_epoch=2)
    params, seen = {"head": jnp.zeros(1)}, []
    state = optimiser.init(params)
    for _ in range(7):
        updates, state = optimiser.update({"head": jnp.ones(1)}, state, params)
        seen.append(-float(updates["head"][0]))
    expected = [0.1 * (1 + 10 * i / 6) ** -0.75 for i in (1, 2, 3, 4, 5, 6, 6)]
    np.testing.assert_allclose(seen, expected, rtol=1e-6)
