"""Request bodies under a limit."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from starlette.requests import ClientDisconnect, Request

from holdfast.errors import LimitExceeded
from holdfast.http.bodies import read_body


def read(parts: list[bytes], bytes_max: int, *, announced: str = "", leaves: bool = False) -> bytes:
    headers = [(b"content-length", announced.encode())] if announced else []
    messages: list[dict[str, Any]] = [{"type": "http.request", "body": part, "more_body": True} for part in parts]
    if leaves:
        messages.append({"type": "http.disconnect"})
    else:
        messages.append({"type": "http.request", "body": b"", "more_body": False})
    coming = iter(messages)

    async def receive() -> dict[str, Any]:
        return next(coming)

    request = Request({"type": "http", "method": "POST", "headers": headers}, receive)
    return asyncio.run(read_body(request, bytes_max))


def test_a_body_is_put_together() -> None:
    assert read([b"ab", b"", b"c"], 3) == b"abc"
    assert read([], 3) == b""


def test_too_large_is_refused_by_what_is_announced() -> None:
    with pytest.raises(LimitExceeded) as caught:
        read([], 3, announced="4")
    assert (caught.value.name, caught.value.limit, caught.value.value) == ("http_body_bytes_max", 3, 4)


def test_too_large_is_refused_by_what_comes() -> None:
    with pytest.raises(LimitExceeded):
        read([b"ab", b"cd"], 3, announced="nonsense")


def test_a_body_that_breaks_off_is_no_body() -> None:
    with pytest.raises(ClientDisconnect):
        read([b"ab"], 3, leaves=True)
