"""The door itself: limits, heartbeats, ends, errors."""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing
from typing import cast

import pytest
from starlette.types import ASGIApp

from holdfast.clock import RealClock
from holdfast.errors import BusyError, StorageError, UsageError
from holdfast.http.door import HttpDoor
from holdfast.http.guard import Guard
from holdfast.http.offsets import offset_of
from holdfast.http.settings import HttpSettings, parse_listen
from holdfast.limits import LIMITS
from tests.conftest import Run
from tests.integration.http.conftest import site

SMALL = LIMITS._replace(http_body_bytes_max=1000, http_page_bytes=100, http_event_bytes=100)


def test_a_body_over_the_limit_is_refused_by_name_and_nothing_is_stored(run: Run) -> None:
    async def main() -> None:
        async with site(SMALL) as made:
            await made.make("s")
            answer = await made.add("s", b"x" * 1001)
            assert (answer.status, answer.problem["code"]) == (413, "HF-204")
            assert answer.problem["details"] == {"name": "http_body_bytes_max", "limit": 1000, "value": 1001}
            assert (await made.ask("PUT", "t", {"Content-Type": "text/plain"}, b"x" * 1001)).status == 413
            assert (await made.ask("GET", "s")).body == b""
            assert (await made.ask("GET", "t")).status == 404

    run(main())


def test_paths_may_hold_any_letters_and_nothing_but_letters(run: Run) -> None:
    async def main() -> None:
        async with site() as made:
            for sent, name in (
                ("%E6%97%A5%20%C3%A9", "日 é"),
                ("a%2Fb", "a/b"),
                ("%EF%BF%BD", "\N{REPLACEMENT CHARACTER}"),
            ):
                answer = await made.make(sent, body=b"x")
                assert answer.headers["location"] == f"http://localhost/v1/stream/{sent}"
                assert name in made.streams._streams
                assert (await made.ask("GET", sent)).body == b"x"
            before = set(made.streams._streams)
            for method, fork in (("PUT", {}), ("PUT", {"Stream-Forked-From": "/v1/stream/%ff"}), ("GET", {})):
                path = "fork" if fork else "a%ff"
                answer = await made.ask(method, path, {"Content-Type": "text/plain", **fork})
                assert (answer.status, answer.problem["code"]) == (400, "HF-101")
                assert "is not UTF-8" in answer.problem["detail"]
            assert set(made.streams._streams) == before

    run(main())


def test_what_is_wrong_with_a_producer_is_said_by_its_header(run: Run) -> None:
    async def main() -> None:
        async with site() as made:
            await made.make("s")
            for name, epoch, sequence, wrong in (
                ("p", "0", "3", "Producer-Seq"),
                ("p" * 5000, "0", "0", "Producer-Id"),
                ("", "0", "0", "Producer-Id"),
                ("p", "-1", "0", "Producer-Epoch"),
                ("p", "0", "1e3", "Producer-Seq"),
            ):
                answer = await made.add("s", b"x", Producer_Id=name, Producer_Epoch=epoch, Producer_Seq=sequence)
                assert (answer.status, answer.problem["details"]["field"]) == (400, wrong)
                assert answer.problem["detail"].startswith(f"{wrong}: ")
            assert (await made.ask("GET", "s")).body == b""

    run(main())


def test_a_large_stream_is_read_in_pages(run: Run) -> None:
    async def main() -> None:
        async with site(SMALL) as made:
            data = bytes(range(256)) * 3
            await made.make("s", "application/octet-stream", data)
            await made.ask("POST", "s", {"Stream-Closed": "true"})
            got, offset, pages = b"", "-1", 0
            while True:
                answer = await made.ask("GET", f"s?offset={offset}")
                got, offset, pages = got + answer.body, answer.offset, pages + 1
                assert ("stream-closed" in answer.headers) == ("stream-up-to-date" in answer.headers)
                if "stream-closed" in answer.headers:
                    break
            assert got == data and pages >= 8

    run(main())


def test_a_body_that_breaks_off_changes_nothing(run: Run) -> None:
    async def main() -> None:
        async with site() as made:
            await made.make("s")
            client = await made.connect()
            await client.send("POST", "/v1/stream/s", {"Content-Type": "text/plain", "Content-Length": "10"}, b"half")
            client.abort()
            while made.door.connections:
                await asyncio.sleep(0.001)
            assert (await made.ask("GET", "s")).body == b""

    run(main())


def test_a_silent_event_stream_shows_that_it_lives(run: Run) -> None:
    async def main() -> None:
        async with site(LIMITS._replace(http_heartbeat_s=0.01)) as made:
            await made.make("s")
            client = await made.connect()
            await client.send("GET", "/v1/stream/s?offset=now&live=sse")
            head = await client.head()
            assert head.headers["x-accel-buffering"] == "no"
            assert head.headers["cache-control"] == "no-cache, no-transform"
            async with aclosing(client.chunks()) as chunks:  # type: ignore[type-var]
                assert b"upToDate" in await anext(chunks)
                assert (await anext(chunks)).startswith(b":")
            await client.close()

    run(main())


def test_an_event_stream_ends_at_its_age_and_can_be_taken_up(run: Run) -> None:
    async def main() -> None:
        async with site(LIMITS._replace(http_sse_s=0.05)) as made:
            await made.make("s", body=b"a")
            answer = await made.ask("GET", "s?offset=-1&live=sse")
            control = json.loads(answer.body.decode().split("event: control\ndata:")[1].split("\n")[0])
            assert control["streamNextOffset"] == offset_of(1) and "streamClosed" not in control

    run(main())


def test_an_event_source_goes_on_where_it_was_and_stays_away_from_a_finished_stream(run: Run) -> None:
    async def main() -> None:
        async with site(LIMITS._replace(http_sse_s=0.05)) as made:
            await made.make("s", body=b"one")
            answer = await made.ask("GET", "s?offset=-1&live=sse")
            assert f"id:{offset_of(3)}\n".encode() in answer.body
            await made.add("s", b"two", Stream_Closed="true")
            again = await made.ask("GET", "s?offset=-1&live=sse", {"Last-Event-ID": offset_of(3)})
            assert b"two" in again.body and b"one" not in again.body
            last = await made.ask("GET", "s?offset=-1&live=sse", {"Last-Event-ID": offset_of(6)})
            assert last.status == 204 and last.headers["stream-closed"] == "true"

    run(main())


def test_draining_ends_live_readers_properly_and_takes_no_new_ones(run: Run) -> None:
    async def main() -> None:
        async with site() as made:
            await made.make("s", body=b"a")
            events, poll = await made.connect(), await made.connect()
            await events.send("GET", "/v1/stream/s?offset=-1&live=sse")
            await events.head()
            await poll.send("GET", "/v1/stream/s?offset=now&live=long-poll")
            while len(made.lasting) < 2:
                await asyncio.sleep(0.001)
            draining = asyncio.create_task(made.door.drain(5.0))
            assert [kind async for kind, _ in events.events()] == ["data", "control"]
            answer = await poll.answer()
            assert answer.status == 204 and answer.headers["stream-up-to-date"] == "true"
            await draining
            with pytest.raises(ConnectionError):
                await made.connect()
            await events.close()
            await poll.close()

    run(main())


def test_a_slow_reader_holds_a_page_and_no_more_and_is_cut_when_it_stalls(run: Run) -> None:
    async def main() -> None:
        async with site() as made:
            await made.make("s", "application/octet-stream")
            for _ in range(16):
                await made.streams._log.append("streams/s", bytes(2 << 20))
            client = await made.connect()
            client.writer.transport.pause_reading()  # type: ignore[attr-defined]
            await client.send("GET", "/v1/stream/s?offset=-1&live=sse")
            peer = None
            while peer is None or not (peer.progress() or (0, 0))[1]:
                await asyncio.sleep(0.001)
                peer = next(iter(made.door._peers()), None)
            for _ in range(50):  # as long as the kernel takes more, there is progress
                await asyncio.sleep(0.001)
            assert (peer.progress() or (0, 0))[1] < 4 * LIMITS.http_event_bytes
            watch = made.door._watch
            watch.check([peer], 0.0)
            assert watch.check([peer], LIMITS.http_stall_s) == 1
            while len(made.lasting) or made.door.connections:
                await asyncio.sleep(0.001)
            client.abort()

    run(main())


def test_more_connections_than_the_limit_are_told_so(run: Run) -> None:
    async def main() -> None:
        async with site(LIMITS._replace(http_connections_max=2)) as made:
            clients = [await made.connect() for _ in range(3)]
            await clients[2].send("GET", "/healthz")
            assert (await clients[2].head()).status == 503
            for client in clients:
                await client.close()

    run(main())


def test_what_is_not_there_and_what_cannot_be_done(run: Run) -> None:
    async def main() -> None:
        async with site() as made:
            assert (await made.ask("GET", "/elsewhere")).problem["code"] == "HF-301"
            assert (await made.ask("GET", "jobs/x/output")).status == 404
            assert (await made.ask("PUT", "channels/x/y", {"Content-Type": "text/plain"})).status == 404
            assert (await made.ask("PATCH", "s")).status == 405
            assert (await made.ask("PUT", "a/../b", {"Content-Type": "text/plain"})).status == 400
            assert (await made.ask("PUT", "a%00b", {"Content-Type": "text/plain"})).status == 400
            assert (await made.ask("GET", "s", {"Host": "localhost", "Authorization": "Bearer x"})).status == 404

    run(main())


def test_health_and_readiness(run: Run) -> None:
    async def main() -> None:
        async with site() as made:
            assert json.loads((await made.ask("GET", "/healthz")).body) == {"status": "alive"}
            assert (await made.ask("GET", "/readyz")).status == 200
            made.engine._store.max_bytes = 0
            with pytest.raises(StorageError):
                await made.engine.probe()
            answer = await made.ask("GET", "/readyz")
            assert (answer.status, json.loads(answer.body)) == (503, {"status": "not ready"})
            assert (await made.ask("GET", "/healthz")).status == 200

    run(main())


def test_metrics_count_what_was_answered(run: Run) -> None:
    async def main() -> None:
        async with site() as made:
            await made.make("s", body=b"12345")
            await made.ask("GET", "s")
            text = (await made.ask("GET", "/metrics")).body.decode()
            assert 'holdfast_http_requests_total{method="PUT",status="201"} 1.0' in text
            assert 'holdfast_http_requests_total{method="GET",status="200"} 1.0' in text
            assert "holdfast_http_sent_bytes_total 5.0" in text

    run(main())


def test_a_preflight_is_answered_for_configured_pages_only(run: Run) -> None:
    async def main() -> None:
        async with site(guard=Guard(origins=["https://app.example"])) as made:
            asking = {"Origin": "https://app.example", "Access-Control-Request-Method": "PUT"}
            answer = await made.ask("OPTIONS", "s", asking)
            assert answer.status == 204 and "stream-ttl" in answer.headers["access-control-allow-headers"]
            assert (await made.ask("OPTIONS", "s", {**asking, "Origin": "https://x.example"})).status == 403

    run(main())


def test_an_address_that_is_taken_is_busy(run: Run) -> None:
    async def main() -> None:
        async with site() as made:
            settings = HttpSettings("127.0.0.1", made.door.port)
            app = cast("ASGIApp", made.door._server.config.app)
            second = HttpDoor(app, settings, made.lasting, clock=RealClock(), limits=LIMITS)
            with pytest.raises(BusyError, match=str(made.door.port)):
                await second.open()

    run(main())


@pytest.mark.parametrize("text", ["", "4437", "localhost", "localhost:", "localhost:x", "http://localhost:1", "[::1:5"])
def test_where_to_listen_is_a_host_and_a_port(text: str) -> None:
    with pytest.raises(UsageError):
        parse_listen(text)
    assert parse_listen("[::1]:0") == ("::1", 0)


def test_a_mistake_of_ours_is_told_with_a_reference(run: Run) -> None:
    async def main() -> None:
        async with site() as made:
            made.streams._streams = None  # type: ignore[assignment]
            answer = await made.ask("GET", "s")
            assert (answer.status, answer.problem["code"]) == (500, "HF-901")
            assert answer.problem["details"]["reference"] and answer.headers["x-content-type-options"] == "nosniff"
            made.streams._streams = {}

    run(main())
