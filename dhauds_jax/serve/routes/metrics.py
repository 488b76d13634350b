"""`GET /metrics`: what is counted, for Prometheus."""

from __future__ import annotations

from typing import Any

from dhauds_jax.serve.service import Service


async def metrics(service: Service, request: Any) -> Any:
    """Everything that is counted, in Prometheus' text format."""
    from prometheus_client import CONTENT_TYPE_LATEST
    from starlette.responses import Response

    return Response(service.counters.text(), headers={"content-type": CONTENT_TYPE_LATEST})
