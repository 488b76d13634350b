"""The service as an ASGI application: a table of routes, each a file in `routes/`, behind the same door."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

from dhauds_jax.serve.bodies import CLOSE
from dhauds_jax.serve.failures import Failure
from dhauds_jax.serve.replies import failure_of, refused
from dhauds_jax.serve.routes import classify, inference, invocations, metrics, page, ping, sessions
from dhauds_jax.serve.service import Handler, Service

HEADER_BYTES = 32 * 1024
"""The most bytes of a request's headers."""


class Route(NamedTuple):
    """A route.

    Attributes:
      path: as Starlette writes it.
      methods: of HTTP.
      handler: what answers.
      private: whether a token is asked for, where there are tokens.
      always: whether it answers while the service is starting or ending.
    """

    path: str
    methods: tuple[str, ...]
    handler: Handler
    private: bool = True
    always: bool = False


ROUTES = (
    Route("/ping", ("GET",), ping.ping, private=False, always=True),
    Route("/invocations", ("POST",), invocations.invocations, private=False),
    Route("/v1/classify", ("POST",), classify.classify),
    Route("/v1/sessions", ("POST",), sessions.open_session),
    Route("/v1/sessions/{session}", ("GET",), sessions.describe),
    Route("/v1/sessions/{session}", ("DELETE",), sessions.close),
    Route("/v1/sessions/{session}/reset", ("POST",), sessions.reset),
    Route("/v2", ("GET",), inference.server),
    Route("/v2/health/live", ("GET",), inference.live, private=False, always=True),
    Route("/v2/health/ready", ("GET",), inference.ready, private=False, always=True),
    *(
        Route(f"/v2/models/{{model}}{version}{path}", (method,), handler)
        for version in ("", "/versions/{version}")
        for path, method, handler in (
            ("", "GET", inference.model),
            ("/ready", "GET", inference.ready),
            ("/infer", "POST", inference.infer),
        )
    ),
    Route("/metrics", ("GET",), metrics.metrics, always=True),
    Route("/", ("GET",), page.page, private=False),
    *(Route(f"/{name}", ("GET",), page.part, private=False) for name in page.FILES),
)
"""What the service answers."""


def create_app(service: Service) -> Any:
    """The application; it starts and stops what decodes, and nothing else of the service.

    Args:
      service: its compute thread must be running and warm.
    """
    from starlette.applications import Starlette
    from starlette.exceptions import HTTPException
    from starlette.routing import Route as StarletteRoute

    @contextlib.asynccontextmanager
    async def lifespan(_: Any) -> AsyncIterator[None]:
        await service.start()
        try:
            yield
        finally:
            await service.stop()

    by_path: dict[str, list[Route]] = {}
    for route in ROUTES:
        by_path.setdefault(route.path, []).append(route)
    table = [
        StarletteRoute(path, _endpoint(service, routes), methods=[one for route in routes for one in route.methods])
        for path, routes in by_path.items()
    ]
    app = Starlette(routes=table, lifespan=lifespan, exception_handlers={HTTPException: _no_route(service)})
    app.router.redirect_slashes = False  # it would send clients to whatever host they name
    return app


def _endpoint(service: Service, routes: list[Route]) -> Any:
    """What Starlette calls: one of a path's routes, whose failures are answers."""
    by_method = {method: route for route in routes for method in route.methods}
    by_method.setdefault("HEAD", routes[0])

    async def endpoint(request: Any) -> Any:
        route = by_method[request.method]
        try:
            if not route.always:
                service.check_open()
            check_headers(request.headers.raw)
            if route.private and service.tokens:
                check_token(request.headers.get("authorization", ""), service.tokens)
            with contextlib.nullcontext() if route.always else service.working():
                response = await route.handler(service, request)
        except asyncio.CancelledError:
            raise
        except Exception as error:
            response = refused(failure_of(error), route.path)
        service.counters.request(route.path, response.status_code)
        if service.draining:
            response.headers["connection"] = "close"
        return response

    return endpoint


def _no_route(service: Service) -> Any:
    async def answer(request: Any, error: Any) -> Any:
        known = ", ".join(dict.fromkeys(route.path for route in ROUTES))
        if error.status_code == 405:
            allowed = (error.headers or {}).get("Allow", "")
            failure = Failure("wrong_method", f"{request.method} is not answered here", allowed, error.headers)
        else:
            failure = Failure("not_found", "there is no such route", f"one of {known}")
        service.counters.request("other", failure.status)
        return refused(failure, request.url.path)

    return answer


def check_headers(headers: list[tuple[bytes, bytes]]) -> None:
    """Raises `Failure` for headers that are larger than any client's need be."""
    size = sum(len(name) + len(value) for name, value in headers)
    if size > HEADER_BYTES:
        raise Failure("headers", f"{size} bytes of headers", f"at most {HEADER_BYTES}", CLOSE)


def check_token(header: str, tokens: tuple[bytes, ...]) -> None:
    """Raises `Failure` unless a header `Authorization` is "Bearer" and one of the tokens."""
    scheme, _, token = header.partition(" ")
    given = token.strip().encode("utf-8", "replace")
    found = [hmac.compare_digest(given, known) for known in tokens]  # all of them: no time tells which
    if scheme.lower() != "bearer" or not any(found):
        raise Failure(
            "no_token",
            "no token that is known here",
            "the header Authorization: Bearer TOKEN",
            {"WWW-Authenticate": "Bearer", **CLOSE},
        )
