"""Which epoch is kept, as the command says it; the rate that it says."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dhauds_jax.train.optimisers import learning_rate, make_optimiser
from dhauds_jax.train.options import TrainOptions
from dhauds_jax.train.selection import kept_variables, kept_words, row

SCORES = [{"accuracy": a, "nll": n} for a, n in ((0.5, 1.2), (0.75, 0.7), (0.6, 0.7), (0.75, 0.9), (0.7, 0.8))]
HISTORY = [row(epoch, 1.0, scores, TrainOptions(selection="best_nll")) for epoch, scores in enumerate(SCORES, 1)]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "kept: epoch 5, the last one (--selection=last)"),
        (
            {"selection": "best_validation"},
            "kept: epoch 4, the best on the validation clips, the latest of 2 that are (75.0 %)",
        ),
        (
            {"selection": "best_nll"},
            "kept: epoch 3, the likeliest labels of the validation clips (nll 0.700, accuracy 60.0 %)",
        ),
        (
            {"selection": "average", "average_from": 3},
            "kept: the mean of the weights after epochs 3 to 5",
        ),
    ],
)
def test_the_sentence_says_which_epoch_and_why(options, words):
    assert kept_words(HISTORY, TrainOptions(**options)) == words


@pytest.mark.parametrize(("selection", "kept"), [("best_validation", 4), ("best_nll", 3)])
@pytest.mark.parametrize("broken_off", [0, 3])
def test_the_best_epoch_is_kept_and_its_history_says_by_what(selection, kept, broken_off):
    """The latest of equal ones, also in a training that goes on from a history read back."""
    options, found, history = TrainOptions(selection=selection), {"w": jnp.zeros(())}, []
    for epoch, scores in enumerate(SCORES, 1):
        found = kept_variables(found, {"w": jnp.full((), float(epoch))}, scores, history, options)
        history.append(row(epoch, 1.0, scores, options))
        history = json.loads(json.dumps(history)) if epoch == broken_off else history
    assert float(found["w"]) == kept
    assert set(history[0]) == {"epoch", "loss", "validation", *(["nll"] if selection == "best_nll" else [])}


@pytest.mark.parametrize(
    "options",
    [
        {"first_epoch_plain": False},
        {"optimiser": "multistep", "milestones": (1, 3), "warmup_steps": 100},
        {"optimiser": "adam", "milestones": (2,)},
    ],
)
def test_the_rate_that_is_written_is_that_of_the_update(options):
    """A gradient of 1 moves a weight by the rate, without momentum and decay (Adam: but for its rounding)."""
    options = TrainOptions(momentum=0.0, weight_decay=0.0, epochs=4, **options)
    optimiser, rate = make_optimiser(options, 60), learning_rate(options, 60)
    state = optimiser.init({"w": jnp.ones(())})
    update = jax.jit(lambda state: optimiser.update({"w": jnp.ones(())}, state, {"w": jnp.ones(())}))
    found = []
    for _ in range(200):
        step, state = update(state)
        found.append(-float(step["w"]))
    np.testing.assert_allclose([rate(count) for count in range(200)], found, rtol=2e-5, atol=1e-9)  # Adam rounds


def test_the_rate_of_adamw_rises_and_falls():
    rate = learning_rate(TrainOptions(optimiser="adamw", epochs=4, warmup_epochs=1, lr=0.1), 10)
    found = [rate(count) for count in (0, 5, 10, 25, 39)]
    np.testing.assert_allclose(found, [0.0, 0.05, 0.1, 0.05, 0.1 * (1 + np.cos(np.pi * 29 / 30)) / 2], rtol=1e-5)
