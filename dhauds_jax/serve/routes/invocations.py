"""`POST /invocations`: the published service's answer, with SageMaker's sessions.

SageMaker passes on the body and its own headers alone: a session is named by `X-Amzn-SageMaker-Session-Id`, where
`NEW_SESSION` opens one with its first recording; it is closed by `X-Amzn-SageMaker-Custom-Attributes: close`.
"""

from __future__ import annotations

import datetime
from typing import Any

from dhauds_jax.serve import answers, bodies
from dhauds_jax.serve.contracts import ClosedSession
from dhauds_jax.serve.failures import Failure
from dhauds_jax.serve.replies import reply
from dhauds_jax.serve.routes import sessions
from dhauds_jax.serve.service import Asked, Service

SESSION = "x-amzn-sagemaker-session-id"
NEW = "X-Amzn-SageMaker-New-Session-Id"
CLOSED = "X-Amzn-SageMaker-Closed-Session-Id"
ATTRIBUTES = "x-amzn-sagemaker-custom-attributes"
"""SageMaker's headers."""

OPEN, CLOSE = "NEW_SESSION", "close"
"""What the first holds to open a session, and the last to close one."""


async def invocations(service: Service, request: Any) -> Any:
    """The number of the class (-1: unknown) and all probabilities, whatever content type the body is said to have."""
    name = request.headers.get(SESSION, "")
    if not name:
        return _answer(service, await service.ask(request))
    if name == OPEN:
        return await _first(service, request)
    sessions.checked(service, name)
    try:
        if request.headers.get(ATTRIBUTES, "").strip().lower() == CLOSE:
            with service.memory.hold() as hold:
                await bodies.read(request, service.limits.body_bytes, service.limits.body_timeout_s, hold)
            await service.on_compute(lambda: service.sessions.close(name))
            return reply({"closed": True}, headers={CLOSED: name})
        return _answer(service, await service.ask(request, name))
    except ClosedSession as error:
        raise Failure(
            "closed_session", "the session is closed", f"a new one: {SESSION}: {OPEN}", {CLOSED: name}
        ) from error


async def _first(service: Service, request: Any) -> Any:
    """Opens a session and answers in it; a recording that cannot be answered leaves none behind."""
    name = await sessions.opened(service)
    try:
        asked = await service.ask(request, name)
    except BaseException:
        service.compute.call(lambda: service.sessions.close(name))
        raise
    until = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=service.idle_s)
    return _answer(service, asked, {NEW: f"{name}; Expires={until:%Y-%m-%dT%H:%M:%SZ}"})


def _answer(service: Service, asked: Asked, headers: dict[str, str] | None = None) -> Any:
    kind = "text/json" if service.text_json else "application/json"
    return reply(answers.published(service, asked), headers=headers, kind=kind)
