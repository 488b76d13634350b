"""Fifty clients at once on a real network: every answer is the one that its recording gets alone, nothing compiles."""

import threading

import numpy as np
import pytest

from dhauds_jax.metrics import softmax
from dhauds_jax.model import load
from dhauds_jax.runs import serve
from dhauds_jax.serve.reading import heard
from dhauds_jax.serve.request import ServeRun
from dhauds_jax.serve.wav import read
from tests.runs import tiny
from tests.serve.serving import Running, recording

CLIENTS, EACH = 50, 2
LENGTHS = (0.02, 0.3, 1.0, 1.7, 2.6)
RATES = (8_000, 16_000, 22_050, 44_100)


def clip(number):
    rng = np.random.default_rng(number)
    rate, seconds = RATES[number % len(RATES)], LENGTHS[number % len(LENGTHS)]
    wave = 0.3 * np.sin(np.arange(int(rate * seconds)) * rng.uniform(0.05, 0.5)) + 0.05 * rng.normal(size=1)
    kind, subtype = (("WAV", "PCM_16"), ("WAV", "FLOAT"), ("FLAC", "PCM_16"))[number % 3]
    return recording(np.float32(wave), rate, kind, subtype)


@pytest.mark.slow
def test_answers_are_those_of_the_recordings_alone_and_nothing_is_compiled(tmp_path):
    checkpoint = tiny.make_checkpoint(tmp_path / "checkpoint")
    service = serve.made(ServeRun(checkpoint=(str(checkpoint),), max_batch=8, decoders=1))
    running = Running(service)
    try:
        compiled = serve.warm(service)
        bodies = [clip(number) for number in range(CLIENTS * EACH)]
        answers = [None] * len(bodies)

        def client(first):
            for number in range(first, len(bodies), CLIENTS):
                answers[number] = running("POST", "/v1/classify", bodies[number])

        threads = [threading.Thread(target=client, args=(first,)) for first in range(CLIENTS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(300)
        assert all(status == 200 for status, *_ in answers)
        assert serve.gauges(service, compiled)["compilations_after_warm_up_total"] == 0
        largest = max(said["batch"] for _, said, _ in answers)
    finally:
        running.stop()
    assert largest > 1
    model = load(checkpoint)
    for number, (_, said, _) in enumerate(answers):
        if number % 3 < 2:  # what is decoded in another process is compared elsewhere
            found = heard(read(bodies[number], 60.0), service.wanted)
            alone = np.concatenate(
                [service.served.predict(window[None], np.ones(1, np.float32)) for window in found.windows]
            )
            served = np.array([window["probabilities"] for window in said["windows"]])
            assert np.abs(served - alone).max() < 1e-6
            if number < 6:
                assert np.abs(served - softmax(model.logits(found.windows))).max() < 1e-5
