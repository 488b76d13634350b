"""Sessions of `words15` on sixty clips of real speech: a good shift keeps its gain, one that ruins it is undone."""

import functools

import numpy as np
import pytest

from dhauds_jax.model.record import load
from dhauds_jax.serve import canary
from dhauds_jax.serve.filters import NONE
from dhauds_jax.serve.guards import Limits
from tests.paths import golden
from tests.serve.adapted import Clock, asked, offline, same_bits, sessions_of, state_of

BATCH = 16
SHAPES = (BATCH,)  # one program a model; that rows do not depend on each other is tested in test_sessions


@functools.cache
def model():
    return load("words15")


@functools.cache
def speech():
    """(waves, labels): four clips of each of fifteen words, of six speakers that the model was not trained on."""
    stored = golden("arabic_speech_60")
    return stored["waves"].astype(np.float32) / 2**15, stored["labels"]


def noisy(snr_db, seed):
    """(waves, labels) of all clips with white noise, in random order."""
    waves, labels = speech()
    random = np.random.default_rng(seed)
    noise = random.standard_normal(waves.shape).astype(np.float32)
    power = np.mean(np.square(waves), 1, keepdims=True) / np.mean(np.square(noise), 1, keepdims=True)
    order = random.permutation(len(waves))
    return (waves + np.sqrt(power / 10 ** (snr_db / 10)) * noise)[order], labels[order]


def canary_of(waves, labels):
    return canary.labelled(waves, labels, "test")


def ask(sessions, name, waves):
    """Answers to requests of an update's clips."""
    every = np.ones(BATCH, np.float32)
    starts = range(0, len(waves), BATCH)
    return np.concatenate([sessions.predict(name, waves[at : at + BATCH], every)[0] for at in starts])


def right(said, labels):
    return float(np.mean(said.argmax(-1) == labels))


def one_class(count):
    """One word again and again, never twice the same samples."""
    waves, labels = speech()
    random = np.random.default_rng(1)
    four = waves[labels == 3]
    return np.concatenate([four + 1e-3 * random.standard_normal(four.shape, np.float32) for _ in range(count // 4)])


def silence(count):
    """A quiet room: noise at -60 dBFS."""
    return 1e-3 * np.random.default_rng(2).standard_normal((count, 16_000), np.float32)


def label_noise(count):
    """Sounds of no class, which get whatever label: noise as loud as speech, of all colours."""
    random = np.random.default_rng(3)
    spectrum = np.fft.rfft(random.standard_normal((count, 16_000)))
    spectrum *= np.maximum(np.arange(spectrum.shape[1]), 1) ** -random.uniform(0, 2, (count, 1))
    found = np.fft.irfft(spectrum)
    return (0.1 * found / found.std(1, keepdims=True)).astype(np.float32)


RUINS = {"one_class": one_class, "silence": silence, "label_noise": label_noise}


@pytest.mark.slow
def test_a_good_shift_keeps_its_gain_and_the_state_of_batch1():
    """White noise at 6 dB: no update is refused, so the state is that of the protocol, bit for bit."""
    waves, labels = (np.concatenate(both) for both in zip(*(noisy(6.0, seed) for seed in range(4)), strict=True))
    how = asked("tent", adapt_batch=BATCH, limits=Limits())
    sessions = sessions_of(model(), how, shapes=SHAPES, labelled=canary_of(*noisy(6.0, 77)), clock=Clock(), warm=True)
    name = sessions.open()
    said = ask(sessions, name, waves)
    sessions._holding.get(name).finish()
    told = sessions.describe(name)
    assert told["rollbacks"] == 0 and told["updates"] == 15 and told["answers_from"] == "session"
    state, _ = offline(model(), how, waves)
    assert same_bits(state_of(sessions, name), state)
    last = slice(180, 240)
    source = right(sessions._holding.get(name).source(waves[last]), labels[last])
    assert source < 0.25 and right(said[last], labels[last]) > source + 0.3


@pytest.mark.slow
@pytest.mark.parametrize("ruin", RUINS)
def test_a_stream_that_ruins_a_session_is_undone_within_two_updates(ruin):
    """TENT at a hundred times its rate; without guards it loses more than half of the words."""
    waves, labels = speech()
    bad = RUINS[ruin](6 * BATCH)
    after = {}
    for name, limits, labelled in (("off", None, None), ("on", Limits(), canary_of(waves, labels))):
        how = asked("tent", {"lr": 0.1}.items(), adapt_batch=BATCH, limits=limits, filters=NONE)
        sessions = sessions_of(model(), how, shapes=SHAPES, labelled=labelled, clock=Clock(), warm=True)
        session = sessions.open()
        first = right(sessions.says(session, waves), labels)
        after[name] = []
        for at in range(0, len(bad), BATCH):
            ask(sessions, session, bad[at : at + BATCH])
            sessions._holding.get(session).finish()
            if name == "on" or at + BATCH == len(bad):
                after[name].append(right(sessions.says(session, waves), labels))
            if name == "on" and at == BATCH:
                assert sessions.describe(session)["rollbacks"] >= 1
    assert first == 58 / 60 and after["off"][-1] < 0.45
    assert min(after["on"]) >= first - 0.05 - 1e-9
