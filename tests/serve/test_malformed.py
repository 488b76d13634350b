"""A hundred malformed requests: each is refused in time, a good clip is answered after each, and no file is made."""

import os
import sys

import pytest

from dhauds_jax.serve.service import Limits
from tests.serve.malformed import check, http, requests, send
from tests.serve.serving import FakeSessions, recording, served, tone, wait_until

_WRITTEN: list[str] | None = None


def _audit(event, arguments):
    if event == "open" and _WRITTEN is not None:
        path, mode, flags = arguments
        if set(mode or "") & set("wax+") or flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):  # os.open has no mode
            _WRITTEN.append(str(path))


@pytest.fixture
def written():
    """The files that this process opens to write."""
    global _WRITTEN
    if not getattr(sys, "_audited", False):
        sys.addaudithook(_audit)
        sys._audited = True
    _WRITTEN = []
    yield _WRITTEN
    _WRITTEN = None


def test_files_are_seen_however_they_are_opened(written, tmp_path):
    (tmp_path / "a").write_bytes(b"")
    os.close(os.open(tmp_path / "b", os.O_CREAT | os.O_WRONLY))
    (tmp_path / "a").read_bytes()
    assert written == [str(tmp_path / "a"), str(tmp_path / "b")]


def sent_to_one(count, written):
    limits = Limits(body_timeout_s=0.5)
    good = http(recording(tone()), path="/invocations")
    with served(FakeSessions(), limits=limits, decoders=1, decode_s=2.0) as running:
        written.clear()
        wrong = []
        for one in requests(count):
            wrong += filter(None, [check(one, *send(running.port, one.sent))])
            assert send(running.port, good)[0] == 200, one
        assert wrong == [] and written == []
        wait_until(lambda: not running.service.inflight and not len(running.service.batcher))


def test_twenty_malformed_requests_are_refused(written):
    sent_to_one(20, written)


@pytest.mark.slow
def test_a_hundred_malformed_requests_are_refused(written):
    sent_to_one(100, written)


def test_they_are_the_same_for_a_seed():
    few, many = list(requests(21)), list(requests(42))
    assert many[:21] == few and many[21:] != few and list(requests(21, seed=1)) != few
