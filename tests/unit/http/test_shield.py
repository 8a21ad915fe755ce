"""What every request passes, shown on a bare ASGI application."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from holdfast.errors import NotFound
from holdfast.http.guard import Guard
from holdfast.http.shield import Shield

Answer = tuple[int, dict[str, str], bytes]


async def _hello(scope: Any, receive: Any, send: Any) -> None:
    if scope["path"] == "/missing":
        raise NotFound(kind="stream", name="missing")
    if scope["path"] == "/broken":
        raise ZeroDivisionError
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})


def ask(guard: Guard, headers: dict[str, str], *, method: str = "GET", path: str = "/") -> Answer:
    sent: list[Any] = []
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "scheme": "http",
        "client": ("192.0.2.1", 7),
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    refused: list[tuple[str, str]] = []
    asyncio.run(Shield(_hello, guard, lambda why, peer: refused.append((why, peer)))(scope, receive, send))
    assert bool(refused) == (sent[0]["status"] == 403)
    head = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], head, b"".join(message.get("body", b"") for message in sent[1:])


def test_every_answer_carries_the_headers_for_browsers() -> None:
    for path, status in (("/", 200), ("/missing", 404), ("/broken", 500)):
        got, headers, _ = ask(Guard(), {"host": "localhost"}, path=path)
        assert got == status
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert "access-control-allow-origin" not in headers


def test_an_error_of_ours_becomes_a_problem_with_its_code() -> None:
    status, headers, body = ask(Guard(), {"host": "localhost"}, path="/missing")
    problem = json.loads(body)
    assert (status, headers["content-type"]) == (404, "application/problem+json")
    assert (problem["code"], problem["status"], problem["details"]["name"]) == ("HF-301", 404, "missing")


def test_a_mistake_of_ours_gives_a_reference_and_no_trace() -> None:
    status, _, body = ask(Guard(), {"host": "localhost"}, path="/broken")
    problem = json.loads(body)
    assert (status, problem["code"]) == (500, "HF-901")
    assert problem["details"]["reference"] and "ZeroDivision" not in body.decode()


@pytest.mark.parametrize("host", ["127.evil.example", "rebound.example:4437", "localhost.evil.example", "127.1", ""])
def test_regression_16_a_name_that_is_not_ours_is_refused(host: str) -> None:
    status, headers, body = ask(Guard(), {"host": host})
    assert status == 403 and b"hello" not in body
    assert json.loads(body)["code"] == "HF-402"
    assert "access-control-allow-origin" not in headers


def test_regression_16_a_page_that_is_not_ours_is_refused_whatever_it_asks() -> None:
    for method in ("GET", "POST", "OPTIONS"):
        for origin in ("http://127.evil.example", "null", "http://localhost.evil.example"):
            headers = {"host": "localhost:4437", "origin": origin, "access-control-request-method": "PUT"}
            assert ask(Guard(), headers, method=method)[0] == 403


def test_no_host_at_all_is_refused() -> None:
    assert ask(Guard(), {})[0] == 403


def test_a_configured_page_may_ask_before_and_read_after() -> None:
    guard = Guard(origins=["https://app.example"])
    asking = {"host": "localhost", "origin": "https://app.example"}
    status, headers, _ = ask(guard, {**asking, "access-control-request-method": "PUT"}, method="OPTIONS")
    assert status == 204
    assert headers["access-control-allow-origin"] == "https://app.example"
    assert "PUT" in headers["access-control-allow-methods"]
    assert {"if-none-match", "stream-seq", "authorization"} <= set(headers["access-control-allow-headers"].split(", "))
    status, headers, body = ask(guard, asking)
    assert (status, body) == (200, b"hello")
    assert "stream-next-offset" in headers["access-control-expose-headers"]
    assert headers["cross-origin-resource-policy"] == "cross-origin"
    assert headers["vary"] == "Origin"
    assert "access-control-allow-credentials" not in headers
