"""A real node's HTTP door: tokens, job outputs, what survives SIGKILL."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from holdfast.http.offsets import offset_of
from holdfast.testing import NodeBox, wait_until
from tests.integration.http.conftest import Web, audited, code


def test_nothing_is_allowed_without_a_token_though_we_are_on_the_same_machine(make_web: Callable[..., Web]) -> None:
    web = make_web()
    for method, path in (("GET", "/v1/stream/s"), ("PUT", "/v1/stream/s"), ("GET", "/metrics"), ("GET", "/v1/stream/")):
        for token in ("", "nonsense", web.mint("streams:read")[:-8] + "AAAAAAAA"):
            got = web.ask(method, path, token)
            assert got.status == 401 and got.headers["www-authenticate"].startswith("Bearer")
            assert code(got) == "HF-401"
    assert web.ask("GET", "/healthz").status == 200
    assert web.ask("GET", "/readyz").status == 200
    assert {event["action"] for event in audited(web.box)} == {"authenticate"}


def test_scopes_decide_and_denials_are_noted(make_web: Callable[..., Web]) -> None:
    web = make_web()
    reads, writes = web.mint("streams:read"), web.mint("streams:write")
    text = {"Content_Type": "text/plain"}
    assert web.ask("PUT", "/v1/stream/s", reads, b"x", **text).status == 403
    assert web.ask("PUT", "/v1/stream/s", writes, b"x", **text).status == 201
    assert web.ask("GET", "/v1/stream/s", writes).status == 403
    assert web.ask("GET", "/v1/stream/s", reads).body == b"x"
    assert web.ask("POST", "/v1/stream/s", reads, b"y", **text).status == 403
    assert web.ask("DELETE", "/v1/stream/s", reads).status == 403
    assert web.ask("PUT", "/v1/stream/t", writes, b"", Stream_Forked_From="/v1/stream/s").status == 403
    assert web.ask("GET", "/metrics", reads).status == 403
    assert b"holdfast_streams 1.0" in web.ask("GET", "/metrics", web.mint("node:read")).body
    reader = web.mint("streams:read", "streams:write", more=("--role", "reader"))
    assert web.ask("POST", "/v1/stream/s", reader, b"y", **text).status == 403
    assert all(event["peer"].startswith("127.0.0.1:") for event in audited(web.box))
    denied = {(event["action"], event["resource"]) for event in audited(web.box)}
    assert {("http.create", "streams/s"), ("http.read", "streams/s"), ("http.read", "node/metrics")} <= denied


def test_an_outsider_cannot_tell_somebody_elses_from_none(make_web: Callable[..., Web]) -> None:
    web = make_web("--http-open")
    own, other = (web.box.run("run", "-d", "--", "echo", word).stdout.decode().strip() for word in ("own", "other"))
    web.box.run("wait", own)
    web.ask("PUT", "/v1/stream/somebodys", "", b"x", Content_Type="text/plain")
    bound = web.mint("jobs:read", "streams:read", more=("--job", own))
    lacking = web.mint("streams:read")
    web.box.kill_node()
    web.options = web.options[:2]
    web.start()
    assert web.ask("GET", f"/v1/stream/jobs/{own}/output", bound).body == b"own\n"
    for foreign, none in ((f"jobs/{other}/output", "jobs/zzzzzzzzzzzz/output"), ("somebodys", "nobodys")):
        answers = [web.ask("GET", f"/v1/stream/{path}", bound) for path in (foreign, none)]
        assert [got.status for got in answers] == [404, 404]
        told = [
            json.loads(got.body.decode().replace(name, "…")) for got, name in zip(answers, (foreign, none), strict=True)
        ]
        assert told[0] == told[1]
    for path in (f"jobs/{other}/output", "jobs/zzzzzzzzzzzz/output"):
        assert web.ask("GET", f"/v1/stream/{path}", lacking).status == 403


def test_one_token_cannot_take_all_live_readers(box: NodeBox) -> None:
    box.env["HOLDFAST_LIMIT_HTTP_READERS_PER_TOKEN_MAX"] = "0"  # nobody is the first
    web = Web(box)
    token = web.mint("streams:read,streams:write,sessions:read")
    assert web.ask("PUT", "/v1/stream/s", token, b"x", Content_Type="text/plain").status == 201
    session = json.loads(web.ask("POST", "/v1/sessions", token, b"{}").body)["id"]
    for path in (
        "/v1/stream/s?offset=1&live=long-poll",
        "/v1/stream/s?offset=1&live=sse",
        f"/v1/sessions/{session}/events",
    ):
        got = web.ask("GET", path, token)
        assert (got.status, code(got), got.headers["retry-after"]) == (429, "HF-205", "5")
        assert json.loads(got.body)["details"]["name"] == "http_readers_per_token_max"
    assert web.ask("GET", "/v1/stream/s", token).body == b"x"


def test_an_event_stream_ends_when_its_token_is_revoked(make_web: Callable[..., Web]) -> None:
    web = make_web("--http-open")
    web.ask("PUT", "/v1/stream/s", "", b"x", Content_Type="text/plain")
    web.box.kill_node()
    web.options = web.options[:2]
    web.box.env["HOLDFAST_LIMIT_HTTP_HEARTBEAT_S"] = "50ms"
    web.start()
    made = json.loads(web.box.run("token", "mint", "--sub", "ann", "--scope", "streams:read", "-o", "json").stdout)
    request = urllib.request.Request(f"{web.url}/v1/stream/s?offset=-1&live=sse")
    request.add_header("Authorization", f"Bearer {made['token']}")
    with urllib.request.urlopen(request, timeout=30) as answer:
        assert answer.readline() == b"event: data\n"
        web.box.run("token", "revoke", made["id"])
        rest = answer.read()
    assert b"event: error\n" in rest and b"HF-401" in rest


def test_a_jobs_output_is_a_stream_with_the_same_offsets(make_web: Callable[..., Web]) -> None:
    web = make_web("--http-open")
    job = web.box.run(
        "run", "-d", "-T", "-n", "counter", "--", "sh", "-c", "echo one; read x; echo two"
    ).stdout.decode()
    path = f"/v1/stream/jobs/{job.strip()}/output"
    wait_until(lambda: web.ask("GET", path).body == b"one\n", "the first line is there")
    assert "stream-closed" not in web.ask("HEAD", path).headers
    request = urllib.request.Request(f"{web.url}/v1/stream/jobs/counter/output?offset=4&live=long-poll")
    web.box.run("send", "counter", "go\n")
    with urllib.request.urlopen(request, timeout=30) as answer:
        assert answer.read() == b"two\n"
    web.box.run("wait", "counter")
    ended = web.ask("GET", f"{path}?offset={offset_of(4)}")
    assert ended.body == b"two\n" and ended.headers["stream-closed"] == "true"
    assert ended.headers["stream-next-offset"] == offset_of(8)
    assert ended.headers["content-type"] == "application/octet-stream"
    assert web.ask("GET", f"{path}?offset=9").status == 400
    for method in ("PUT", "POST", "DELETE"):
        assert web.ask(method, path, "", b"x", Content_Type="text/plain").status == 405
    for wrong in ("jobs/counter", "jobs/counter/input", "jobs/counter/output/x", "jobs//output", "jobs"):
        assert web.ask("GET", f"/v1/stream/{wrong}").status == 404


def test_everything_acknowledged_survives_sigkill(make_web: Callable[..., Web]) -> None:
    web = make_web("--http-open")
    text = {"Content_Type": "text/plain"}
    web.ask("PUT", "/v1/stream/a", "", b"0", Stream_TTL="600", **text)
    producer = {"Producer_Id": "p", "Producer_Epoch": "3"}
    web.ask("POST", "/v1/stream/a", "", b"1", Producer_Seq="0", Stream_Seq="k", **producer, **text)
    web.ask("PUT", "/v1/stream/fork", Stream_Forked_From="/v1/stream/a")
    web.ask("POST", "/v1/stream/a", "", b"2", Stream_Closed="true", Producer_Seq="1", **producer, **text)
    web.ask("DELETE", "/v1/stream/a")
    web.ask("PUT", "/v1/stream/b", "", b'[1,{"two":2}]', Stream_Closed="true", Content_Type="application/json")
    web.box.kill_node()
    web.start()
    assert web.ask("GET", "/v1/stream/a").status == 410
    assert web.ask("PUT", "/v1/stream/a", "", b"0", **text).status == 409
    assert web.ask("GET", "/v1/stream/fork").body == b"01"
    assert web.ask("HEAD", "/v1/stream/fork").headers["stream-ttl"] == "600"
    assert web.ask("POST", "/v1/stream/fork", "", b"!", Producer_Seq="0", **producer, **text).status == 200
    got = web.ask("GET", "/v1/stream/b")
    assert json.loads(got.body) == [1, {"two": 2}] and got.headers["stream-closed"] == "true"
    assert web.ask("DELETE", "/v1/stream/fork").status == 204
    assert web.ask("GET", "/v1/stream/a").status == 404


def test_sigterm_ends_live_readers_properly(make_web: Callable[..., Web]) -> None:
    web = make_web("--http-open")
    web.ask("PUT", "/v1/stream/s", "", b"x", Content_Type="text/plain")
    with urllib.request.urlopen(f"{web.url}/v1/stream/s?offset=-1&live=sse", timeout=30) as answer:
        assert answer.readline() == b"event: data\n"
        assert web.box.node is not None
        web.box.node.terminate()
        assert b"event: control" in answer.read()  # to its proper end, or urllib complains
    assert web.box.node.wait(30) == 0


@pytest.mark.parametrize(
    "options",
    [
        ("--http", "4437"),
        ("--http", "0.0.0.0:0"),
        ("--http", "nowhere.invalid:0", "--insecure-listen"),
        ("--http-open",),
        ("--http-root", "/tmp"),
        ("--http", "127.0.0.1:0", "--http-root", "/nonexistent"),
        ("--http", "0.0.0.0:0", "--insecure-listen", "--http-open"),
        ("--http", "127.0.0.1:0", "--http-origin", "*", "--http-open"),
        ("--http-host", "x"),
    ],
)
def test_options_that_cannot_be_are_refused(box: NodeBox, options: tuple[str, ...]) -> None:
    done = box.run("serve", *options, code=125)
    assert b"http" in done.stderr


def test_the_node_starts_again_within_the_lifetime_of_a_reader(make_web: Callable[..., Web]) -> None:
    """A restart is no reason for a stream to end: a sliding lifetime begins anew."""
    web = make_web("--http-open")
    web.ask("PUT", "/v1/stream/s", "", b"x", Content_Type="text/plain", Stream_TTL="3600")
    web.box.kill_node()
    web.start()
    assert web.ask("GET", "/v1/stream/s").body == b"x"


def test_the_how_tos_writer_writes(make_web: Callable[..., Web]) -> None:
    web = make_web()
    page = Path(__file__).parents[3] / "docs" / "howto" / "stream-tokens-to-a-browser.md"
    block = page.read_text("utf-8").partition("```python\n")[2].partition("```")[0]
    names: dict[str, Any] = {}
    exec(compile(block, str(page), "exec"), names)
    names["STREAM"] = f"{web.url}/v1/stream/answers/42"
    names["stream_answer"](web.mint("streams:write"), ["to", "be"])
    got = web.ask("GET", "/v1/stream/answers/42", web.mint("streams:read"))
    assert json.loads(got.body) == [{"token": "to"}, {"token": "be"}] and got.headers["stream-closed"] == "true"
