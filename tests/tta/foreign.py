"""What a user writes outside the package: `--method=tests.tta.foreign:nudge --protocol=tests.tta.foreign:THINNED`."""

from __future__ import annotations

import numpy as np
import optax

from dhauds_jax.nets.normalisers import EVAL
from dhauds_jax.tta import losses, protocols
from dhauds_jax.tta.streams import Stream, shuffled
from dhauds_jax.tta.update import Evaluated, first_state, gradient_update
from dhauds_jax.types import Method, Prediction

NOT_A_FACTORY = 3


def biases_of_the_head(path):
    """A rule of its own over the paths of parameters, in place of a group's name."""
    return path[0] == "head" and path[-1] == "bias"


def nudge(classifier, *, lr: float = 0.1, evaluations: int = 1, axis_name=None):
    """Minimises the mean entropy by the head's biases alone, in evaluation mode; predicts before the update."""
    optimiser = optax.sgd(lr)

    def init(variables, info):
        return first_state("tests.tta.foreign:nudge", variables, optimiser, biases_of_the_head)

    def predict(state, batch):
        return classifier.apply(state.variables, batch.wave, mode=EVAL)[0].logits

    def step(state, batch, key):
        def loss(variables):
            logits = classifier.apply(variables, batch.wave, mode=EVAL)[0].logits
            value = losses.entropy(logits, batch.weights, axis_name, epsilon=0.0)
            return value, Evaluated({"total": value}, variables["batch_stats"], logits)

        state, evaluated = gradient_update(state, loss, optimiser, biases_of_the_head, axis_name)
        return state, Prediction(evaluated.logits, evaluated.losses)

    return Method(init, step, predict, adapts=biases_of_the_head, passes=(evaluations, 1))


def on_one_device(classifier):
    """A factory without `axis_name`, whose method needs what nobody has."""
    return nudge(classifier)._replace(needs=("batch_nrm",))


def forgetful(classifier, *, axis_name=None):
    """A factory that returns nothing."""


def every_other(key, clips, domains, labels, options) -> Stream:
    """Every `stride`-th clip of the shuffled set."""
    rows = shuffled(key, clips).rows[:: options["stride"]]
    return Stream(rows, np.zeros(len(rows), np.int64))


THINNED = protocols.Protocol(
    "one pass over every `stride`-th clip",
    options={**protocols.STREAM_OPTIONS, "stride": 2},
    stream=every_other,
    ranges={"stride": protocols.Range(1)},
)


def surest_clip(logits) -> float:
    """A criterion of its own: the largest logit of the set."""
    return float(np.max(logits))


def of_nothing():
    """A factory that takes no classifier."""
    return None
