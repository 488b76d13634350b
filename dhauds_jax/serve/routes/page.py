"""`GET /`: a page on which a recording is dropped, with what it needs; nothing comes from another host."""

from __future__ import annotations

import functools
import html
import string
from pathlib import Path
from typing import Any

from dhauds_jax.serve.failures import Failure
from dhauds_jax.serve.service import Service

FILES = {"page.css": "text/css", "page.js": "text/javascript", "page.svg": "image/svg+xml"}
"""What the page loads, with its kinds."""

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; media-src blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
"""No other host, no script in the page, no frame around it."""

_FOLDER = Path(__file__).parents[1] / "page"


@functools.cache
def _text(name: str) -> str:
    return (_FOLDER / name).read_text(encoding="utf-8")


async def page(service: Service, request: Any) -> Any:
    """The page, with what it must know of the service."""
    from starlette.responses import Response

    model, classes, limits = service.model, service.served.classes, service.limits
    named = ", ".join(classes[:12]) + (f" and {len(classes) - 12} more" if len(classes) > 12 else "")
    told = {
        "adapt": model.get("adapt", "none"),
        "facts": f"{model.get('net', 'model')}, {len(classes)} classes: {named}.",
        "seconds": f"{service.wanted.longest:g}",
        "megabytes": f"{limits.body_bytes / 2**20:g}",
    }
    filled = string.Template(_text("page.html")).substitute({key: html.escape(text) for key, text in told.items()})
    return Response(filled, headers=HEADERS, media_type="text/html")


async def part(service: Service, request: Any) -> Any:
    """A file that the page loads."""
    from starlette.responses import Response

    name = request.url.path.rpartition("/")[2]
    if name not in FILES:
        raise Failure("not_found", "there is no such file", " or ".join(FILES))
    return Response(_text(name), headers=HEADERS, media_type=FILES[name])
