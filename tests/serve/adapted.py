"""Sessions over a tiny net, and what protocol `batch1` makes of the same clips offline."""

from __future__ import annotations

import functools
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np

from dhauds_jax.metrics import softmax
from dhauds_jax.model.record import Model
from dhauds_jax.nets.normalisers import EVAL
from dhauds_jax.serve import adaptation
from dhauds_jax.serve.adaptation import Adaptation
from dhauds_jax.serve.contracts import Served
from dhauds_jax.serve.filters import NONE
from dhauds_jax.serve.sessions import Sessions
from dhauds_jax.tta import methods, protocols, streams
from dhauds_jax.types import RunInfo
from tests.tta import tiny

BATCH, SHAPES = 4, (1, 2, 4, 8)


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


def model_of(classifier, variables):
    return Model(classifier, jax.tree.map(jnp.asarray, variables), classifier.config)


@functools.cache
def tiny_model(kind="batch_norm"):
    classifier = tiny.traced_once(tiny.tiny_classifier(kind))
    return model_of(classifier, tiny.variables_of(classifier, tiny.LENGTH))


@functools.cache
def served_of(model, shapes=SHAPES):
    """The source model as the engine would serve it."""
    apply = jax.jit(lambda variables, wave: model.classifier.apply(variables, wave, mode=EVAL)[0].logits)

    def predict(waves, weights):
        assert len(waves) in shapes and weights.shape == (len(waves),)
        waves = waves if waves.dtype == np.float32 else waves * np.float32(2**-15)
        return softmax(np.asarray(apply(model.variables, waves)))

    def warm():
        return {n: float(predict(np.zeros((n, model.config.length), np.float32), np.ones(n))[0, 0]) for n in shapes}

    config = model.config
    return Served(config.sample_rate, config.length, tuple(config.classes), shapes, warm, predict)


def asked(method="tent", options=(), **changes):
    """How the tests adapt: every update kept and every clip learnt from, but for `changes`."""
    resolved = methods.resolve_options(method, "corrected", dict(options))
    plain = {"adapt_batch": BATCH, "limits": None, "filters": NONE, "update": "before_next"}
    return Adaptation(method, resolved, **{**plain, **changes})


_PROGRAMS = {}


def _programs(model, how, shapes, make=adaptation.programs):
    """Compiled once for all tests: what is judged and left out is no part of a program."""
    key = (model, how.method, tuple(how.options.items()), how.adapt_batch, how.epoch_updates, how.seed, shapes)
    if key not in _PROGRAMS:
        _PROGRAMS[key] = make(model, how, shapes)
    return _PROGRAMS[key]


def sessions_of(model, how, *, shapes=SHAPES, warm=False, **more):
    """Sessions whose programs are shared with those of other tests."""
    adaptation.check(how)
    with mock.patch.object(adaptation, "programs", _programs):
        made = Sessions(served_of(model, shapes), model, how, **more)
    if warm:
        made.warm()
    return made


def ask(sessions, name, waves, shapes=SHAPES):
    """Answers to one request; its rows are padded as the batcher would."""
    rows = next(n for n in shapes if n >= len(waves))
    weights = (np.arange(rows) < len(waves)).astype(np.float32)
    padded = np.concatenate([waves, np.zeros((rows - len(waves), *waves.shape[1:]), waves.dtype)])
    return sessions.predict(name, padded, weights)[0][: len(waves)]


def state_of(sessions, name):
    return sessions._holding.get(name).state


@functools.cache
def _compiled(model, name, options):
    method = methods.make(name, model.classifier, dict(options))
    return method, protocols.compiled(method)


def offline(model, how, waves):
    """(last state, probabilities as the clips came by) of protocol `batch1` over the same clips in the same order."""
    method, run = _compiled(model, how.method, tuple(how.options.items()))
    steps = how.epoch_updates
    info = RunInfo(steps, steps * how.adapt_batch, len(model.classes), None, how.adapt_batch)
    rows = np.arange(len(waves) // how.adapt_batch * how.adapt_batch)
    stream = streams.batches(streams.Stream(rows, np.zeros_like(rows)), how.adapt_batch)
    said = []
    for step in protocols.online(
        run,
        method.init(model.variables, info),
        waves,
        batch_size=how.adapt_batch,
        key=jax.random.key(how.seed),
        stream=stream,
        alone=True,
    ):
        said.append(softmax(np.asarray(step.logits)))
    return step.state, np.concatenate(said)


def same_bits(served, whole):
    """Whether a session's state has the bits of an offline one; its parameters are the moving ones alone."""
    moving = jax.tree_util.tree_leaves_with_path(served)
    every = {jax.tree_util.keystr(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(whole)}
    return all(
        np.array_equal(np.asarray(leaf), np.asarray(every[jax.tree_util.keystr(path)]), equal_nan=True)
        for path, leaf in moving
    )
