"""`GET /metrics`: what is counted, for Prometheus."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from dhauds_jax.serve.contracts import Stuck
from dhauds_jax.serve.service import Service

WAIT_S = 1.0
"""Seconds that the compute thread is waited for."""


async def metrics(service: Service, request: Any) -> Any:
    """Everything that is counted, in Prometheus' text format; of sessions as of now, or of the last time that went."""
    from prometheus_client import CONTENT_TYPE_LATEST
    from starlette.responses import Response

    if service.sessions is not None:
        with contextlib.suppress(TimeoutError, Stuck):
            service.totals = await asyncio.wait_for(service.on_compute(service.sessions.totals), WAIT_S)
    return Response(service.counters.text(), headers={"content-type": CONTENT_TYPE_LATEST})
