"""Request bodies under a limit."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from starlette.requests import ClientDisconnect, Request

from holdfast.errors import LimitExceeded, RateLimited, UsageError
from holdfast.http.bodies import Bodies, read_body, read_json
from holdfast.limits import LIMITS


def request_of(parts: list[bytes], *, announced: str = "", leaves: bool = False) -> Request:
    headers = [(b"content-length", announced.encode())] if announced else []
    messages: list[dict[str, Any]] = [{"type": "http.request", "body": part, "more_body": True} for part in parts]
    if leaves:
        messages.append({"type": "http.disconnect"})
    else:
        messages.append({"type": "http.request", "body": b"", "more_body": False})
    coming = iter(messages)

    async def receive() -> dict[str, Any]:
        return next(coming)

    return Request({"type": "http", "method": "POST", "headers": headers}, receive)


def read(parts: list[bytes], bytes_max: int, *, announced: str = "", leaves: bool = False) -> bytes:
    return asyncio.run(read_body(request_of(parts, announced=announced, leaves=leaves), bytes_max))


class Wanted(msgspec.Struct):
    to: str = "/"


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


def test_a_json_body_is_read_and_none_is_an_empty_object() -> None:
    assert asyncio.run(read_json(request_of([b'{"to":', b'"/a"}']), 100, Wanted)) == Wanted("/a")
    assert asyncio.run(read_json(request_of([]), 100, Wanted)) == Wanted("/")


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"to":7}', r"Expected `str`, got `int` - at `\$\.to`"),
        (b'{"to":', "truncated"),
        (b'{"to":"\xff"}', "utf-8"),
        (b'{"x":' + b"[" * 20_000 + b"]" * 20_000 + b"}", "nested too deeply"),
    ],
)
def test_what_is_no_such_json_is_a_usage_error(body: bytes, said: str) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        asyncio.run(read_json(request_of([body]), 1 << 20, Wanted))
    assert caught.value.field == "body"


def test_all_bodies_together_have_a_limit_and_their_room_comes_back() -> None:
    bodies = Bodies(LIMITS._replace(http_body_bytes_max=4, http_bodies_bytes_max=8))
    go_on = asyncio.Event()

    def request(*parts: bytes, wait: bool = False) -> Request:
        left = list(parts)

        async def receive() -> dict[str, Any]:
            if left:
                return {"type": "http.request", "body": left.pop(0), "more_body": True}
            if wait:
                await go_on.wait()
            return {"type": "http.request", "body": b"", "more_body": False}

        return Request({"type": "http", "method": "POST", "headers": []}, receive)

    async def main() -> None:
        slow = asyncio.create_task(bodies.read(request(b"abcd", wait=True)))
        while bodies.held_bytes < 4:
            await asyncio.sleep(0)
        assert await bodies.read(request(b"x", b"y"), "ann") == b"xy"
        also = asyncio.create_task(bodies.read(request(b"ab", wait=True), "ann"))
        while bodies.held_bytes < 6:
            await asyncio.sleep(0)
        with pytest.raises(RateLimited) as caught:
            await bodies.read(request(b"x", b"yz"), "ben")
        assert (caught.value.name, caught.value.limit, caught.value.value) == ("http_bodies_bytes_max", 8, 9)
        go_on.set()
        assert await slow == b"abcd"
        assert await also == b"ab"
        go_on.clear()
        slow = asyncio.create_task(bodies.read(request(b"abc", wait=True), "ann"))
        while bodies.held_bytes < 3:
            await asyncio.sleep(0)
        with pytest.raises(RateLimited):
            await bodies.read(request(b"xy"), "ann")
        assert await bodies.read(request(b"xy"), "ben") == b"xy"
        with pytest.raises(LimitExceeded, match="http_body_bytes_max"):
            await bodies.read(request(b"x" * 5))
        go_on.set()
        assert (await slow, bodies.held_bytes) == (b"abc", 0)

    asyncio.run(main())
