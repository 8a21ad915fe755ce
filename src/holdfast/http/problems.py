"""Errors as HTTP answers: a status and a JSON body (RFC 9457), both from the registry of errors."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from starlette.responses import Response

from ..errors import HoldfastError, RateLimited, Unauthenticated, Unavailable, entry_of

PROBLEM_TYPE = "application/problem+json"


def problem(error: HoldfastError, *, headers: Mapping[str, str] | None = None) -> Response:
    """The answer that says ``error``."""
    answer = Response(problem_body(error), entry_of(error).http, media_type=PROBLEM_TYPE, headers=_headers(error))
    for name, value in (headers or {}).items():
        answer.headers[name] = value
    return answer


def problem_body(error: HoldfastError) -> bytes:
    """What ``error`` says, in JSON on one line."""
    entry = entry_of(error)
    return msgspec.json.encode(
        {
            "type": f"urn:holdfast:error:{entry.rpc}",
            "title": entry.cls.__name__,
            "status": entry.http,
            "code": entry.code,
            "detail": error.message,
            "details": error.details(),
        }
    )


def _headers(error: HoldfastError) -> dict[str, str]:
    headers = {"cache-control": "no-store"}
    if isinstance(error, Unauthenticated):
        headers["www-authenticate"] = 'Bearer realm="holdfast"'
    if isinstance(error, RateLimited | Unavailable) and error.retry_after_s:
        headers["retry-after"] = str(max(1, round(error.retry_after_s)))
    return headers
