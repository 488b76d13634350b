"""Methods whose accuracy at a rate is known, for the tests of tuning: they hear the pitch of `tiny.tone`."""

import jax
import jax.numpy as jnp

from dhauds_jax.types import AdaptState, Method, Prediction
from tests.runs import tiny

BEST = 3e-2
"""Where `peaked` is best: beyond the first values of its line, so that the grid has to go on."""


def _heard(batch, classes):
    """One-hot classes by the loudest frequency."""
    power = jnp.abs(jnp.fft.rfft(batch.wave, axis=-1))
    hertz = power.argmax(-1) * tiny.RATE / batch.wave.shape[-1]
    return jax.nn.one_hot(jnp.round((hertz - 300) / 150).astype(int), classes)


def _method(classifier, scale, turn=0):
    classes = len(classifier.config.classes)

    def predict(state, batch):
        return scale * jnp.roll(_heard(batch, classes), turn, axis=-1)

    def step(state, batch, key):
        return state._replace(step=state.step + 1), Prediction(predict(state, batch), {})

    return Method(lambda v, info: AdaptState(v, (), (), jnp.int32(0)), step, predict, adapts="none", passes=(1, 0))


def peaked(classifier, *, lr: float = 1e-3, axis_name=None):
    """All clips right within a factor of 5 to the 4.5 of `BEST`, the surer the nearer; at rate 0 all are one class."""
    away = jnp.abs(jnp.log(lr / BEST) / jnp.log(5.0)) if lr else 4.5
    return _method(classifier, 2.0 * (4.5 - away))


def harmful(classifier, *, lr: float = 1e-3, axis_name=None):
    """All clips right at rate 0; at every other one wrong, each in its own way, the surer the higher it is."""
    return _method(classifier, 1.0 + lr, turn=1) if lr else _method(classifier, 9.0)
