"""A small HTTP/1.1 client on asyncio's streams: what it costs is what a measurement of a service loses.

It sends whole requests that were made before, one at a time on a connection that is kept, and reads answers whose
length is told or that come in chunks; a load generator on a general client takes as many cores as the service.
"""

from __future__ import annotations

import asyncio
import time
import urllib.parse
from collections.abc import Mapping
from typing import NamedTuple

from dhauds_jax.errors import BadInput

STALE_S = 2.0
"""Seconds after which a connection that nobody used is made anew: the service may be about to close it."""

LOST = (OSError, EOFError, asyncio.LimitOverrunError, ValueError, LookupError, TimeoutError)
"""What a request that gets no answer raises."""


class Place(NamedTuple):
    """Where a service listens, and a path on it."""

    host: str
    port: int
    path: str

    @property
    def is_loopback(self) -> bool:
        """Whether it is this machine."""
        return self.host == "localhost" or self.host == "::1" or self.host.startswith("127.")


def place_of(url: str, route: str = "") -> Place:
    """The parts of an address such as http://127.0.0.1:8080, with a route behind its path.

    Raises:
      BadInput: another kind of address.
    """
    try:
        parts = urllib.parse.urlsplit(url)
        host, port = parts.hostname, parts.port or 80
    except ValueError:
        host, port = None, 0
    if host is None or parts.scheme != "http":
        raise BadInput(f"{url}: no address of a service, expected http://HOST:PORT")
    return Place(host, port, (parts.path.rstrip("/") + route) or "/")


def request(place: Place, body: bytes | None = None, headers: Mapping[str, str] | None = None) -> bytes:
    """A whole request: POST of a body, GET without one."""
    host = f"[{place.host}]" if ":" in place.host else place.host
    lines = [f"{'GET' if body is None else 'POST'} {place.path} HTTP/1.1", f"Host: {host}:{place.port}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    lines += [] if body is None else ["Content-Type: application/octet-stream", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + (body or b"")


class Connection:
    """A connection, opened when it is first needed and again after a fault; one request at a time."""

    def __init__(self, place: Place) -> None:
        """To that place."""
        self.place, self._used = place, 0.0
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, request: bytes, timeout_s: float) -> tuple[int, bytes]:
        """Status and body of the answer to a whole request; raises one of `LOST` where there is none."""
        try:
            async with asyncio.timeout(timeout_s):
                return await self._ask(request)
        except BaseException:
            self.close()  # an answer that was given up may still come
            raise

    async def _ask(self, request: bytes) -> tuple[int, bytes]:
        if time.monotonic() - self._used > STALE_S:
            self.close()
        if self._streams is None:
            self._streams = await asyncio.open_connection(self.place.host, self.place.port)
        reader, writer = self._streams
        writer.write(request)
        await writer.drain()
        status, length, keep = _head(await reader.readuntil(b"\r\n\r\n"))
        body = await (_chunks(reader) if length is None else reader.readexactly(length))
        self._used = time.monotonic()
        if not keep:
            self.close()
        return status, body

    def close(self) -> None:
        """Closes it, where it is open."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


def _head(head: bytes) -> tuple[int, int | None, bool]:
    """Status, length of the body (None: in chunks), and whether the connection is kept."""
    first, *lines = head.decode("latin-1").split("\r\n")
    named = {name.lower(): value.strip().lower() for name, _, value in (line.partition(":") for line in lines)}
    chunked = named.get("transfer-encoding") == "chunked"
    return (
        int(first.split(" ")[1]),
        None if chunked else int(named["content-length"]),
        named.get("connection") != "close",
    )


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    parts = []
    while size := int(await reader.readuntil(b"\r\n"), 16):
        parts.append(await reader.readexactly(size))
        await reader.readexactly(2)
    await reader.readexactly(2)
    return b"".join(parts)
