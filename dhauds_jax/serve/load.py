"""Load on a service: clients that wait for each answer (a closed loop), or requests at random moments (an open one).

Latency counts from the moment for which a request was planned, not from that at which a late generator sent it: a
service that stalls would otherwise be measured in the moments alone in which it does not (coordinated omission).
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from dhauds_jax.serve.http_client import LOST, Connection, Place


class Plan(NamedTuple):
    """What is asked of a service.

    Attributes:
      requests: how many.
      clients: connections: that many requests are under way at most.
      rate: requests a second, at the moments of a Poisson process; 0: each client asks again when it has its answer.
      longest_s: seconds after which nothing more is sent.
      timeout_s: seconds after which a request counts as lost.
      seed: of the moments.
    """

    requests: int
    clients: int
    rate: float = 0.0
    longest_s: float = 120.0
    timeout_s: float = 30.0
    seed: int = 0


class Outcome(NamedTuple):
    """What came of it; of the requests that were sent, in their order.

    Attributes:
      latency_s: from the planned moment to the answer's last byte.
      late_s: from the planned moment to the sending.
      status: of HTTP; 0 where there was no answer.
      faults: how often each fault cost an answer, by its name.
      wall_s: from the first request to the last answer.
      cpu_s: seconds of a core that the generator itself took.
    """

    latency_s: Float[np.ndarray, " requests"]
    late_s: Float[np.ndarray, " requests"]
    status: Int[np.ndarray, " requests"]
    faults: Counter[str]
    wall_s: float
    cpu_s: float


def moments(plan: Plan) -> Float[np.ndarray, " requests"]:
    """The planned moments of an open loop, in seconds from its beginning."""
    return np.cumsum(np.random.default_rng(plan.seed).exponential(1 / plan.rate, plan.requests))


async def send(place: Place, requests: Sequence[bytes], plan: Plan) -> Outcome:
    """Sends whole requests in turn, as often as planned.

    Args:
      place: where the service listens.
      requests: of `http_client.request`.
      plan: how many, by how many clients, and when.
    """
    planned = moments(plan) if plan.rate else None
    rows = np.full((plan.requests, 3), np.nan)
    numbers, faults = iter(range(plan.requests)), Counter()
    begun, cpu = time.perf_counter(), time.process_time()

    async def client() -> None:
        connection = Connection(place)
        try:
            for i in numbers:
                now = time.perf_counter() - begun
                if planned is not None and planned[i] > now:
                    await asyncio.sleep(planned[i] - now)
                sent = time.perf_counter() - begun
                if sent > plan.longest_s:
                    return
                try:
                    status, _ = await connection.ask(requests[i % len(requests)], plan.timeout_s)
                except LOST as error:
                    status = 0
                    faults[type(error).__name__] += 1
                due = sent if planned is None else planned[i]
                rows[i] = time.perf_counter() - begun - due, sent - due, status
        finally:
            connection.close()

    await asyncio.gather(*(client() for _ in range(plan.clients)))
    wall, used = time.perf_counter() - begun, time.process_time() - cpu
    sent = rows[~np.isnan(rows[:, 0])]
    return Outcome(sent[:, 0], sent[:, 1], sent[:, 2].astype(np.int64), faults, wall, used)


def joined(outcomes: Sequence[Outcome]) -> Outcome:
    """Several as one; walls and CPU seconds add up."""
    arrays = (np.concatenate(parts) for parts in itertools.islice(zip(*outcomes, strict=True), 3))
    faults = sum((one.faults for one in outcomes), Counter())
    return Outcome(*arrays, faults, sum(one.wall_s for one in outcomes), sum(one.cpu_s for one in outcomes))
