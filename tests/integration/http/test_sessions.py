"""Durable sessions over HTTP: a browser's EventSource, as its requests."""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import pytest

from holdfast.testing import PATIENCE_S, NodeBox, wait_until
from tests.integration.http.conftest import Web, audited, code

ALL = ("sessions:read", "jobs:read", "channels:read", "channels:write", "channels:create")


class Event(NamedTuple):
    name: str
    data: Any
    id: str


class Source:
    """What an EventSource does: events with their names and ids."""

    def __init__(self, web: Web, path: str, token: str, last: str = "") -> None:
        self._connection = http.client.HTTPConnection(web.url.removeprefix("http://"), timeout=PATIENCE_S)
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        if last:
            headers["Last-Event-ID"] = last
        self._connection.request("GET", path, headers=headers)
        self.answer = self._connection.getresponse()
        self.last = last

    def events(self) -> Iterator[Event]:
        name, data = "message", ""
        while line := self.answer.readline().decode():
            field, _, value = line.rstrip("\n").partition(":")
            if field == "event":
                name = value
            elif field == "data":
                data = value
            elif field == "id":
                self.last = value
            elif not line.strip():
                if data:
                    yield Event(name, json.loads(data), self.last)
                name, data = "message", ""

    def messages(self, count: int) -> list[Event]:
        """The next so many that are no greeting."""
        found = []
        for event in self.events():
            if event.name != "attached":
                found.append(event)
            if len(found) == count:
                break
        return found

    def close(self) -> None:
        self.answer.close()
        self._connection.close()


@contextmanager
def following(web: Web, session: str, token: str = "", last: str = "") -> Iterator[Source]:
    source = Source(web, f"/v1/sessions/{session}/events", token, last)
    try:
        yield source
    finally:
        source.close()


def payloads(events: list[Event]) -> list[str]:
    return [event.data["payload"] for event in events]


def make(web: Web, token: str, *patterns: Any, idle_after: float = 3600.0) -> str:
    body = json.dumps({"patterns": patterns, "idle_after": idle_after}).encode()
    got = web.ask("POST", "/v1/sessions", token, body)
    assert got.status == 201, got
    made = json.loads(got.body)
    assert got.headers["location"] == f"/v1/sessions/{made['id']}"
    return str(made["id"])


@pytest.fixture
def web(make_web: Callable[..., Web]) -> Web:
    return make_web()


def fill(web: Web, first: int, last: int, channel: str = "p/c") -> None:
    for number in range(first, last):
        web.box.run("channel", "append", channel, str(number))


def test_a_reader_that_comes_back_goes_on_after_what_it_had(web: Web) -> None:
    token = web.mint(*ALL, "admin")
    web.box.run("channel", "create", "p/c")
    fill(web, 0, 3)
    session = make(web, token, "channels.>")
    with following(web, session, token) as source:
        assert source.answer.getheader("Content-Type") == "text/event-stream"
        first = source.messages(2)
        assert payloads(first) == ["0", "1"]
        assert {event.name for event in first} == {"message"}
        last = source.last
    fill(web, 3, 4)
    with following(web, session, token, last) as source:
        assert payloads(source.messages(2)) == ["2", "3"]
        last = source.last
    web.box.kill_node()
    web.start()
    fill(web, 4, 5)
    with following(web, session, token, last) as source:
        assert payloads(source.messages(1)) == ["4"]
    info = json.loads(web.ask("GET", f"/v1/sessions/{session}", token).body)
    position = info["cursors"][0]["position"]
    assert (
        position == 5
    )  # what the last reader had when it came: entries 1 to 4; what it got is known when it comes again


def test_a_reader_gets_any_number_of_messages_in_one_answer(box: NodeBox, make_web: Callable[..., Web]) -> None:
    box.env["HOLDFAST_LIMIT_SESSION_UNACKNOWLEDGED_MAX"] = "2"
    web = make_web()
    token = web.mint(*ALL, "admin")
    for channel in ("p/c", "p/d"):
        box.run("channel", "create", channel)
        box.run("channel", "append", channel, "--lines", input=b"line\n" * 5)
    with following(web, make(web, token, "channels.>"), token) as source:
        assert payloads(source.messages(10)) == ["line"] * 10


def test_without_a_last_id_what_was_not_acknowledged_comes_again(web: Web) -> None:
    token = web.mint(*ALL, "admin")
    web.box.run("channel", "create", "p/c")
    fill(web, 0, 2)
    session = make(web, token, {"pattern": "channels.p.c"})
    for _ in range(2):
        with following(web, session, token) as source:
            assert payloads(source.messages(2)) == ["0", "1"]


def test_a_second_reader_takes_over_and_the_first_is_told(web: Web) -> None:
    token = web.mint(*ALL)
    session = make(web, token, "bus.news")
    with following(web, session, token) as one, following(web, session, token) as two:
        assert next(two.events()).name == "attached"
        closed = one.messages(1)[0]
        assert closed.name == "closed"
        assert closed.data["title"] == "SessionTaken"
        web.box.run("pub", "bus.news", "hello")
        message = two.messages(1)[0]
        assert message.data["payload"] == "hello"
        assert message.data["subject"] == "bus.news"


def test_patterns_change_and_the_end_of_a_job_is_told(web: Web) -> None:
    token = web.mint(*ALL)
    session = make(web, token)
    web.box.run("run", "-d", "-T", "--name", "j", "--", "sh", "-c", "printf hello")
    job = web.box.inspect("j")["id"]
    body = json.dumps({"patterns": [f"jobs.{job}.output"], "dry_run": True}).encode()
    web.box.run("wait", "j")
    wait_until(lambda: web.box.inspect("j")["state"] == "done", "the output is stored")
    plan = json.loads(web.ask("PUT", f"/v1/sessions/{session}/patterns", token, body).body)
    assert (plan["added"], plan["replay_bytes"] > 0) == ([f"jobs.{job}.output"], True)
    body = json.dumps({"patterns": [f"jobs.{job}.output"]}).encode()
    assert web.ask("PUT", f"/v1/sessions/{session}/patterns", token, body).status == 200
    with following(web, session, token) as source:
        output, ended = source.messages(2)
        last = source.last
    assert output.data["payload"] == "hello"
    assert ended.name == "ended"
    web.box.run("run", "-d", "-T", "--name", "k", "--", "sh", "-c", "printf more")
    other = web.box.inspect("k")["id"]
    body = json.dumps({"patterns": [f"jobs.{job}.output", f"jobs.{other}.output"]}).encode()
    assert web.ask("PUT", f"/v1/sessions/{session}/patterns", token, body).status == 200
    with following(web, session, token, last) as source:
        assert source.messages(1)[0].data["subject"] == f"jobs.{other}.output"


def test_somebody_elses_session_is_no_session(web: Web) -> None:
    token = web.mint(*ALL)
    session = make(web, token, "bus.x")
    other = web.box.run("token", "mint", "--sub", "bob", "--scope", "sessions:read").stdout.decode().strip()
    for where in (session, "00000000-0000-0000-0000-000000000000"):
        for method, path in (("GET", ""), ("DELETE", ""), ("GET", "/events")):
            got = web.ask(method, f"/v1/sessions/{where}{path}", other)
            assert (got.status, code(got)) == (404, "HF-314"), got
    assert json.loads(web.ask("GET", "/v1/sessions", other).body) == []
    assert [one["id"] for one in json.loads(web.ask("GET", "/v1/sessions", token).body)] == [session]
    assert web.ask("GET", "/v1/sessions").status == 401
    few = web.mint("jobs:read")
    assert web.ask("GET", "/v1/sessions", few).status == 403
    assert audited(web.box)[-1]["action"] == "http.read"


def test_bad_input_is_named(web: Web) -> None:
    token = web.mint(*ALL)
    for body in (b"{", b'{"patterns": 1}', b'{"unknown": 1}', b'{"patterns": ["a..b"]}', b"[]"):
        got = web.ask("POST", "/v1/sessions", token, body)
        assert (got.status, code(got)) == (400, "HF-101"), (body, got)
    for pattern, said in (
        ({"pattern": "bus.x", "polcy": "conflate"}, "patterns[1].polcy: unknown field"),
        ({"policy": "conflate"}, "patterns[1]: Object missing required field `pattern`"),
        ({"pattern": "bus.x", "policy": "keep"}, "patterns[1]: Invalid enum value 'keep' - at `$.policy`"),
    ):
        got = web.ask("POST", "/v1/sessions", token, json.dumps({"patterns": ["bus.y", pattern]}).encode())
        assert (got.status, json.loads(got.body)["detail"]) == (400, said)
    assert web.ask("POST", "/v1/sessions", token, b'{"patterns": ["nobody.x"]}').status == 404
    session = make(web, token, "bus.x")
    for last in ("nonsense", "[]", '{"a": -1}', '{"a": true}', '{"a": [1, 2]}', '{"a": 9223372036854775808}'):
        got = web.ask("GET", f"/v1/sessions/{session}/events", token, Last_Event_ID=last)
        assert (got.status, code(got)) == (400, "HF-101"), (last, got)
    assert web.ask("DELETE", f"/v1/sessions/{session}", token).status == 204
    assert web.ask("GET", f"/v1/sessions/{session}", token).status == 404


def test_an_id_moves_no_cursor_backwards_nor_beyond_its_source(web: Web) -> None:
    token = web.mint(*ALL, "admin")
    web.box.run("channel", "create", "p/c")
    fill(web, 0, 3)
    session = make(web, token, "channels.p.c")
    with following(web, session, token) as source:
        ids = [event.id for event in source.messages(3)]
    with following(web, session, token, ids[1]) as source:
        assert payloads(source.messages(1)) == ["2"]
    for last in (ids[0], '{"channels.p.c":99}', '{"channels.q.c":1}'):
        with following(web, session, token, last) as source:
            assert payloads(source.messages(1)) == ["2"]


def test_where_nobody_needs_a_token_the_owners_sessions_are_there(make_web: Callable[..., Web]) -> None:
    web = make_web("--http-open")
    session = make(web, "", "bus.>")
    assert session in web.box.run("session", "ls").stdout.decode()
    with following(web, session) as source:
        assert next(source.events()).data == {"version": 1, "recovered": True, "recovered_why": ""}
        web.box.run("pub", "bus.a.b", "x")
        assert source.messages(1)[0].data["payload"] == "x"
