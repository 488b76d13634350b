"""A request's body, whole before anything is done with it, and never longer or slower than it may be."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, TypeVar

from dhauds_jax.serve.failures import Failure

DISCARDED = 4
"""Of a body that is too large, as many times its limit is read on, so that the client comes to read the answer."""

DISCARD_S = 1.0
"""Seconds for which it is."""

CLOSE = {"Connection": "close"}
"""The header that ends a connection with its answer."""

T = TypeVar("T")


class Memory:
    """What requests hold at once, bodies and recordings together, and the most that they may.

    Attributes:
      most: bytes.
      held: bytes, now.
    """

    def __init__(self, most: int):
        self.most, self.held = most, 0

    @contextlib.contextmanager
    def hold(self) -> Iterator[Callable[[int], None]]:
        """A block of one request, given a function to say how many bytes more (or fewer) it holds until its end.

        The function raises `Failure` where that would be too many.
        """
        mine = 0

        def add(count: int) -> None:
            nonlocal mine
            if mine + count > self.most:
                held = f"the recording takes {(mine + count) / 2**20:.0f} MB when it is read"
                raise Failure("too_large", held, f"at most {self.most / 2**20:.0f} MB, a shorter one", CLOSE)
            if self.held + count > self.most:
                raise Failure("full", f"all requests together hold {self.held / 2**20:.0f} MB", "fewer at once", CLOSE)
            self.held, mine = self.held + count, mine + count

        try:
            yield add
        finally:
            self.held -= mine


async def read(request: Any, most: int, timeout_s: float, hold: Callable[[int], Any] = abs) -> bytes:
    """All of a body; what the client says of its length is not believed.

    Args:
      request: a Starlette request.
      most: bytes that it may have.
      timeout_s: seconds in which it must be here.
      hold: is told of each piece's bytes, see `Memory.hold`.

    Raises:
      Failure: it is larger or slower, or the client left.
    """
    said = request.headers.get("content-length", "")
    if said.isdecimal() and int(said) > most and request.headers.get("expect"):
        raise _too_large(most)  # the client waits for leave to send it
    parts, size = [], 0
    try:
        async with asyncio.timeout(timeout_s):
            while True:
                message = await request.receive()
                if message["type"] != "http.request":
                    raise Failure("client_gone", "the client left before its body was here")
                size += len(message.get("body", b""))
                if size > most:
                    break
                hold(len(message.get("body", b"")))
                parts.append(message.get("body", b""))
                if not message.get("more_body", False):
                    return b"".join(parts)
    except TimeoutError:
        raise Failure(
            "slow_body", f"{size} bytes came in {timeout_s:g} s and no end", "the whole body by then", CLOSE
        ) from None
    del parts
    await _discard(request, DISCARDED * most)
    raise _too_large(most)


def _too_large(most: int) -> Failure:
    return Failure("too_large", f"the body has more than {most} bytes", f"at most {most / 2**20:g} MB", CLOSE)


async def _discard(request: Any, most: int) -> None:
    try:
        async with asyncio.timeout(DISCARD_S):
            while most > 0:
                message = await request.receive()
                most -= len(message.get("body", b""))
                if not message.get("more_body", False):
                    return
    except TimeoutError:
        return


async def unless_gone(request: Any, work: Coroutine[Any, Any, T]) -> T:
    """What a coroutine gives; it is cancelled when the client leaves, whose body must be read before.

    Raises:
      Failure: the client left.
    """
    task, gone = asyncio.create_task(work), asyncio.create_task(_left(request))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise Failure("client_gone", "the client left before it had its answer")
    finally:
        gone.cancel()
        task.cancel()


async def _left(request: Any) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
