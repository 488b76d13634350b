"""Answers as HTTP has them: JSON, and failures as the same one sentence everywhere."""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Mapping
from typing import Any

from dhauds_jax.serve import contracts
from dhauds_jax.serve.failures import Failure

_FAILURES = {
    contracts.Full: ("full", "as many requests wait as are allowed", "fewer at once"),
    contracts.Late: ("deadline", "no answer within the deadline", "less load"),
    contracts.NotFinite: ("bad_answer", "the network's probabilities are not finite", "another recording"),
    contracts.Stuck: ("not_ready", "the compute thread is stuck", "another instance"),
    contracts.UnknownSession: ("unknown_session", "there is no such session", "one that POST /v1/sessions gave"),
    contracts.ClosedSession: ("closed_session", "the session is closed", "a new one, from POST /v1/sessions"),
    contracts.TooManySessions: ("too_many_sessions", "as many sessions as are allowed are in use", "one to be closed"),
}


def reply(payload: Any, status: int = 200, headers: Mapping[str, str] | None = None, kind: str = "application/json"):
    """A response with JSON."""
    from starlette.responses import Response

    text = json.dumps(payload, allow_nan=False, separators=(",", ":"))
    return Response(text, status, dict(headers or {}), kind)


def refused(failure: Failure, path: str = ""):
    """A response that says what a request failed of: below /v2 a text, as the Open Inference Protocol has errors."""
    payload: Any = failure.payload()
    if path == "/v2" or path.startswith("/v2/"):
        payload = {"error": "; expected ".join(filter(None, (failure.message, failure.expected)))}
    return reply(payload, failure.status, failure.headers)


def failure_of(error: BaseException) -> Failure:
    """The failure that an exception is; what is nobody's input is written to stderr, and its client told no more."""
    if isinstance(error, Failure):
        return error
    for kind, (code, message, expected) in _FAILURES.items():
        if isinstance(error, kind):
            return Failure(code, message, expected)
    traceback.print_exception(error, file=sys.stderr)
    return Failure("internal", "the service made a mistake", "the same request again, or a report to its operator")
