"""One process that serves: a port that opens when everything is warm, and an end that leaves nobody without answer."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import logging
import os
import socket
import sys
import time
from collections.abc import Callable
from typing import Any

from dhauds_jax.errors import BadInput
from dhauds_jax.serve.app import HEADER_BYTES
from dhauds_jax.serve.service import Service

GRACE_S = 25.0
"""Seconds from SIGTERM to the end; SageMaker kills after 30."""

REFUSING_S = 0.3
"""Seconds for which new requests are told of the end, however soon the accepted ones have their answers."""

KEEP_ALIVE_S = 5
"""Seconds for which a connection without requests is kept."""

SAVING_S = 4.0
"""Of the seconds until the end, those that are left to the compute thread when all connections are closed."""

CONNECTIONS = 1024
"""Connections at once; more are closed at once, so that files and memory are left to those that there are."""

BACKLOG = 512
"""Connections that wait to be taken."""


def reserved(host: str, port: int) -> socket.socket:
    """A socket that holds a port, which refuses connections until a server listens at it.

    Args:
      host: a name or an address.
      port: 0 takes one that is free.

    Raises:
      BadInput: the port is taken, or may not be used.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        found = socket.socket(family, kind, protocol)
    except OSError as error:
        raise BadInput(
            f"--host={host}: {error.strerror or error}, expected a name or an address of this machine"
        ) from None
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind(address)
    except OSError as error:
        found.close()
        if error.errno == errno.EADDRNOTAVAIL:
            raise BadInput(
                f"--host={host}: is no address of this machine ({error.strerror}), expected one that is, such as "
                "127.0.0.1, or 0.0.0.0 for all"
            ) from None
        raise BadInput(
            f"--port={port}: cannot be used at {host} ({error.strerror or error}), expected a free port, such as "
            "--port=0 for any"
        ) from None
    return found


def address(bound: socket.socket) -> str:
    """The address of a service at a socket, as a browser takes it."""
    host, port = bound.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
    return f"http://{host}:{port}"


def leave() -> None:
    """Ends the process at once, with code 0."""
    sys.stdout.flush()
    os._exit(0)


def freeze() -> None:
    """Takes what there is out of the garbage collector's sight, once all is warm: it lives as long as the process.

    A collection of all generations looks at some 200,000 objects of JAX and stops every thread meanwhile, which fifty
    requests would wait for; of what requests leave behind it takes a few milliseconds.
    """
    gc.collect()
    gc.freeze()


def run(service: Service, app: Any, bound: socket.socket, opened: Callable[[], Any]) -> None:
    """Serves until SIGTERM or Ctrl-C: then new requests are refused, and accepted ones answered, within `GRACE_S`.

    A second Ctrl-C ends it at once.

    Args:
      service: what the application serves.
      app: of `app.create_app`.
      bound: of `reserved`.
      opened: called when the port is open.
    """
    import uvicorn

    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)  # what clients send wrongly is counted, not logged
    config = uvicorn.Config(
        app,
        http=_protocol(service.limits.body_timeout_s),
        ws="none",
        lifespan="on",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=int(GRACE_S),
        h11_max_incomplete_event_size=HEADER_BYTES,
    )
    asyncio.run(_server(service, config, opened).serve(sockets=[bound]))


def left_s(service: Service) -> float:
    """Seconds that an end may still take, `SAVING_S` at the least for what is saved; `GRACE_S` where none has begun."""
    return max(SAVING_S, service.ends_by - time.monotonic()) if service.ends_by else GRACE_S


def _server(service: Service, config: Any, opened: Callable[[], Any]) -> Any:
    import uvicorn

    class Server(uvicorn.Server):
        """Goes on listening while accepted requests are answered, and tells new ones of the end."""

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            if self.started:
                opened()

        def handle_exit(self, sig: int, frame: Any) -> None:
            if service.draining:
                self.force_exit = self.should_exit = True
                return
            service.draining, service.ends_by = True, time.monotonic() + GRACE_S

        async def on_tick(self, counter: int) -> bool:
            if service.draining:
                left = service.ends_by - time.monotonic()
                if (left <= GRACE_S - REFUSING_S and not service.inflight) or left <= SAVING_S + 2:
                    self.config.timeout_graceful_shutdown = max(1, int(left - SAVING_S))
                    return True
            return await super().on_tick(counter)

    return Server(config)


def _protocol(headers_s: float) -> type:
    """uvicorn's protocol, which closes a connection whose next headers are not here in so many seconds.

    They count from its beginning, and, after an answer, from the first byte that comes: uvicorn waits for the rest of
    a request without end.
    """
    from uvicorn.protocols.http.h11_impl import H11Protocol

    class Protocol(H11Protocol):
        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._late = self.loop.call_later(headers_s, self._look)
            if len(self.connections) > CONNECTIONS:
                transport.close()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if self._answering():
                self._late.cancel()
            elif self._late.cancelled() or self._late.when() <= self.loop.time():
                self._late = self.loop.call_later(headers_s, self._look)

        def connection_lost(self, exc: Exception | None) -> None:
            self._late.cancel()
            super().connection_lost(exc)

        def _answering(self) -> bool:
            return self.cycle is not None and not self.cycle.response_complete

        def _look(self) -> None:
            if not self._answering() and not self.transport.is_closing():
                with contextlib.suppress(Exception):
                    self.transport.close()

    return Protocol
