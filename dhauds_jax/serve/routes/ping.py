"""`GET /ping`: whether requests are taken, as SageMaker asks; it never waits for the compute thread."""

from __future__ import annotations

from typing import Any

from dhauds_jax.serve.service import Service


async def ping(service: Service, request: Any) -> Any:
    """200 and a newline, as the published service; 503 before everything is warm, while ending and when stuck."""
    from starlette.responses import Response

    service.check_open()
    return Response("\n", media_type="application/json")
