"""Faults over real sockets: clients that leave, a full queue, numbers that are not finite, an end under load."""

import contextlib
import re
import socket

import numpy as np

from dhauds_jax.serve import service as serving_of
from tests.serve.serving import CLASSES, POISON, FakeSessions, Network, in_thread, recording, served, tone, wait_until
from tests.serve.test_app import GOOD, LIMITS, told


def test_one_recording_whose_numbers_are_not_finite_fails_alone():
    bad = recording(np.append(np.float32(POISON), tone()[1:]), subtype="FLOAT")
    network = Network()
    with served(network, wait_s=0.2) as running:
        network.open.clear()
        first = in_thread(running.classify, GOOD)  # holds the network, so that the next two are one batch
        assert network.reached.wait(60)
        both = in_thread(running.classify, bad), in_thread(running.classify, GOOD)
        wait_until(lambda: len(running.service.batcher) == 3)
        network.open.set()
        assert first()[0] == 200
        assert both[0]()[1]["error"]["code"] == "bad_answer" and both[1]()[0] == 200
        assert ("", 2, 2) in network.batches


def test_a_recording_too_loud_for_the_network_is_its_clients_to_mend():
    class Overflows(Network):
        def predict(self, session, waves, weights):
            found, source = super().predict(session, np.minimum(waves, 1), weights)
            return np.where(waves.max(1, keepdims=True) > 1e30, np.nan, found), source

    loud = np.where(np.arange(len(tone())) == 7, np.float32(1e38), tone())
    with served(Overflows()) as running:
        status, said, _ = running.classify(recording(loud, subtype="FLOAT"))
        assert (status, said["error"]["code"]) == (422, "too_loud")
        assert said["error"]["message"] == "samples up to 1e+38, of which the network makes no finite numbers"
        assert running.classify(recording(np.minimum(loud, 3.0), subtype="FLOAT"))[0] == 200


def test_a_client_that_leaves_is_not_computed():
    network = Network()
    with served(network) as running:
        network.open.clear()
        first = in_thread(running.classify, GOOD)
        assert network.reached.wait(60)
        head = f"POST /v1/classify HTTP/1.1\r\nHost: x\r\nContent-Length: {len(GOOD)}\r\n\r\n".encode()
        with socket.create_connection(("127.0.0.1", running.port)) as connection:
            connection.sendall(head + GOOD)
            wait_until(lambda: len(running.service.batcher) == 2)
        wait_until(lambda: running.service.inflight == 1)
        network.open.set()
        assert first()[0] == 200
        assert running.classify(GOOD)[0] == 200
        assert [rows for _, _, rows in network.batches] == [1, 1]
        assert 'route="/v1/classify"} 1.0' in re.search(r".*code=\"499\".*", running("GET", "/metrics")[1])[0]


def test_a_full_queue_says_when_to_come_again():
    network = Network()
    with served(network, limit=2) as running:
        network.open.clear()
        waiting = [in_thread(running.classify, GOOD)]
        assert network.reached.wait(60)
        waiting.append(in_thread(running.classify, GOOD))
        wait_until(lambda: len(running.service.batcher) == 2)
        status, code, headers = told(running, "POST", "/v1/classify", body=GOOD)
        assert (status, code, headers["retry-after"]) == (503, "full", "1")
        assert running("GET", "/ping")[0] == 200  # which never waits for the network
        network.open.set()
        assert [one()[0] for one in waiting] == [200, 200]


def test_more_requests_than_are_worked_on_are_refused():
    network = Network()
    with served(network, limits=LIMITS._replace(requests=1)) as running:
        network.open.clear()
        first = in_thread(running.classify, GOOD)
        assert network.reached.wait(60)
        assert told(running, "POST", "/v1/classify", body=GOOD)[:2] == (503, "full")
        network.open.set()
        assert first()[0] == 200


def test_requests_hold_no_more_memory_together_than_they_may():
    network = Network()
    with served(network, limits=LIMITS._replace(memory_bytes=40_000)) as running:
        network.open.clear()
        first = in_thread(running.classify, GOOD)  # 8 kB of body, 16 kB of samples
        assert network.reached.wait(60)
        assert 24_000 <= running.service.memory.held < 25_000
        status, said, _ = running.classify(GOOD)
        assert (status, said["error"]["code"]) == (503, "full") and "hold" in said["error"]["message"]
        network.open.set()
        assert first()[0] == 200
        wait_until(lambda: running.service.memory.held == 0)
        assert running.classify(GOOD)[0] == 200


def test_the_body_of_a_session_that_is_closed_is_held_too():
    headers = {
        "X-Amzn-SageMaker-Session-Id": "0" * 32,
        "X-Amzn-SageMaker-Custom-Attributes": "close",
    }
    with served(FakeSessions(), limits=LIMITS._replace(memory_bytes=1_000)) as running:
        assert told(running, "POST", "/invocations", body=GOOD, headers=headers)[:2] == (413, "too_large")
        assert told(running, "POST", "/invocations", body=b"", headers=headers)[:2] == (404, "unknown_session")


def test_what_a_file_is_decoded_to_is_held_before_it_is_decoded(monkeypatch):
    """A FLAC of a few kB: 20 s of silence at 96 kHz, 7.7 MB when it is decoded."""
    bomb, asked = recording(np.zeros(1_920_000, np.float32), 96_000, "FLAC"), []
    assert len(bomb) < 50_000
    with served(limits=LIMITS._replace(memory_bytes=2**20)) as running:
        monkeypatch.setattr(running.service.decoders, "decode", lambda *words: asked.append(words))
        assert told(running, "POST", "/v1/classify", body=bomb)[:2] == (413, "too_large")
        assert asked == [] and running.service.memory.held == 0


def test_windows_are_counted_before_they_are_made(monkeypatch):
    """Windows that overlap by 99.9 %: 7 s of sound are 27,001 windows of 8 kB."""
    made = []
    with served(limits=LIMITS._replace(memory_bytes=2**20)) as running:
        running.service.wanted = running.service.wanted._replace(overlap=0.999)
        monkeypatch.setattr(serving_of, "heard", lambda *words: made.append(words))
        body = recording(tone(56_000))
        status, said, _ = running.classify(body)
        assert (status, said["error"]["code"], made) == (413, "too_large", [])
        assert said["error"]["message"] == "the recording takes 207 MB when it is read"


def test_what_takes_too_long_is_told_so():
    network = Network()
    with served(network, limits=LIMITS._replace(deadline_s=0.1)) as running:
        network.open.clear()
        assert told(running, "POST", "/v1/classify", body=GOOD)[:2] == (504, "deadline")
        network.open.set()


def test_an_end_refuses_new_requests_and_answers_accepted_ones():
    network = Network()
    with served(network) as running:
        network.open.clear()
        first = in_thread(running.classify, GOOD)
        assert network.reached.wait(60)
        running.service.draining = True
        for method, path in (("POST", "/v1/classify"), ("GET", "/ping"), ("POST", "/invocations")):
            with contextlib.suppress(ConnectionRefusedError):  # the end may have come: this one was not taken
                status, code, headers = told(running, method, path, body=GOOD)
                assert (status, code, headers["connection"], headers["retry-after"]) == (503, "draining", "close", "5")
        network.open.set()
        status, said, headers = first()
        assert status == 200 and said["label"] in CLASSES and headers["connection"] == "close"


def test_before_it_is_ready_and_when_it_is_stuck_nothing_is_taken():
    with served() as service:
        _nothing_is_taken(service)


def _nothing_is_taken(service):
    for name, value in (("ready", False), ("stuck", True)):
        where = service.service if name == "ready" else service.service.compute
        setattr(where, name, value)
        try:
            assert told(service, "GET", "/ping")[:2] == (503, "not_ready")
            assert told(service, "POST", "/v1/classify", body=GOOD)[:2] == (503, "not_ready")
        finally:
            setattr(where, name, not value)
    assert service("GET", "/ping")[0] == 200
