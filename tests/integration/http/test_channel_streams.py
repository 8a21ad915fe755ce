"""Channels as durable streams, on a real node: written over RPC and read over HTTP, and the other way round."""

from __future__ import annotations

import http.client
import json
from typing import Any, NamedTuple

import pytest

import holdfast
from holdfast.testing import NodeBox, wait_until

JSON = {"Content-Type": "application/json"}


class Got(NamedTuple):
    """An answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def messages(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.body)
        return found


class Web:
    """A node with an HTTP door."""

    def __init__(self, box: NodeBox) -> None:
        self.box = box
        box.start_node("--http", "127.0.0.1:0")
        self.host = box.listening("http").removeprefix("http://")
        self.admin = self.mint("ann", "channels:read", "channels:write", "channels:create")

    def mint(self, subject: str, *scopes: str, more: tuple[str, ...] = ()) -> str:
        wanted = [part for scope in scopes for part in ("--scope", scope)]
        return self.box.run("token", "mint", "--sub", subject, *wanted, *more).stdout.decode().strip()

    def open(self, method: str, path: str, token: str, body: object = None, **more: str) -> http.client.HTTPResponse:
        connection = http.client.HTTPConnection(self.host, timeout=30)
        content = b"" if body is None else json.dumps(body).encode()
        headers = {"Connection": "close", "Authorization": f"Bearer {token}", **(JSON if body is not None else {})}
        headers |= {name.replace("_", "-"): value for name, value in more.items()}
        connection.request(method, f"/v1/stream/channels/{path}", content, headers)
        return connection.getresponse()

    def ask(self, method: str, path: str, token: str = "", body: object = None, **more: str) -> Got:
        with self.open(method, path, token or self.admin, body, **more) as answer:
            return Got(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())


@pytest.fixture
def web(box: NodeBox) -> Web:
    made = Web(box)
    with holdfast.connect_sync(box.url, autostart=False) as node:
        node.channels.create("p", "c", submitter="ann")
    return made


def test_what_is_appended_over_rpc_is_read_over_http(web: Web) -> None:
    with holdfast.connect_sync(web.box.url, autostart=False) as node:
        channel = node.channels.channel("p/c")
        channel.append("text", in_reply_to=7)
        channel.append(b"\xff")
        channel.append({"x": [1, None]}, headers={"a": "b"})
        got = web.ask("GET", "p/c")
        assert [each["payload"] for each in got.messages] == ["text", {"base64": "/w=="}, {"x": [1, None]}]
        assert [each["index"] for each in got.messages] == [1, 2, 3]
        assert (got.messages[0]["in_reply_to"], got.messages[2]["headers"]) == (7, {"a": "b"})
        assert got.headers["stream-next-offset"].endswith("0003") and got.headers["stream-up-to-date"] == "true"
        assert [each["index"] for each in web.ask("GET", "p/c?offset=2").messages] == [3]
        assert web.ask("GET", "p/c?offset=4").status == 400
        polling = web.open("GET", "p/c?offset=now&live=sse", web.admin)
        with web.open("GET", "p/c?offset=2&live=sse", web.admin) as events, polling:
            assert events.readline() == b"event: data\n"
            assert json.loads(events.readline().removeprefix(b"data:"))[0]["index"] == 3
            channel.append("live")
            channel.end()
            channel.close()
            rest = events.read().decode()
            assert '"payload":"live"' in rest and '"type":"end"' in rest and '"streamClosed":true' in rest
            assert '"payload":"live"' in polling.read().decode()
    closed = web.ask("GET", "p/c?offset=3&live=long-poll")
    assert closed.headers["stream-closed"] == "true" and closed.messages[0]["payload"] == "live"
    refused = web.ask("POST", "p/c", body=1)
    assert refused.status == 409 and refused.headers["stream-closed"] == "true"


def test_what_is_appended_over_http_is_read_over_rpc(web: Web) -> None:
    assert web.ask("POST", "p/c", body=[{"token": "a"}, "b", {"type": "message", "n": 1}]).status == 204
    assert (
        web.ask("POST", "p/c", body={"payload": 1, "sequence": 9, "in_reply_to": 3, "headers": {"h": "v"}}).status
        == 204
    )
    again = web.ask("POST", "p/c", body={"payload": 1, "sequence": 9, "in_reply_to": 3, "headers": {"h": "v"}})
    assert again.status == 204 and again.headers["stream-next-offset"].endswith("0004")
    assert web.ask("POST", "p/c", body={"payload": 2, "sequence": 9}).status == 409
    assert web.ask("POST", "p/c", body={"payload": "plain", "content_type": "text/plain"}).status == 204
    assert web.ask("POST", "p/c", body={"type": "end"}, Stream_Closed="true").headers["stream-closed"] == "true"
    with holdfast.connect_sync(web.box.url, autostart=False) as node:
        entries = list(node.channels.channel("p/c").subscribe())
    assert [entry.payload for entry in entries[:3]] == [b'{"token": "a"}', b'"b"', b'{"type": "message", "n": 1}']
    assert {entry.sender for entry in entries} == {"ann"}
    assert (entries[3].sequence, entries[3].in_reply_to, entries[3].headers) == (9, 3, {"h": "v"})
    assert (entries[4].payload, entries[4].content_type, entries[5].type) == (b"plain", "text/plain", "end")


@pytest.mark.parametrize(
    "body", [[], {"payload": 1, "index": 3}, {"payload": 1, "type": "odd"}, {"payload": 1, "sequence": -1},
             {"payload": 1, "content_type": "text/plain"}, {"payload": {"base64": "?"}, "content_type": "a/b"},
             {"payload": "x", "content_type": "what it is"}]
)  # fmt: skip
def test_what_cannot_be_is_refused_and_nothing_is_stored(web: Web, body: object) -> None:
    assert web.ask("POST", "p/c", body=body).status == 400
    assert web.ask("POST", "p/c", body=1, Producer_Id="p", Producer_Epoch="0").status == 400
    assert web.ask("POST", "p/c", body=1, Content_Type="text/plain").status == 409
    assert web.ask("GET", "p/c").messages == []


def marked(sequence: int, epoch: int = 0, name: str = "p") -> dict[str, str]:
    return {"Producer_Id": name, "Producer_Epoch": str(epoch), "Producer_Seq": str(sequence)}


def test_a_producers_request_counts_once(web: Web) -> None:
    first = web.ask("POST", "p/c", body=["a", "b"], **marked(0))
    assert (first.status, first.headers["producer-seq"]) == (200, "0")
    assert first.headers["stream-next-offset"].endswith("0002")
    again = web.ask("POST", "p/c", body=["a", "b"], **marked(0))
    assert (again.status, again.headers["stream-next-offset"]) == (204, first.headers["stream-next-offset"])
    gap = web.ask("POST", "p/c", body="c", **marked(2))
    assert (gap.status, gap.headers["producer-expected-seq"]) == (409, "1")
    assert web.ask("POST", "p/c", body="c", **marked(1)).status == 200
    assert web.ask("POST", "p/c", body="d", **marked(1, epoch=1)).status == 400
    assert web.ask("POST", "p/c", body="d", **marked(0, epoch=1)).status == 200
    fenced = web.ask("POST", "p/c", body="e", **marked(2))
    assert (fenced.status, fenced.headers["producer-epoch"]) == (403, "1")
    mine = web.mint("ben", "channels:read", "channels:write", more=("--channel", "p/c"))
    assert web.ask("POST", "p/c", mine, "f", **marked(0)).status == 200, "another's producers are not in the way"
    web.box.kill_node()
    web.box.start_node("--http", "127.0.0.1:0")
    web.host = web.box.listening("http").removeprefix("http://")
    assert web.ask("POST", "p/c", body="d", **marked(0, epoch=1)).status == 204
    last = web.ask("POST", "p/c", body="g", Stream_Closed="true", **marked(1, epoch=1))
    assert (last.status, last.headers["stream-closed"]) == (200, "true")
    assert web.ask("POST", "p/c", body="g", Stream_Closed="true", **marked(1, epoch=1)).status == 204
    assert web.ask("POST", "p/c", body="h", **marked(2, epoch=1)).status == 409
    assert web.ask("POST", "p/c", body="h", **marked(5)).status == 403
    assert [each["payload"] for each in web.ask("GET", "p/c").messages] == list("abcdfg")


def test_the_writers_own_order_must_grow(web: Web) -> None:
    assert web.ask("POST", "p/c", body=1, Stream_Seq="a").status == 204
    assert web.ask("POST", "p/c", body=2, Stream_Seq="a").status == 409
    assert web.ask("POST", "p/c", body=2).status == 204
    assert web.ask("POST", "p/c", body=3, Stream_Seq="b").status == 204
    assert [each["payload"] for each in web.ask("GET", "p/c").messages] == [1, 2, 3]


def test_messages_of_one_body_are_there_all_or_none(web: Web) -> None:
    with holdfast.connect_sync(web.box.url, autostart=False) as node:
        node.channels.create("p", "small", submitter="ann", payload_bytes_max=100, entries_max=3)
    long = {"payload": "x" * 200}
    assert web.ask("POST", "p/small", body=[1, long, 2]).status == 413
    assert web.ask("POST", "p/small", body=[long], Stream_Closed="true").status == 413
    assert web.ask("POST", "p/small", body=[1, 2, 3, 4]).status == 507
    assert web.ask("POST", "p/small", body=[{"payload": 1, "sequence": 7}]).status == 204
    assert web.ask("POST", "p/small", body=[2, {"payload": 3, "sequence": 7}]).status == 409
    assert web.ask("POST", "p/small", body=[{"payload": 1, "sequence": 7}, 2], Stream_Closed="true").status == 204
    got = web.ask("GET", "p/small")
    assert [each["payload"] for each in got.messages] == [1, 2]
    assert got.headers["stream-closed"] == "true"


def test_creation_and_deletion(web: Web) -> None:
    assert web.ask("PUT", "q/new", **JSON).status == 201
    assert web.ask("PUT", "q/new").status == 200
    assert web.ask("PUT", "q/new", web.mint("eve", "channels:create")).status == 409
    assert web.ask("PUT", "q/other", Stream_TTL="5").status == 400
    assert web.ask("PUT", "q/a/b").status == 404
    assert web.ask("DELETE", "q/new").status == 204
    assert web.ask("GET", "q/new").status == web.ask("DELETE", "q/new").status == 404


def test_somebody_elses_looks_as_none_and_readers_write_nothing(web: Web) -> None:
    outsider = web.mint("eve", "channels:read", "channels:write")
    bound = web.mint("bob", "channels:read", more=("--channel", "p/mine"))
    for token in (outsider, bound):
        foreign, none = (web.ask("GET", path, token) for path in ("p/c", "p/d"))
        assert foreign.status == none.status == 404
        assert foreign.body.replace(b"p/c", b"") == none.body.replace(b"p/d", b"")
    assert web.ask("POST", "p/c", outsider, 1).status == 404
    reader = web.mint("ann", "channels:read", "channels:write", more=("--role", "reader"))
    assert web.ask("POST", "p/c", reader, 1).status == 403
    assert web.ask("DELETE", "p/c", reader).status == 403
    assert web.ask("GET", "p/c", reader).messages == []
    denied = (web.box.state_dir / "audit.log").read_text()
    assert "channels.http.read" in denied and "http.append" in denied


def kept_after_gone(web: Web) -> Any:
    """What is read from the offset that a 410 names; nothing while none is given, or that is gone too by now."""
    gone = web.ask("GET", "p/short?offset=0")
    if gone.status != 410:
        return None
    kept = web.ask("GET", f"p/short?offset={gone.headers['stream-next-offset']}")
    return kept.messages if kept.status == 200 else None


def test_what_was_dropped_is_gone_with_the_oldest_offset_kept(web: Web) -> None:
    with holdfast.connect_sync(web.box.url, autostart=False) as node:
        channel = node.channels.create("p", "short", submitter="ann", retain=True, entries_max=8)
        for number in range(20):
            channel.append(str(number))
    kept = wait_until(lambda: kept_after_gone(web), "the oldest have gone, and no more are going")
    assert kept[-1]["payload"] == "19"
    assert web.ask("GET", "p/short").messages[0]["index"] >= kept[0]["index"] > 1


def test_an_event_stream_that_nobody_reads_misses_nothing_and_holds_nobody_up(web: Web) -> None:
    batches, size = 50, 1000
    with holdfast.connect_sync(web.box.url, autostart=False) as node:
        channel = node.channels.create(
            "p", "fast", submitter="ann", rate_per_s=1e9, burst=10**9, entries_max=batches * size
        )
        with web.open("GET", "p/fast?offset=0&live=sse", web.admin) as asleep:
            for _ in range(batches):  # more than the sockets hold
                channel.append_batch([b"x" * 500] * size)
            assert channel.info().subscribers == 1
            assert channel.info().lag_entries > 0
            channel.close()
            found: list[int] = []
            for line in asleep:
                if line.startswith(b"data:["):
                    found += [each["index"] for each in json.loads(line.removeprefix(b"data:"))]
            assert found == list(range(1, batches * size + 1))
