"""The published loss on probabilities, its gradient and Adam with a falling rate, against PyTorch in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from dhauds_jax.train.optimisers import learning_rate, make_optimiser
from dhauds_jax.train.request import TrainOptions
from dhauds_jax.tta import losses
from tests.goldens.golden_weights import golden_array
from tests.paths import golden, largest_error

GOLDEN = golden("tomofun_losses")
ADAM = {"optimiser": "adam", "lr": 1e-4, "weight_decay": 0.0}


@pytest.mark.parametrize("case", ["a", "b"])
@pytest.mark.parametrize("temperature", ["logits", "0.5", "1", "2", "5"])
def test_the_loss_and_its_gradient_are_pytorch_s(case, temperature):
    name = f"{case}_loss_logits" if temperature == "logits" else f"{case}_loss_probs_t{temperature}"

    def loss(logits):
        if temperature == "logits":
            return losses.smoothed_cross_entropy(logits, jnp.asarray(GOLDEN[f"{case}_labels"]), smoothing=0.1)
        settings = {"smoothing": 0.1, "temperature": float(temperature)}
        return losses.double_softmax_cross_entropy(logits, jnp.asarray(GOLDEN[f"{case}_labels"]), **settings)

    value, gradient = jax.value_and_grad(loss)(jnp.asarray(GOLDEN[f"{case}_logits"], jnp.float32))
    assert float(value) == pytest.approx(float(GOLDEN[name]), rel=1e-6)
    assert largest_error(gradient, GOLDEN[f"{name}_grad"]) <= 1e-7


def test_the_loss_on_probabilities_by_hand():
    """Two classes, logits (0, ln 3), label 1: p = (1/4, 3/4); the loss is that of logits (1/4, 3/4).

    L = -0.95 ln q1 - 0.05 ln q0 with q = softmax(p), so dL/dp = q - (0.05, 0.95), and through the first softmax
    dL/dz0 = p0 p1 (dL/dp0 - dL/dp1).
    """
    logits = jnp.array([[0.0, np.log(3.0)]])
    value, gradient = jax.value_and_grad(losses.double_softmax_cross_entropy)(logits, jnp.array([1]))
    q1 = 1 / (1 + np.exp(-0.5))
    assert float(value) == pytest.approx(-0.95 * np.log(q1) - 0.05 * np.log(1 - q1), rel=1e-6)
    by_p = np.array([1 - q1 - 0.05, q1 - 0.95])
    by_z0 = 3 / 16 * (by_p[0] - by_p[1])
    np.testing.assert_allclose(gradient, [[by_z0, -by_z0]], rtol=1e-5)


def test_the_ends_of_the_loss_are_the_published_constants():
    sure = 100 * jnp.eye(15)[:1]
    of = losses.double_softmax_cross_entropy
    assert float(of(jnp.zeros((1, 15)), jnp.array([3]))) == pytest.approx(float(GOLDEN["uniform_probs"]), rel=1e-6)
    assert float(of(sure, jnp.array([0]))) == pytest.approx(float(GOLDEN["perfect_probs"]), rel=1e-6)
    assert float(of(sure, jnp.array([3]))) == pytest.approx(float(GOLDEN["wrong_probs"]), rel=1e-6)
    assert (round(float(GOLDEN["uniform_probs"]), 3), round(float(GOLDEN["perfect_probs"]), 3)) == (2.708, 1.910)


def test_padded_rows_do_not_count():
    logits, labels = jnp.asarray(GOLDEN["a_logits"], jnp.float32), jnp.asarray(GOLDEN["a_labels"])
    of = losses.double_softmax_cross_entropy
    weights = jnp.asarray(np.arange(24) < 9, jnp.float32)
    assert float(of(logits, labels, weights)) == pytest.approx(float(of(logits[:9], labels[:9])), rel=1e-6)


def trajectory(of, steps, steps_per_epoch, milestones):
    """Weights, biases and losses of every step, and the rate of every epoch."""
    options = TrainOptions(**ADAM, milestones=milestones)
    optimiser = make_optimiser(options, steps_per_epoch)
    layer = {
        "weight": jnp.asarray(golden_array("traj.linear.weight", (15, 16))),
        "bias": jnp.asarray(golden_array("traj.linear.bias", (15,))),
    }

    @jax.jit
    def step(layer, state, x, labels):
        value, gradient = jax.value_and_grad(lambda one: of(x @ one["weight"].T + one["bias"][None], labels))(layer)
        updates, state = optimiser.update(gradient, state, layer)
        return optax.apply_updates(layer, updates), state, value

    state, found, said = optimiser.init(layer), [layer], []
    for s in range(steps):
        x, labels = jnp.asarray(GOLDEN["traj_x"][s % 3], jnp.float32), jnp.asarray(GOLDEN["traj_labels"][s % 3])
        layer, state, value = step(layer, state, x, labels)
        found.append(layer)
        said.append(float(value))
    rate = learning_rate(options, steps_per_epoch)
    return found, said, [rate(e * steps_per_epoch) for e in range(steps // steps_per_epoch)]


@pytest.mark.parametrize(
    ("name", "of", "milestones"),
    [
        ("published_probs", losses.double_softmax_cross_entropy, (25,)),
        ("published_logits", losses.smoothed_cross_entropy, (25,)),
        ("step4_probs", losses.double_softmax_cross_entropy, (4, 8)),
    ],
)
def test_twelve_epochs_of_one_step(name, of, milestones):
    layers, said, rates = trajectory(of, 12, 1, milestones)
    np.testing.assert_allclose(rates, GOLDEN[f"{name}_lr"], rtol=1e-6)
    np.testing.assert_allclose(said, GOLDEN[f"{name}_loss"], rtol=1e-6)
    for part in ("weight", "bias"):
        assert largest_error(np.stack([layer[part] for layer in layers]), GOLDEN[f"{name}_{part}"]) <= 1e-6


def test_forty_epochs_of_three_steps():
    layers, said, rates = trajectory(losses.double_softmax_cross_entropy, 120, 3, (25,))
    np.testing.assert_allclose(rates, GOLDEN["full_lr"], rtol=1e-6)
    np.testing.assert_allclose(said, GOLDEN["full_loss"], rtol=1e-6)
    for part in ("weight", "bias"):
        kept = np.stack([layers[int(s)][part] for s in GOLDEN["full_steps"]])
        assert largest_error(kept, GOLDEN[f"full_{part}"]) <= 3e-6  # float32 itself: 1.0e-6
