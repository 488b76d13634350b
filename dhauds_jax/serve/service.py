"""All that a running service consists of, and the way of a request from its body to its answer."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from dhauds_jax.data.audio import Decoded
from dhauds_jax.model.rejecting import Rejecting
from dhauds_jax.serve import bodies, decode, wav
from dhauds_jax.serve.batching import Batcher
from dhauds_jax.serve.bodies import CLOSE
from dhauds_jax.serve.compute import Compute
from dhauds_jax.serve.contracts import Answer, NotFinite, Served
from dhauds_jax.serve.counters import Counters
from dhauds_jax.serve.failures import Failure
from dhauds_jax.serve.items import Item
from dhauds_jax.serve.naming import Named, named
from dhauds_jax.serve.reading import Heard, Wanted, heard, held_bytes

ROOM = 4
"""Wav files that are read at once."""


class Limits(NamedTuple):
    """What one request may take.

    Attributes:
      body_bytes: of a body.
      body_timeout_s: in which the body must be here.
      deadline_s: from then on until the answer.
      requests: how many are worked on at once.
      memory_bytes: that their bodies and recordings take together.
    """

    body_bytes: int = 6 * 2**20
    body_timeout_s: float = 10.0
    deadline_s: float = 30.0
    requests: int = 512
    memory_bytes: int = 2**30


class Asked(NamedTuple):
    """A recording with its answer.

    Attributes:
      heard: the recording.
      answer: of its windows.
      said: what it is called, and how probable each class is.
      decode_s: seconds from its body to its windows.
    """

    heard: Heard
    answer: Answer
    said: Named
    decode_s: float


@dataclass(eq=False)
class Service:
    """A service: what computes, what decodes, what is counted, what it allows.

    Attributes:
      served: the predictor.
      batcher: its queue.
      compute: the thread that computes; started and stopped by whoever made it.
      wanted: what recordings are brought to.
      model: what is told of the model, as JSON can hold it.
      limits: what a request may take.
      rule: which recordings are unknown; None: none is.
      sessions: `sessions.Sessions`, called on the compute thread alone; None where there are none.
      counters: what is counted.
      decoders: the processes for FLAC and Ogg.
      tokens: any of them opens /v1, /v2 and /metrics; none asks for no token.
      text_json: whether /invocations says text/json, as the published service does.
      idle_s: seconds after which a session that nobody asks for may be closed.
      ready: whether requests are taken; set when everything is warm.
      draining: whether the service is ending: new requests are refused.
      ends_by: of the monotonic clock, when an end that has begun must be over; 0 where none has.
      inflight: requests that are being worked on.
      answered: requests that have their answer.
      totals: what was counted of the sessions when it was last asked for.
      threads: what reads wav files, changes rates and draws.
      memory: what requests hold.
      rooms: for recordings that are decoded and not yet cut, of wav files and of others.
    """

    served: Served
    batcher: Batcher
    compute: Compute
    wanted: Wanted
    model: Mapping[str, Any] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)
    rule: Rejecting | None = None
    sessions: Any = None
    counters: Counters = field(default_factory=Counters)
    decoders: decode.Decoders = field(default_factory=decode.Decoders)
    tokens: tuple[bytes, ...] = ()
    text_json: bool = False
    idle_s: float = 900.0
    ready: bool = False
    draining: bool = False
    ends_by: float = 0.0
    inflight: int = 0
    answered: int = 0
    totals: Mapping[str, Any] = field(default_factory=dict)
    threads: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(2, "decode"))

    memory: bodies.Memory = field(init=False)
    rooms: Mapping[bool, asyncio.Semaphore] = field(init=False)

    def __post_init__(self) -> None:
        self.memory = bodies.Memory(self.limits.memory_bytes)
        # A file that hangs its decoder holds up no wav.
        self.rooms = {True: asyncio.Semaphore(ROOM), False: asyncio.Semaphore(self.decoders.count + 1)}

    async def start(self) -> None:
        """Starts what decodes, in the loop that serves."""
        await self.decoders.start()
        self.ready = True

    async def stop(self) -> None:
        """Ends what decodes."""
        self.ready = False
        await self.decoders.stop()
        self.threads.shutdown(wait=False, cancel_futures=True)

    def check_open(self) -> None:
        """Raises `Failure` where requests are not taken."""
        if self.draining:
            raise Failure("draining", "the service is ending", "another instance", CLOSE)
        if not self.ready or self.compute.stuck:
            said = "the compute thread is stuck" if self.compute.stuck else "the service is not ready yet"
            raise Failure("not_ready", said, "GET /ping to answer 200", CLOSE)

    async def on_compute(self, function: Callable[[], Any]) -> Any:
        """What a function gives, called on the compute thread between two batches."""
        return await asyncio.wrap_future(self.compute.call(function))

    async def ask(self, request: Any, session: str = "") -> Asked:
        """Reads a request's body, decodes it, and waits for what the model (or a session) says of it.

        Raises:
          Failure: of all kinds. What the batcher and the compute thread fail with.
        """
        with self.memory.hold() as hold:
            body = await bodies.read(request, self.limits.body_bytes, self.limits.body_timeout_s, hold)
            asked = await bodies.unless_gone(request, self.answered_for(body, session, hold))
        self.answered += 1
        return asked

    async def answered_for(
        self, recording: bytes | Decoded, session: str = "", hold: Callable[[int], Any] = abs
    ) -> Asked:
        """Decodes a recording, where it is a file's bytes, and waits for what is said of it; raises as `ask`.

        `hold` is told of the bytes of its samples, before they are there (`bodies.Memory.hold`).
        """
        began = time.monotonic()
        deadline = began + self.limits.deadline_s
        future: Future = Future()
        try:
            async with asyncio.timeout(self.limits.deadline_s):
                with self.batcher.expecting():
                    found = await self._heard(recording, hold)
                    decoded = time.monotonic()
                    self.batcher.submit(Item(found.windows, session, deadline, future))
                answer = await asyncio.wrap_future(future)
        except NotFinite:
            check_level(found.wave)
            raise
        except TimeoutError:
            raise Failure("deadline", f"no answer within {self.limits.deadline_s:g} s", "less load") from None
        finally:
            future.cancel()  # of who left, nothing more is computed
        said = named(answer.probabilities, self.served.classes, self.rule)
        ended, decode_s = time.monotonic(), decoded - began
        if said.label != self.served.classes[said.best]:
            self.counters.unknown()
        self.counters.seconds(decode=decode_s, queue=answer.queue_s, compute=answer.compute_s, all=ended - began)
        return Asked(found, answer, said, decode_s)

    async def _heard(self, body: bytes | Decoded, hold: Callable[[int], Any]) -> Heard:
        """The windows of a recording; whatever is made on the way is held before it is made."""
        loop, wanted = asyncio.get_running_loop(), self.wanted
        if isinstance(body, Decoded):
            return await self._cut(body, 0, hold)
        in_process = decode.kind(body) == "wav"
        async with self.rooms[in_process]:  # no more are decoded and not yet cut
            most = 4 * decode.samples(body, wanted.longest)
            hold(most)
            if in_process:
                sound = await loop.run_in_executor(self.threads, wav.read, body, wanted.longest)
            else:
                sound = await self.decoders.decode(body, wanted.longest)
            hold(sound.wave.nbytes - most)
            return await self._cut(sound, sound.wave.nbytes, hold)

    async def _cut(self, sound: Decoded, freed: int, hold: Callable[[int], Any]) -> Heard:
        """The windows of a wave, of which `freed` bytes are held until then."""
        most = held_bytes(sound, self.wanted)
        hold(most)
        found = await asyncio.get_running_loop().run_in_executor(self.threads, heard, sound, self.wanted)
        hold(found.windows.nbytes + found.wave.nbytes - most - freed)
        return found

    @contextlib.contextmanager
    def working(self) -> Any:
        """Around the work on a request; raises `Failure` where too many are worked on."""
        if self.inflight >= self.limits.requests:
            raise Failure("full", f"{self.inflight} requests are being worked on", "fewer at once", CLOSE)
        self.inflight += 1
        try:
            yield
        finally:
            self.inflight -= 1


def check_level(wave: Float[np.ndarray, " time"]) -> None:
    """Raises `Failure` for a recording beyond full scale, which no network is asked to make finite numbers of."""
    peak = float(np.abs(wave).max())
    if peak > 1:
        found = f"samples up to {peak:.3g}, of which the network makes no finite numbers"
        raise Failure("too_loud", found, "full scale to be 1: the recording divided by its peak")


Handler = Callable[[Service, Any], Awaitable[Any]]
"""What answers a request: `(service, request) -> response`."""
