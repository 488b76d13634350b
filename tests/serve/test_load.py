"""The load generator: what it sends, what it counts as lost, and from when latency counts."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from dhauds_jax.errors import BadInput
from dhauds_jax.serve import http_client, started
from dhauds_jax.serve import load as loads
from dhauds_jax.serve.load import Plan
from tests.serve.tiny_server import Tiny, ok


def send(tiny, plan, bodies=(b"abc", b"defg")):
    place = http_client.place_of(tiny.url, "/v1/classify")
    return asyncio.run(loads.send(place, [http_client.request(place, body) for body in bodies], plan))


def test_a_closed_loop_sends_each_recording_in_turn_on_kept_connections():
    with Tiny() as tiny:
        found = send(tiny, Plan(20, 3))
    assert found.status.tolist() == [200] * 20
    assert sorted(body for _, body in tiny.asked) == [b"abc"] * 10 + [b"defg"] * 10
    assert tiny.connections == 3
    assert all(head.startswith("POST /v1/classify HTTP/1.1\r\nHost: 127.0.0.1:") for head, _ in tiny.asked)
    assert (found.late_s == 0).all() and (found.latency_s > 0).all() and found.wall_s >= found.latency_s.max()
    assert not found.faults


def test_an_open_loop_counts_from_the_planned_moment():
    """Two requests at about the same moment on one connection: the second waits for the first, and that counts."""
    plan = Plan(40, 1, rate=1e6, seed=3)
    with Tiny() as tiny:
        found = send(tiny, plan)
    assert (np.diff(found.latency_s) > 0).all()  # each waits for all before it
    np.testing.assert_allclose(found.latency_s[-1], found.wall_s, rtol=0.2)
    assert found.late_s[0] < found.late_s[-1] < found.latency_s[-1]


def test_moments_are_those_of_a_poisson_process():
    gaps = np.diff(loads.moments(Plan(20_000, 1, rate=50.0)))
    np.testing.assert_allclose([gaps.mean(), gaps.std()], 0.02, rtol=0.03)
    assert (loads.moments(Plan(5, 1, 1.0, seed=1)) == loads.moments(Plan(5, 9, 1.0, seed=1))).all()


def test_what_gets_no_answer_is_lost_and_other_codes_are_kept():
    def answer(number, head, body):
        if number % 4 == 0:
            return None
        if number % 4 == 1:
            return (
                b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
            )
        if number % 4 == 2:
            return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"
        return b"no HTTP\r\n\r\n"

    with Tiny(answer) as tiny:
        found = send(tiny, Plan(40, 1))
    assert [int((found.status == code).sum()) for code in (0, 200, 503)] == [20, 10, 10]
    assert sum(found.faults.values()) == 20 and set(found.faults) == {"IncompleteReadError", "ValueError"}


def test_an_answer_that_does_not_come_is_lost_and_time_is_bounded():
    with Tiny(lambda *_: b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{") as tiny:
        found = send(tiny, Plan(1, 1, timeout_s=0.01))
        assert found.status.tolist() == [0] and dict(found.faults) == {"TimeoutError": 1}
        assert len(send(tiny, Plan(50, 2, longest_s=0.0)).status) == 0


def test_parts_are_joined():
    with Tiny() as tiny:
        parts = [send(tiny, Plan(3, 1)), send(tiny, Plan(2, 1))]
    whole = loads.joined(parts)
    assert len(whole.latency_s) == len(whole.late_s) == len(whole.status) == 5
    assert whole.wall_s == parts[0].wall_s + parts[1].wall_s and whole.cpu_s == parts[0].cpu_s + parts[1].cpu_s


def test_a_connection_that_rested_is_made_anew(monkeypatch):
    async def ask(tiny):
        place = http_client.place_of(tiny.url)
        connection = http_client.Connection(place)
        for _ in range(3):
            assert await connection.ask(http_client.request(place), 60) == (200, b"{}")
        connection.close()

    with Tiny(ok) as tiny:
        asyncio.run(ask(tiny))
        assert tiny.connections == 1
        monkeypatch.setattr(http_client, "STALE_S", -1.0)
        asyncio.run(ask(tiny))
        assert tiny.connections == 4


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("http://127.0.0.1:8080", ("127.0.0.1", 8080, "/")),
        ("http://localhost", ("localhost", 80, "/")),
        ("http://[::1]:9/a/", ("::1", 9, "/a")),
    ],
)
def test_addresses(url, place):
    found = http_client.place_of(url)
    assert found == place and found.is_loopback
    assert not http_client.place_of("http://example.org").is_loopback
    assert http_client.place_of(url, "/v1/classify").path.endswith("/v1/classify")
    assert b"\r\nHost: [::1]:9\r\n" in http_client.request(http_client.place_of("http://[::1]:9"))


@pytest.mark.parametrize("url", ["127.0.0.1:8080", "https://127.0.0.1", "http://", "http://x:y"])
def test_other_addresses_are_refused(url):
    with pytest.raises(BadInput, match="expected http://HOST:PORT"):
        http_client.place_of(url)


@pytest.mark.skipif(sys.platform != "linux", reason="/proc")
def test_seconds_of_processor_are_those_of_the_process_and_its_children():
    """A child that still runs, which has burnt 0.2 s; its parent only waits."""
    child = "import time\nwhile time.process_time() < 0.2: pass\nprint(flush=True)\ninput()"
    parent = "import subprocess, sys; subprocess.run([sys.executable, '-c', sys.argv[1]])"
    words = [sys.executable, "-c", parent, child]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
        alone = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        assert started.Started("", process, 0.0).cpu_s() >= alone + 0.15
        process.stdin.close()
