"""``serve --http-open``: nobody needs a token, and nobody else gets in for it."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from tests.integration.http.conftest import Web, audited

TEXT = {"Content_Type": "text/plain"}
JSON = {"Content_Type": "application/json"}


@pytest.fixture
def web(make_web: Callable[..., Web]) -> Web:
    return make_web("--http-open")


def test_everything_over_http_goes_without_a_token(web: Web) -> None:
    assert web.ask("PUT", "/v1/stream/s", "", b"a", **TEXT).status == 201
    assert web.ask("POST", "/v1/stream/s", "", b"b", **TEXT).status == 204
    assert web.ask("GET", "/v1/stream/s").body == b"ab"
    assert web.ask("GET", "/metrics").status == 200
    assert web.ask("DELETE", "/v1/stream/s").status == 204
    job = web.box.run("run", "-d", "-T", "--", "echo", "hello").stdout.decode().strip()
    web.box.run("wait", job)
    assert web.ask("GET", f"/v1/stream/jobs/{job}/output").body == b"hello\n"
    assert web.ask("PUT", f"/v1/stream/jobs/{job}/output", "", b"", **TEXT).status == 405
    assert audited(web.box) == []


def test_channels_know_who_wrote_as_anybody(web: Web) -> None:
    path = "/v1/stream/channels/p/c"
    assert web.ask("PUT", path, "", b"", **JSON).status == 201
    assert web.ask("POST", path, "", b'{"payload": "hi", "content_type": "text/plain"}', **JSON).status == 204
    (message,) = json.loads(web.ask("GET", path).body)
    assert (message["sender"], message["payload"], message["index"]) == ("anybody", "hi", 1)
    assert json.loads(web.box.run("channel", "info", "p/c").stdout)["submitter"] == "anybody"
    web.box.run("channel", "create", "p/mine")
    web.box.run("channel", "append", "p/mine", "owner's")
    assert json.loads(web.ask("GET", "/v1/stream/channels/p/mine").body)[0]["payload"] == "owner's"
    assert web.ask("DELETE", path).status == 204 and web.ask("GET", path).status == 404


def test_pages_of_others_are_kept_out_all_the_same(web: Web) -> None:
    web.ask("PUT", "/v1/stream/s", "", b"secret", **TEXT)
    for query in ("", "?offset=-1&live=sse", "?offset=-1&live=long-poll"):
        for refused in ({"Host": "127.evil.example"}, {"Origin": "http://evil.example"}, {"Origin": "null"}):
            got = web.ask("GET", f"/v1/stream/s{query}", "", None, **refused)
            assert got.status == 403 and b"secret" not in got.body
    assert web.ask("POST", "/v1/stream/s", "", b"x", Origin="http://evil.example", **TEXT).status == 403
    assert web.ask("GET", "/v1/stream/s", Origin=web.url).body == b"secret"


def test_a_token_does_no_harm_and_rpc_still_needs_its_owner(web: Web) -> None:
    web.ask("PUT", "/v1/stream/s", "", b"x", **TEXT)
    assert web.ask("GET", "/v1/stream/s", web.mint("jobs:read")).body == b"x"
    assert web.ask("GET", "/v1/stream/s", "nonsense").body == b"x"
    log = (web.box.directory / "node.err").read_text()
    assert any(json.loads(line)["event"] == "http.open" for line in log.splitlines())


def test_what_was_written_openly_needs_a_token_when_the_door_is_closed(web: Web) -> None:
    web.ask("PUT", "/v1/stream/s", "", b"x", **TEXT)
    web.box.kill_node()
    web.options = web.options[:2]
    web.start()
    assert web.ask("GET", "/v1/stream/s").status == 401
    assert web.ask("GET", "/v1/stream/s", web.mint("streams:read")).body == b"x"
