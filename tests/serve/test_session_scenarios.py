"""Sessions of `words15` on sixty clips of real speech: a good shift keeps its gain, a stream that ruins it is undone."""

import functools

import numpy as np
import pytest

from dhauds_jax.model.record import load
from dhauds_jax.serve import canary
from dhauds_jax.serve.filters import NONE
from dhauds_jax.serve.guards import Limits
from tests.goldens.golden_weights import golden
from tests.serve.adapted import Clock, asked, offline, same_bits, served_of, sessions_of, state_of

SHAPES = (1, 16)
BATCH = 16


@functools.cache
def model():
    return load("words15")


@functools.cache
def speech():
    """(waves, labels): four clips of each of fifteen words, of six speakers that the model was not trained on."""
    stored = golden("arabic_speech_60")
    names = [file.split("/")[1] for file in stored["files"]]
    labels = np.array([model().classes.index(name) for name in names], np.int32)
    return stored["waves"].astype(np.float32) / 2**15, labels


def noisy(snr_db, seed):
    """All clips with white noise, in random order."""
    waves, labels = speech()
    random = np.random.default_rng(seed)
    noise = random.standard_normal(waves.shape).astype(np.float32)
    power = np.mean(np.square(waves), 1, keepdims=True) / np.mean(np.square(noise), 1, keepdims=True)
    order = random.permutation(len(waves))
    return (waves + np.sqrt(power / 10 ** (snr_db / 10)) * noise)[order], labels[order]


def stream(count, snr_db):
    waves, labels = zip(*(noisy(snr_db, seed) for seed in range(-(-count // 60))), strict=True)
    return np.concatenate(waves)[:count], np.concatenate(labels)[:count]


def canary_of(waves, labels):
    return canary.labelled(waves, labels, "test")


def ask(sessions, name, waves):
    """Answers one by one."""
    one = np.ones(1, np.float32)
    return np.concatenate([sessions.predict(name, wave[None], one)[0] for wave in waves])


def right(said, labels):
    return float(np.mean(said.argmax(-1) == labels))
