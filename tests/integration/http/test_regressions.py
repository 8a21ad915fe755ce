"""What went wrong in other projects' lives, over HTTP; the numbers are those of the list of regressions."""

from __future__ import annotations

import asyncio
import base64
import json

import pytest

from holdfast.http.guard import Guard
from holdfast.http.offsets import offset_of
from holdfast.limits import LIMITS
from tests.conftest import Run
from tests.integration.http.conftest import Client, Site, site

QUICK = LIMITS._replace(http_long_poll_s=10.0)


async def read_events(made: Site, path: str, ready: asyncio.Semaphore) -> tuple[bytes, bool]:
    """All the bytes up to the end of the stream, and whether the last event was the end marker."""
    client = await made.connect()
    await client.send("GET", f"/v1/stream/{path}?offset=-1&live=sse")
    got, ended = b"", False
    assert (await client.head()).status == 200
    ready.release()
    async for kind, data in client.events():
        assert not ended, "something came after the end"
        if kind == "data":
            got += base64.b64decode(data)
        else:
            ended = "streamClosed" in json.loads(data)
    await client.close()
    return got, ended


async def read_polls(made: Site, path: str, ready: asyncio.Semaphore) -> tuple[bytes, bool]:
    """The same by long polls."""
    got, offset = b"", "-1"
    ready.release()
    while True:
        answer = await made.ask("GET", f"{path}?offset={offset}&live=long-poll")
        assert answer.status in (200, 204)
        got += answer.body
        offset = answer.offset
        if "stream-closed" in answer.headers:
            return got, True


@pytest.mark.parametrize("together", [True, False], ids=["append-and-close", "append, then close"])
def test_7_a_final_append_and_a_close_race_live_readers_and_no_byte_is_missing(run: Run, together: bool) -> None:
    async def main() -> None:
        async with site(QUICK) as made:
            for race in range(20):
                path, ready = f"race/{race}", asyncio.Semaphore(0)
                await made.make(path, "application/octet-stream")
                readers = [
                    asyncio.create_task(read(made, path, ready)) for read in (read_events, read_polls) for _ in range(3)
                ]
                for _ in readers:
                    await ready.acquire()
                kind = "application/octet-stream"
                await made.add(path, b"first", kind)
                if together:
                    assert (await made.add(path, b"last", kind, Stream_Closed="true")).status == 204
                else:
                    await asyncio.gather(
                        made.add(path, b"last", kind), made.ask("POST", "race/none", {"Stream-Closed": "true"})
                    )
                    assert (await made.ask("POST", path, {"Stream-Closed": "true"})).status == 204
                assert await asyncio.gather(*readers) == [(b"firstlast", True)] * 6

    run(main())


def test_8_a_reader_parked_while_retention_trims_is_told_gone_and_from_where_to_go_on(run: Run) -> None:
    async def main() -> None:
        async with site(QUICK) as made:
            await made.make("s", body=b"0123456789")
            parked = await made.ask("GET", f"s?offset={offset_of(2)}")
            assert parked.body == b"23456789"
            await made.engine.log.trim("streams/s", 6)
            for query in ("", "&live=long-poll", "&live=sse"):
                answer = await made.ask("GET", f"s?offset={offset_of(2)}{query}")
                assert answer.status == 410
                assert answer.problem["code"] == "HF-303" and answer.problem["details"]["oldest"] == 6
                assert answer.offset == offset_of(6)
            assert (await made.ask("GET", f"s?offset={offset_of(6)}")).body == b"6789"
            assert (await made.ask("GET", "s?offset=-1")).body == b"6789"

    run(main())


def test_8_an_event_stream_that_is_overtaken_by_trimming_ends_with_the_error(run: Run) -> None:
    async def main() -> None:
        async with site() as made:
            await made.make("s", "application/octet-stream")
            for _ in range(16):
                await made.engine.log.append("streams/s", bytes(2 << 20))
            tail = (await made.engine.log.stat("streams/s")).tail
            client = await made.connect()
            client.writer.transport.pause_reading()  # type: ignore[attr-defined]
            await client.send("GET", "/v1/stream/s?offset=-1&live=sse")
            while not any((peer.progress() or (0, 0))[1] for peer in made.door._peers()):
                await asyncio.sleep(0.001)
            await made.engine.log.trim("streams/s", tail)
            client.writer.transport.resume_reading()  # type: ignore[attr-defined]
            await client.head()
            events = [event async for event in client.events()]
            got = sum(len(base64.b64decode(data)) for kind, data in events if kind == "data")
            assert events[-2][0] == "control" and json.loads(events[-2][1])["streamNextOffset"] == offset_of(got)
            kind, error = events[-1]
            assert kind == "error" and json.loads(error)["details"] == {"oldest": tail} and got < tail
            await client.close()

    run(main())


@pytest.mark.parametrize("host", ["127.evil.example", "127.0.0.1.evil.example:80", "rebound.example", "127.1", ""])
def test_16_a_rebound_or_lookalike_host_is_refused_everywhere(run: Run, host: str) -> None:
    async def main() -> None:
        async with site() as made:
            await made.make("s", body=b"secret")
            for path in ("s", "s?offset=-1&live=sse", "s?offset=-1&live=long-poll", "/healthz", "/metrics", "/readyz"):
                answer = await made.ask("GET", path, {"Host": host})
                assert answer.status == 403 and b"secret" not in answer.body
            for method in ("PUT", "POST", "DELETE"):
                assert (await made.ask(method, "s", {"Host": host, "Content-Type": "text/plain"}, b"x")).status == 403
            assert (await made.ask("GET", "s")).body == b"secret"

    run(main())


@pytest.mark.parametrize("origin", ["http://127.evil.example", "http://localhost.evil.example", "null"])
def test_16_a_page_from_elsewhere_is_refused_everywhere(run: Run, origin: str) -> None:
    async def main() -> None:
        async with site(guard=Guard(origins=["https://app.example"])) as made:
            await made.make("s", body=b"secret")
            for path in ("s", "s?offset=-1&live=sse", "s?offset=-1&live=long-poll", "/metrics"):
                answer = await made.ask("GET", path, {"Origin": origin})
                assert answer.status == 403 and b"secret" not in answer.body
                assert "access-control-allow-origin" not in answer.headers
            allowed = await made.ask("GET", "s", {"Origin": "https://app.example"})
            assert allowed.body == b"secret"
            assert allowed.headers["access-control-allow-origin"] == "https://app.example"

    run(main())


def test_17_a_thousand_abrupt_exits_amid_event_streams_leave_nothing(run: Run) -> None:
    """The ``run`` fixture looks for tasks and descriptors that are left."""

    async def leave(client: Client, number: int) -> None:
        client.abort() if number % 2 else await client.close()

    async def main() -> None:
        async with site() as made:
            await made.make("s", body=b"hello")
            for _ in range(10):
                clients = [await made.connect() for _ in range(100)]
                for client in clients:
                    await client.send("GET", "/v1/stream/s?offset=-1&live=sse")
                for client in clients:
                    assert (await client.head()).status == 200
                    assert await anext(client.events()) == ("data", "hello")
                assert len(made.lasting) == 100
                await asyncio.gather(*(leave(client, number) for number, client in enumerate(clients)))
                while len(made.lasting) or made.door.connections:
                    await asyncio.sleep(0.001)
            assert made.streams._streams["s"].life.users == 0
            assert made.engine.log._state("streams/s").waiters == []

    run(main())
