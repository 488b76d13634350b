"""`/v1/sessions`: opening, describing, resetting and closing sessions."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from dhauds_jax.serve.contracts import UnknownSession
from dhauds_jax.serve.failures import Failure
from dhauds_jax.serve.replies import reply
from dhauds_jax.serve.service import Service

NAME = re.compile(r"[0-9a-f]{32}")
"""What a session is called."""


def checked(service: Service, name: str) -> str:
    """A session's name from a client.

    Raises:
      Failure: there are no sessions. UnknownSession: no session can have this name.
    """
    _check_there_are_some(service)
    if not NAME.fullmatch(name):
        raise UnknownSession
    return name


def _check_there_are_some(service: Service) -> None:
    if service.sessions is None:
        raise Failure("sessions_off", "the service has no sessions", "a start with --adapt=session")
    if service.model.get("adapt") == "shared":
        raise Failure("sessions_off", "all clients share one session that adapts", "requests that name no session")


async def opened(service: Service) -> str:
    """A new session's name; raises as `checked`, and what `Sessions.open` does."""
    _check_there_are_some(service)
    return await service.on_compute(service.sessions.open)


async def told(service: Service, name: str) -> dict[str, Any]:
    """What is told of a session."""
    described = await service.on_compute(lambda: service.sessions.describe(name))
    return {"session": name, "idle_s": service.idle_s, **described}


async def open_session(service: Service, request: Any) -> Any:
    """A new session."""
    name = await opened(service)
    return reply(await told(service, name), 201, {"Location": f"/v1/sessions/{name}"})


async def describe(service: Service, request: Any) -> Any:
    """What adaptation did in a session."""
    return reply(await told(service, checked(service, request.path_params["session"])))


async def close(service: Service, request: Any) -> Any:
    """Forgets a session."""
    name = checked(service, request.path_params["session"])
    await service.on_compute(_with(service.sessions.close, name))
    return reply({"session": name, "closed": True})


async def reset(service: Service, request: Any) -> Any:
    """Brings a session back to the source model."""
    name = checked(service, request.path_params["session"])
    await service.on_compute(_with(service.sessions.reset, name))
    return reply(await told(service, name))


def _with(function: Callable[[str], Any], name: str) -> Callable[[], Any]:
    return lambda: function(name)
