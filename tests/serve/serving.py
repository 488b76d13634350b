"""A service over real sockets whose network is a few lines of NumPy, and a client without a library's help."""

from __future__ import annotations

import contextlib
import http.client
import io
import json
import socket
import struct
import threading
import time
from typing import Any

import numpy as np
import soundfile

from dhauds_jax.serve import running
from dhauds_jax.serve.app import create_app
from dhauds_jax.serve.batching import Batcher
from dhauds_jax.serve.compute import Compute
from dhauds_jax.serve.contracts import ClosedSession, Served, TooManySessions, UnknownSession
from dhauds_jax.serve.counters import Counters
from dhauds_jax.serve.decode import Decoders
from dhauds_jax.serve.reading import Wanted
from dhauds_jax.serve.service import Service

RATE, LENGTH, CLASSES = 8_000, 2_000, ("bark", "howl", "meow")
SHAPES = (1, 2, 4, 8)
POISON = 0.75
"""A first sample for which the network's numbers are not finite."""


def probabilities(waves):
    """Three numbers of each window alone: a softmax of its energy in three stretches."""
    parts = (
        np.abs(np.float64(waves)).reshape(len(waves), 3, -1)[:, :, ::7].mean(-1) if waves.shape[1] % 3 == 0 else None
    )
    if parts is None:
        parts = np.stack([np.abs(np.float64(waves[:, k::3])).mean(-1) for k in range(3)], -1)
    scores = np.exp(20 * parts)
    found = scores / scores.sum(-1, keepdims=True)
    found[waves[:, 0] == np.float32(POISON)] = np.nan
    return found


class Network:
    """A predictor that can be held up; notes the batches that it was given."""

    def __init__(self) -> None:
        self.batches: list[tuple[str, int, int]] = []
        self.open = threading.Event()
        self.open.set()
        self.reached = threading.Event()

    def predict(self, session: str, waves: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        self.reached.set()
        assert self.open.wait(60)
        self.batches.append((session, len(waves), int(weights.sum())))
        found = probabilities(waves)
        return (found[:, ::-1], found) if session else (found, None)

    def work(self) -> bool:
        return False


class FakeSessions(Network):
    """The face of `Sessions`: names, and answers turned around in a session."""

    def __init__(self, most: int = 2) -> None:
        super().__init__()
        self.most, self.names, self.closed, self.resets = most, [], set(), 0

    def open_one(self) -> str:
        if len(self.names) >= self.most:
            raise TooManySessions
        self.names.append(f"{len(self.names) + len(self.closed):032x}")
        return self.names[-1]

    def _check(self, name: str) -> None:
        if name in self.closed:
            raise ClosedSession(name)
        if name not in self.names:
            raise UnknownSession(name)

    def close(self, name: str) -> None:
        self._check(name)
        self.names.remove(name)
        self.closed.add(name)

    def reset(self, name: str) -> None:
        self._check(name)
        self.resets += 1

    def describe(self, name: str) -> dict[str, Any]:
        self._check(name)
        return {"method": "fake", "updates": 3, "rollbacks": 1}

    def totals(self) -> dict[str, Any]:
        return {
            **dict.fromkeys(("open", "opened", "removed", "from_source", "updates", "rollbacks"), 1),
            "rollbacks_by_reason": {"canary": 1},
            "left_out": {},
            "top_class": 0.5,
        }

    def predict(self, session: str, waves: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        if session:
            self._check(session)
        return super().predict(session, waves, weights)


class _Face:
    """`open` of the sessions is an event in the network: the service sees the function."""

    def __init__(self, fake: FakeSessions) -> None:
        self.open, self.close, self.reset = fake.open_one, fake.close, fake.reset
        self.describe, self.totals = fake.describe, fake.totals


def service_of(network: Network, *, limit: int = 64, wait_s: float = 0.002, decoders: int = 0, **more: Any) -> Service:
    """A service over a network that does not run yet."""
    served = Served(RATE, LENGTH, CLASSES, SHAPES, dict, lambda waves, weights: probabilities(waves))
    batcher, counters = Batcher(SHAPES, LENGTH, wait_s=wait_s, limit=limit), Counters()
    return Service(
        served=served,
        batcher=batcher,
        compute=Compute(network, batcher, ran=counters.ran),
        wanted=Wanted(RATE, LENGTH, longest=more.pop("longest", 20.0)),
        counters=counters,
        decoders=Decoders(decoders, more.pop("decode_s", 10.0)),
        sessions=_Face(network) if isinstance(network, FakeSessions) else None,
        **more,
    )


class Running:
    """A service that runs, and its address."""

    def __init__(self, service: Service) -> None:
        self.service = service
        bound = running.reserved("127.0.0.1", 0)
        self.port, opened = bound.getsockname()[1], threading.Event()
        service.compute.start()
        self._thread = threading.Thread(
            target=running.run, args=(service, create_app(service), bound, opened.set), daemon=True
        )
        self._thread.start()
        assert opened.wait(60)

    def stop(self) -> None:
        """As SIGTERM does, without a signal."""
        self.service.draining = True
        self._thread.join(60)
        assert not self._thread.is_alive()
        assert self.service.compute.stop(60)

    def __call__(
        self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None
    ) -> tuple[int, Any, dict[str, str]]:
        """Status, JSON (or text) and headers of a request on a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        with contextlib.closing(connection):
            connection.request(method, path, body, headers or {})
            return _read(connection.getresponse())

    def classify(self, body: bytes, session: str = "") -> tuple[int, Any, dict[str, str]]:
        """`/v1/classify` of a recording."""
        return self("POST", "/v1/classify", body, {"X-Session-Id": session} if session else {})

    def raw(self, *pieces: bytes, pause: float = 0.0) -> bytes:
        """All that comes back on a connection on which these bytes are sent."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=60) as connection:
            for piece in pieces:
                connection.sendall(piece)
                time.sleep(pause)
            return b"".join(iter(lambda: _received(connection), b""))


def _received(connection: Any) -> bytes:
    try:
        return connection.recv(65_536)
    except ConnectionResetError:
        return b""


def _encoding(headers: dict[str, str]) -> str:
    """That of texts; bytes that are none keep their values."""
    return "latin-1" if headers.get("content-type") == "application/octet-stream" else "utf-8"


def _read(response: http.client.HTTPResponse) -> tuple[int, Any, dict[str, str]]:
    text, headers = response.read(), {name.lower(): value for name, value in response.getheaders()}
    said = (
        json.loads(text)
        if "json" in headers.get("content-type", "") and text.strip()
        else text.decode(_encoding(headers))
    )
    return response.status, said, headers


@contextlib.contextmanager
def served(network: Network | None = None, **more: Any):
    """A block in which a service runs."""
    made = Running(service_of(network or Network(), **more))
    try:
        yield made
    finally:
        made.stop()


def tone(samples: int = LENGTH, seed: int = 0) -> np.ndarray:
    """A noisy tone at `RATE`."""
    rng = np.random.default_rng(seed)
    rise = np.linspace(0.2, 1, samples) if seed % 2 else 1.0
    return (rise * (0.3 * np.sin(np.arange(samples) * (0.05 + 0.01 * seed)) + 0.05 * rng.normal(size=samples))).astype(
        np.float32
    )


def recording(wave: np.ndarray, rate: int = RATE, kind: str = "WAV", subtype: str = "PCM_16") -> bytes:
    """A file of a wave, (time,) or (time, channels)."""
    file = io.BytesIO()
    soundfile.write(file, wave, rate, format=kind, subtype=subtype)
    return file.getvalue()


def wav(
    data: bytes = b"\1\0" * 100,
    *,
    tag: int = 1,
    bits: int = 16,
    channels: int = 1,
    rate: int = RATE,
    frame: int | None = None,
    promised: int | None = None,
    before: bytes = b"",
    behind: bytes = b"",
) -> bytes:
    """A wav byte by byte, so that its header can say what no library would write."""
    frame = channels * bits // 8 % 2**16 if frame is None else frame
    form = struct.pack("<HHIIHH", tag, channels, rate, rate * frame % 2**32, frame, bits)
    body = b"WAVE" + before + b"fmt " + struct.pack("<I", len(form)) + form
    body += b"data" + struct.pack("<I", len(data) if promised is None else promised) + data + behind
    return b"RIFF" + struct.pack("<I", len(body)) + body


FLAC_AND_OGG = (("FLAC", "PCM_16"), ("OGG", "VORBIS"))
"""What processes decode."""


def in_thread(function, *words):
    """A function that waits for what another gives in a thread."""
    found = []
    thread = threading.Thread(target=lambda: found.append(function(*words)))
    thread.start()

    def wait():
        thread.join(60)
        return found[0]

    return wait


def wait_until(true, seconds=60.0):
    """Waits for something that comes about in another thread."""
    event = threading.Event()
    for _ in range(int(seconds / 0.005)):
        if true():
            return
        event.wait(0.005)
    raise AssertionError("it never came about")
