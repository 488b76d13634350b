"""The compute thread: an exception costs its own batch or call, updates wait, a thread that is stuck is noticed."""

import math
import threading
from concurrent.futures import Future
from types import SimpleNamespace

import numpy as np
import pytest

from dhauds_jax.serve import compute as computing
from dhauds_jax.serve.batching import Item
from dhauds_jax.serve.contracts import Stuck
from dhauds_jax.serve.counters import Counters
from tests.serve.simulated import Simulated

WAIT = 60
"""Seconds after which a test that hangs fails."""


@pytest.fixture
def service():
    """A service whose thread runs, on a clock that stands still."""
    made = Simulated((1, 2, 4), raising=("broken",))
    made.compute.start()
    yield made
    made.compute.stop(WAIT)


def test_an_exception_fails_its_batch_alone_and_the_thread_lives(service):
    broken, good = service.submit(1, "broken"), service.submit(1)
    with pytest.raises(RuntimeError, match="session broken"):
        broken.result(WAIT)
    assert good.result(WAIT).probabilities.tolist() == [[1, 0]]
    assert service.submit(2).result(WAIT).probabilities.tolist() == [[2, 0], [2, 1]]


def test_predictions_of_another_shape_fail_their_batch(service):
    service.predictor.predict = lambda session, waves, weights: (np.zeros((9, 2)), None)
    with pytest.raises(ValueError, match=r"shape \(9, 2\) for 1 rows"):
        service.submit(1).result(WAIT)


def test_calls_run_on_the_thread_and_their_errors_are_theirs(service):
    assert service.compute.call(lambda: threading.current_thread().name).result(WAIT) == "compute"
    with pytest.raises(ZeroDivisionError):
        service.compute.call(lambda: 1 / 0).result(WAIT)
    assert service.submit(1).result(WAIT).batch == 1


def test_the_source_models_answer_comes_along():
    service = Simulated((2,))
    service.predictor.predict = lambda session, waves, weights: (waves, waves + 1)
    future = service.submit(3)
    service.drain()
    assert future.result(0).source.tolist() == [[1, 1], [1, 2], [1, 3]]


def test_work_waits_until_nobody_does():
    service = Simulated((1,), wait_s=1.0)
    service.batcher.coming = 1
    service.submit(1)
    service.turn()
    assert service.turn() == math.inf
    assert (len(service.predictor.batches), service.predictor.works) == (1, 0)  # someone is on the way
    service.batcher.coming = 0
    service.turn()
    assert service.predictor.works == 1
    service.predictor.work = lambda: True
    assert service.turn() == 0.0


def test_what_ran_is_told():
    service = Simulated((4,), seconds=0.5, raising=("broken",))
    service.submit(3), service.submit(1, "broken")
    service.compute.call(lambda: None)
    service.drain()
    told = [(one.kind, one.seconds, one.rows, one.shape, one.error is None) for one in service.ran]
    assert told[:3] == [("call", 0.0, 0, 0, True), ("batch", 0.5, 3, 4, True), ("batch", 0.5, 1, 4, False)]


def test_stopping_answers_what_waits_and_refuses_what_comes():
    service = Simulated((1,), wait_s=1e9)
    service.batcher.coming = 0
    futures = [service.submit(5) for _ in range(3)]
    service.compute.start()
    assert service.compute.stop(WAIT)
    assert [len(future.result(0).probabilities) for future in futures] == [5, 5, 5]
    with pytest.raises(Stuck, match="has ended"):
        service.submit(1)
    with pytest.raises(Stuck, match="has ended"):
        service.compute.call(lambda: None).result(WAIT)


def test_a_stuck_thread_is_noticed_and_what_waits_is_given_up():
    service = Simulated((1,))
    hangs, release, noticed = threading.Event(), threading.Event(), threading.Event()

    def predict(session, waves, weights):
        hangs.set()
        release.wait(WAIT)
        return waves, None

    service.predictor.predict = predict
    service.compute.start()
    futures = [service.submit(1), service.submit(1)]
    assert hangs.wait(WAIT)
    service.compute.watch(10, noticed.set, every_s=0.001)
    assert not service.compute.stuck
    service.clock.now += 11
    assert noticed.wait(WAIT) and service.compute.stuck
    for future in futures:
        with pytest.raises(Stuck, match="no life for 11 s"):
            future.result(WAIT)
    with pytest.raises(Stuck, match="no life"):
        service.batcher.submit(Item(np.zeros((1, 2)), "", math.inf, Future()))
    release.set()
    assert service.compute.stop(WAIT)


def test_a_thread_that_died_is_stuck_at_once():
    service = Simulated((1,))
    died, hook = threading.Event(), threading.excepthook
    service.predictor.predict = lambda *_: (_ for _ in ()).throw(SystemExit)
    service.compute.start()
    service.compute.watch(1e9, died.set, every_s=WAIT)
    threading.excepthook = lambda args: None
    try:
        future = service.submit(1)
        assert died.wait(WAIT)
    finally:
        threading.excepthook = hook
    with pytest.raises(Stuck):
        future.result(WAIT)
    assert service.compute.stuck


def test_an_idle_thread_shows_life(service):
    service.clock.now += 1e6
    service.compute.call(lambda: None).result(WAIT)
    service.compute.call(lambda: None).result(WAIT)
    assert service.compute.stalled() == 0


def test_a_call_that_hangs_and_those_behind_it_are_given_up():
    service = Simulated((1,))
    hangs, release, noticed = threading.Event(), threading.Event(), threading.Event()
    service.compute.start()
    first = service.compute.call(lambda: (hangs.set(), release.wait(WAIT)))
    assert hangs.wait(WAIT)
    behind = service.compute.call(lambda: None)
    service.compute.watch(10, noticed.set, every_s=0.001)
    service.clock.now += 11
    assert noticed.wait(WAIT)
    for future in (first, behind, service.compute.call(lambda: None)):
        with pytest.raises(Stuck):
            future.result(WAIT)
    release.set()
    assert service.compute.stop(WAIT)


def test_a_call_that_comes_in_the_moment_of_the_end_is_given_up():
    service = Simulated((1,))
    service.batcher.wake = service.compute._ended.set  # the thread ends between the look and the queue
    with pytest.raises(Stuck, match="has ended"):
        service.compute.call(lambda: None).result(0)


def test_work_that_fails_is_counted_and_told_once(capsys):
    service, counters = Simulated((1,)), Counters()
    service.compute._ran = counters.ran
    service.predictor.work = lambda: 1 / 0
    assert [service.turn() for _ in range(3)] == [math.inf] * 3
    assert capsys.readouterr().err.count("ZeroDivisionError: division by zero") == 1
    assert b"dhauds_failed_work_total 3.0" in counters.text()


def test_ending_the_process_says_why_and_leaves_clients_a_moment(monkeypatch, capfd):
    ended = []
    monkeypatch.setattr(computing.os, "_exit", ended.append)
    monkeypatch.setattr(computing, "time", SimpleNamespace(sleep=ended.append))
    computing.end_process()
    assert ended == [1.5, 4]
    assert "the compute thread is stuck" in capfd.readouterr().err
