"""Requests that are wrong in a thousand ways, from a seed; and a command that sends them to a real service.

`python -m tests.serve.malformed --requests=1000` starts `experiments.serve` in an empty folder, sends them, a good clip
after each, and prints how many got which status; it fails where one was not refused within 3 s, a good clip was not
answered as the first time, or a file was made.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import functools
import io
import os
import pickle
import re
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tests.serve.serving import FLAC_AND_OGG, recording, tone, wav

SLOWEST_S = 3.0
"""Seconds within which each must have its answer."""


class Malformed(NamedTuple):
    """A request as bytes.

    Attributes:
      kind: how it was made.
      sent: all bytes; a client that sends them waits for an answer.
      readable: whether a recording may be left that can be read.
      silent: whether the service may close the connection without a word (no request was made).
    """

    kind: str
    sent: bytes
    readable: bool = False
    silent: bool = False


def http(
    body: bytes, method: str = "POST", path: str = "/v1/classify", length: int | None = None, more: str = ""
) -> bytes:
    """A request as bytes."""
    length = len(body) if length is None else length
    head = f"{method} {path} HTTP/1.1\r\nHost: service\r\nConnection: close\r\nContent-Length: {length}\r\n{more}\r\n"
    return head.encode("latin-1") + body


@functools.cache
def _goods() -> list[bytes]:
    """Recordings; libsndfile gives each Ogg file a number of its own, which no choice below depends on."""
    return [recording(tone(800, seed)) for seed in (0, 1)] + [
        recording(tone(800), kind=kind, subtype=subtype) for kind, subtype in FLAC_AND_OGG
    ]


def cut(rng: np.random.Generator, goods: list[bytes]) -> Malformed:
    """A recording without its end."""
    body = goods[rng.integers(len(goods))]
    return Malformed("cut", http(body[: rng.integers(0, len(body) - 1)]))


def flipped(rng: np.random.Generator, goods: list[bytes]) -> Malformed:
    """Some bits of a recording are others."""
    body = bytearray(goods[rng.integers(len(goods))])
    for at in rng.integers(0, min(len(body), int(rng.choice([44, 200, 10**6]))), rng.integers(1, 9)):
        body[at] ^= 1 << rng.integers(8)
    return Malformed("flipped", http(bytes(body)), readable=True)


def lying(rng: np.random.Generator, goods: list[bytes]) -> Malformed:
    """A wav whose header is wrong."""
    word, long = (lambda: int(rng.integers(2**16))), (lambda: int(rng.integers(2**31, 2**32 - 2**20)))
    made: list[Callable[[], bytes]] = [
        lambda: wav(promised=int(rng.integers(201, 2**31 - 2**24))),
        lambda: wav(channels=int(rng.choice([0, 33, 255, 65_535]))),
        lambda: wav(rate=int(rng.choice([0, 1, 999, 384_001, 2**31, 2**32 - 1]))),
        lambda: wav(frame=int(rng.choice([0, 1, 3, 65_535]))),
        lambda: wav(bits=int(rng.choice([0, 1, 7, 12, 17, 48, 64, 255, 65_535]))),
        lambda: wav(tag=int(rng.choice([0, 2, 6, 7, 17, 49, 80, 85, 255, 65_535])), bits=4, frame=word() | 1),
        lambda: wav(before=b"LIST" + struct.pack("<I", long())),
        lambda: wav(before=b"fmt " + struct.pack("<I", long())),
        lambda: wav(before=b"fact\0\0\0\0cue \xff\xff\xff\x7f"),
        lambda: wav(b"", promised=0),
        lambda: wav(struct.pack("<3f", 0.1, float(rng.choice([np.nan, np.inf, -np.inf])), 0.2), tag=3, bits=32),
        lambda: wav(bytes(8_000), rate=1_000, bits=8)[:44] + bytes(7_000),
        lambda: b"RIFF" + struct.pack("<I", long()) + b"WAVE" + rng.bytes(int(rng.integers(0, 300))),
        lambda: b"RIFF\xff\xff\xff\xffWAVE" + b"junk\0\0\0\0" * 1_500,
        # The shape of libsndfile#1118: 157 bytes, a format and chunks whose sizes lead past the end or back.
        lambda: (wav(before=b"smpl" + struct.pack("<I", 0xFFFFFFF8) + rng.bytes(60)))[:157],
        # Of libsndfile#1108: ADPCM whose blocks are larger than what was set aside for them.
        lambda: wav(rng.bytes(300), tag=int(rng.choice([2, 17])), bits=4, frame=65_535),
    ]
    return Malformed("lying header", http(made[rng.integers(len(made))]()))


def foreign(rng: np.random.Generator, goods: list[bytes]) -> Malformed:
    """Bytes that are no recording."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr(zipfile.ZipInfo("../../dog.wav"), goods[0])
    made = [
        b"",
        archive.getvalue(),
        pickle.dumps({"wave": np.zeros(8)}),
        b"<html></html>",
        b'{"wave": [0, 1]}',
        b"--x\r\nContent-Disposition: form-data; name=a; filename=../a.wav\r\n\r\n" + goods[0] + b"\r\n--x--",
        rng.bytes(int(rng.integers(1, 4_000))),
        b"fLaC" + rng.bytes(int(rng.integers(0, 4_000))),
        b"fLaC\x80\xff\xff\xff" + rng.bytes(600),
        b"OggS\0\2" + rng.bytes(int(rng.integers(0, 4_000))),
        b"OggS\0\4" + bytes(20) + b"\1\x08" + rng.bytes(8),
        b"FORM" + rng.bytes(80),
        b"caff" + rng.bytes(80),
        bytes(int(rng.integers(1, 500))),
    ]
    return Malformed("no recording", http(made[rng.integers(len(made))]))


def misplaced(rng: np.random.Generator, goods: list[bytes]) -> Malformed:
    """A good recording to a wrong place, or about a session with a name that is none."""
    name = str(rng.choice(["../../etc/passwd", "%2e%2e%2fetc", "a" * 5_000, "0" * 31, "%00", "..", "\u00e9"]))
    name = name.encode().decode("latin-1")
    made = [
        http(goods[0], method=str(rng.choice(["GET", "PUT", "PATCH", "DELETE", "OPTIONS", "BREW"]))),
        http(goods[0], path=f"/v1/classify/{name}"),
        http(b"", method="GET", path=f"/v1/sessions/{name}"),
        http(b"", method="DELETE", path=f"/v1/sessions/{name}"),
        http(goods[0], more=f"X-Session-Id: {name}\r\n"),
        http(goods[0], path="/invocations", more=f"X-Amzn-SageMaker-Session-Id: {name}\r\n"),
    ]
    return Malformed("misplaced", made[rng.integers(len(made))])


def broken(rng: np.random.Generator, goods: list[bytes]) -> Malformed:
    """What is no HTTP, or a body that never comes, is too long or of a false length."""
    chunked = "Transfer-Encoding: chunked\r\n"
    head = f"POST /v1/classify HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{chunked}\r\n".encode()
    made = [
        Malformed("no HTTP", rng.bytes(40) + b"\r\n\r\n", silent=True),
        Malformed("no HTTP", b"POST /v1/classify\r\n\r\n", silent=True),
        Malformed("no HTTP", http(goods[0]).replace(b"Host: service\r\n", b""), silent=True),
        Malformed("headers", http(goods[0], more="X: " + "y" * 70_000 + "\r\n")),
        Malformed("half sent", http(goods[0][:300], length=len(goods[0]))),
        Malformed("half sent", head + b"ff\r\n" + goods[0][:255] + b"\r\n"),
        Malformed("half sent", head + b"zz\r\nabc\r\n", silent=True),
        Malformed("headers alone", b"POST /v1/classify HTTP/1.1\r\nHost: x\r\nContent-Le", silent=True),
        Malformed("too large", http(bytes(7 * 2**20))),
        Malformed("too large", head + (b"100000\r\n" + bytes(2**20) + b"\r\n") * 7 + b"0\r\n\r\n"),
        Malformed("false length", http(goods[0], length=2**62)),
    ]
    return made[rng.integers(len(made))]


KINDS = ((cut, 4), (flipped, 3), (lying, 6), (foreign, 4), (misplaced, 3), (broken, 1))
"""How requests go wrong, and how often."""


def requests(count: int, seed: int = 0) -> Iterator[Malformed]:
    """So many of them; the same for a seed, and the first ones the same for any count."""
    goods = _goods()
    makers = [maker for maker, often in KINDS for _ in range(often)]
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        yield makers[number % len(makers)](rng, goods)


def send(port: int, sent: bytes) -> tuple[int, float]:
    """The status of the answer (0: the connection was closed without one), and the seconds until it."""
    began = time.monotonic()
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        received = b""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it has answered, and reads no more
            connection.sendall(sent)
        with contextlib.suppress(ConnectionResetError):
            while piece := connection.recv(65_536):
                received += piece
    found = re.match(rb"HTTP/1\.1 (\d{3})", received)
    return int(found[1]) if found else 0, time.monotonic() - began


def check(one: Malformed, status: int, seconds: float) -> str:
    """What is wrong with the answer to a request; "" for nothing."""
    allowed = 400 <= status < 500 or (one.readable and status == 200) or (one.silent and status == 0)
    if not allowed:
        return f"{one.kind}: status {status} for {one.sent[:200]!r}"
    return f"{one.kind}: {seconds:.1f} s for {one.sent[:200]!r}" if seconds > SLOWEST_S else ""


def main() -> int:
    """Sends them to a real service; returns how many went wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--checkpoint", default="words15")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        words = [sys.executable, "-m", "experiments.serve", f"--checkpoint={asked.checkpoint}", "--port=0"]
        more = ["--max_batch=4", "--body_timeout_s=1", "--adapt=session", "--method=t3a"]
        root = str(Path(__file__).resolve().parents[2])
        place = {**os.environ, "PYTHONPATH": root, "TMPDIR": folder, "PYTHONDONTWRITEBYTECODE": "1"}
        service = subprocess.Popen([*words, *more], cwd=folder, env=place, stdout=subprocess.PIPE, text=True)
        try:
            port = int(re.search(r":(\d+) ", service.stdout.readline())[1])
            return report(asked.requests, asked.seed, port, service.pid, Path(folder))
        finally:
            service.send_signal(signal.SIGTERM)
            print(f"exit code {service.wait(60)}")


def report(count: int, seed: int, port: int, pid: int, folder: Path) -> int:
    """Prints a table of statuses by kind, memory, and what went wrong."""
    good = http(recording(tone(16_000), 16_000), path="/invocations")
    table: dict[str, collections.Counter[int]] = collections.defaultdict(collections.Counter)
    wrong, slowest, before = [], 0.0, None
    for number, one in enumerate(requests(count, seed)):
        status, seconds = send(port, one.sent)
        table[one.kind][status] += 1
        slowest = max(slowest, seconds)
        wrong += filter(None, [check(one, status, seconds)])
        if send(port, good)[0] != 200:
            wrong.append(f"after {one.kind} {number} a good clip is not answered")
        if number == count // 10:
            before = resident(pid)
    for kind, statuses in sorted(table.items()):
        print(f"{kind:15} " + "  ".join(f"{status}: {many}" for status, many in sorted(statuses.items())))
    made = [path.name for path in folder.rglob("*")]
    print(f"slowest {slowest:.2f} s; resident memory {before} -> {resident(pid)} kB; files made: {made or 'none'}")
    for line in wrong[:20]:
        print(line)
    print(f"{len(wrong)} of {count} went wrong")
    return len(wrong) + len(made)


def resident(pid: int) -> int:
    """A process's memory in RAM, in kB."""
    return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1])


if __name__ == "__main__":
    sys.exit(min(1, main()))
