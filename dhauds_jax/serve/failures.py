"""Everything that a request can fail of: its code, its HTTP status, and one sentence that says what was expected."""

from __future__ import annotations

from collections.abc import Mapping

STATUS: Mapping[str, int] = {
    "empty": 400,
    "truncated": 400,
    "bad_header": 400,
    "damaged": 400,
    "not_finite": 400,
    "bad_request": 400,
    "no_token": 401,
    "not_found": 404,
    "unknown_session": 404,
    "sessions_off": 404,
    "wrong_method": 405,
    "slow_body": 408,
    "closed_session": 409,
    "too_large": 413,
    "format": 415,
    "too_long": 422,
    "too_loud": 422,
    "channels": 422,
    "rate": 422,
    "decoder_time": 422,
    "decoder_memory": 422,
    "too_many_sessions": 429,
    "headers": 431,
    "client_gone": 499,
    "internal": 500,
    "bad_answer": 500,
    "full": 503,
    "lost": 503,
    "draining": 503,
    "not_ready": 503,
    "deadline": 504,
}
"""Code -> HTTP status. `client_gone` is never sent: it is what the counters say of a client that did not wait."""

RETRY_AFTER_S = {"full": 1, "lost": 1, "draining": 5, "not_ready": 5, "too_many_sessions": 30}
"""Code -> seconds after which the same request may do."""


class Failure(Exception):
    """A request that gets no answer but a sentence.

    Attributes:
      code: a key of `STATUS`.
      message: what was found, one sentence without a path and without what the body holds.
      expected: what would do.
    """

    def __init__(self, code: str, message: str, expected: str = "", headers: Mapping[str, str] | None = None):
        """`headers` are sent beside it."""
        super().__init__(code, message)
        self.code, self.message, self.expected = code, message, expected
        self._headers = dict(headers or {})

    @property
    def status(self) -> int:
        """The HTTP status."""
        return STATUS[self.code]

    @property
    def headers(self) -> dict[str, str]:
        """Headers beside it: when to come again, where that helps."""
        again = RETRY_AFTER_S.get(self.code)
        return self._headers | ({} if again is None else {"Retry-After": str(again)})

    def payload(self) -> dict[str, dict[str, str]]:
        """The body of the answer."""
        return {"error": {"code": self.code, "message": self.message, "expected": self.expected}}
