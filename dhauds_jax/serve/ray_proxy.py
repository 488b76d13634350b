"""What stands in Ray Serve's proxy, before its router: sessions get Ray's header, faults of Ray's our sentences.

Ray finds it by `CALLBACK`, in the environment of the processes of its proxies.
"""

from __future__ import annotations

import json
import re
import sys
import traceback
from collections.abc import Mapping
from typing import Any

from dhauds_jax.serve.failures import Failure
from dhauds_jax.serve.routes import classify, invocations
from dhauds_jax.serve.snapshots import is_name

CALLBACK = "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH"
"""The variable in which Ray looks for `middlewares`."""

MODEL_ID = b"serve_multiplexed_model_id"
"""Ray's header, by which it routes."""

_PATH = re.compile(r"/v1/sessions/([^/]+)(/.*)?")


def middlewares() -> list[Any]:
    """What Ray puts around its proxy's application."""
    from starlette.middleware import Middleware

    return [Middleware(Door)]


def session_of(path: str, headers: Mapping[bytes, bytes]) -> str:
    """The session that a request is of, "" for none.

    Args:
      path: of the request.
      headers: names in small letters -> values.
    """
    in_path = _PATH.fullmatch(path)
    given = [headers.get(name.encode(), b"").decode("latin-1") for name in (classify.SESSION, invocations.SESSION)]
    return next(filter(is_name, [*given, in_path[1] if in_path else ""]), "")


class Door:
    """An ASGI application around Ray's own."""

    def __init__(self, app: Any) -> None:
        """Around `app`."""
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        name = session_of(scope["path"], dict(scope["headers"]))
        if name:
            kept = [(key, value) for key, value in scope["headers"] if key.replace(b"-", b"_") != MODEL_ID]
            scope = {**scope, "headers": [*kept, (MODEL_ID, name.encode())]}
        answer = _Answer(send)
        try:
            await self._app(scope, receive, answer)
        except Exception as error:
            if answer.begun:
                raise
            _show(error)
        if not answer.begun:  # a replica was lost with the request: Ray says nothing then
            await _refuse(send, Failure("lost", "the replica that had the request was lost", "the same request again"))


_shown: set[type[Exception]] = set()


def _show(error: Exception) -> None:
    """Prints what came in place of an answer, once a kind: of a replica that was lost, or of a bug, which must show."""
    if type(error) not in _shown:
        _shown.add(type(error))
        traceback.print_exception(error, file=sys.stderr)


class _Answer:
    """What Ray sends, where it is the application's; a refusal of Ray's own is said as the application would."""

    def __init__(self, send: Any) -> None:
        self._send, self.begun, self._replaced = send, False, False

    async def __call__(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.begun = True
            headers = {key.lower(): value for key, value in message.get("headers", ())}
            found = _of_ray(message["status"], headers)
            if found is not None:
                self._replaced = True
                await _refuse(self._send, found)
        if not self._replaced:
            await self._send(message)


def _of_ray(status: int, headers: Mapping[bytes, bytes]) -> Failure | None:
    """What to say in place of an answer, if it is Ray's and not the application's, whose refusals are all JSON."""
    if headers.get(b"content-type", b"").startswith(b"application/json"):
        return None
    if status == 404:  # Ray has no application of ours (any more); whose own 404 is JSON
        return Failure("draining", "the service is not here, or is ending", "another instance")
    if status == 503:
        return Failure("full", "as many requests as are allowed wait for a replica", "the same request again")
    if status == 408:
        return Failure("deadline", "no replica answered in time", "less load")
    if status >= 500:
        return Failure("lost", "the replica that had the request was lost", "the same request again")
    return None


async def _refuse(send: Any, failure: Failure) -> None:
    body = json.dumps(failure.payload()).encode()
    headers = {"Content-Type": "application/json", "Content-Length": str(len(body)), **failure.headers}
    sent = [(key.lower().encode(), value.encode()) for key, value in headers.items()]
    await send({"type": "http.response.start", "status": failure.status, "headers": sent})
    await send({"type": "http.response.body", "body": body})
