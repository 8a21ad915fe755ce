"""Streams, channels and outputs that go while somebody reads them live: the reader is told, and nothing hangs."""

from __future__ import annotations

import asyncio
import json
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

import pytest

from holdfast.http.offsets import offset_of
from holdfast.limits import LIMITS
from holdfast.testing import wait_until
from tests.conftest import Run
from tests.integration.http.conftest import Client, Site, Web, site

QUICK = LIMITS._replace(http_long_poll_s=20.0)


async def parked(made: Site, query: str) -> Client:
    """A live reader of the stream ``s``, at its tail."""
    client = await made.connect()
    await client.send("GET", f"/v1/stream/s?{query}")
    while not made.lasting._waits:
        await asyncio.sleep(0.001)
    return client


@pytest.mark.parametrize("fork", [False, True], ids=["gone for good", "kept for its fork"])
def test_a_long_poll_is_told_that_its_stream_was_deleted(run: Run, fork: bool) -> None:
    async def main() -> None:
        async with site(QUICK) as made:
            await made.make("s", body=b"x")
            if fork:
                await made.ask("PUT", "fork", {"Stream-Forked-From": "/v1/stream/s"})
            client = await parked(made, f"offset={offset_of(1)}&live=long-poll")
            assert (await made.ask("DELETE", "s")).status == 204
            answer = await client.answer()
            assert answer.status in (404, 410) and answer.problem["code"] in ("HF-301", "HF-303")
            await client.close()
            again = await made.ask("GET", f"s?offset={offset_of(1)}&live=long-poll")
            assert again.status == (410 if fork else 404)
            assert not made.lasting.readings()

    run(main())


@pytest.mark.parametrize("fork", [False, True], ids=["gone for good", "kept for its fork"])
def test_an_event_stream_ends_with_the_reason_when_its_stream_is_deleted(run: Run, fork: bool) -> None:
    async def main() -> None:
        async with site(QUICK) as made:
            await made.make("s", body=b"x")
            if fork:
                await made.ask("PUT", "fork", {"Stream-Forked-From": "/v1/stream/s"})
            client = await parked(made, "offset=-1&live=sse")
            assert (await client.head()).status == 200
            assert (await made.ask("DELETE", "s")).status == 204
            events = [event async for event in client.events()]
            assert [kind for kind, _ in events] == ["data", "control", "error"]
            assert json.loads(events[-1][1])["code"] in ("HF-301", "HF-303")
            assert "streamClosed" not in events[1][1]  # a deletion is no end
            await client.close()
            assert not made.lasting.readings()

    run(main())


def test_a_stream_made_anew_at_the_same_path_is_another_one(run: Run) -> None:
    """A reader of the old one must not go on in the new one as if nothing had happened."""

    async def main() -> None:
        async with site(QUICK) as made:
            await made.make("s", body=b"old")
            client = await parked(made, "offset=-1&live=sse")
            await client.head()
            await asyncio.gather(made.ask("DELETE", "s"), made.ask("GET", "s"))
            await made.make("s", body=b"old, and more")
            events = [event async for event in client.events()]
            assert events[-1][0] == "error" and ("data", "old, and more") not in events
            await client.close()

    run(main())


class Reader:
    """A live reader of a real node, in a thread of its own."""

    def __init__(self, url: str) -> None:
        self.status = 0
        self.body = b""
        self._url = url
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        try:
            with urllib.request.urlopen(self._url, timeout=60) as answer:
                self.status, self.body = answer.status, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                self.status, self.body = error.code, error.read()

    def end(self) -> tuple[int, bytes]:
        self._thread.join(60)
        assert not self._thread.is_alive()
        return self.status, self.body


def _channel(web: Web) -> tuple[str, Callable[[], Any]]:
    web.box.run("channel", "create", "p/c")
    web.box.run("channel", "append", "p/c", "one")
    return "channels/p/c", lambda: web.box.run("channel", "rm", "p/c")


def _output(web: Web) -> tuple[str, Callable[[], Any]]:
    job = web.box.run("run", "-d", "-T", "--", "sh", "-c", "printf x; exec sleep 600").stdout.decode().strip()
    path = f"jobs/{job}/output"
    wait_until(lambda: web.ask("GET", f"/v1/stream/{path}").body == b"x", "it has printed")
    return path, lambda: web.box.run("rm", "-f", job)


@pytest.mark.parametrize("make", [_channel, _output])
def test_readers_of_a_real_node_are_told(make_web: Callable[..., Web], make: Any) -> None:
    web = make_web("--http-open")
    path, remove = make(web)
    readers = [Reader(f"{web.url}/v1/stream/{path}?offset={query}") for query in ("1&live=long-poll", "-1&live=sse")]
    wait_until(lambda: b'holdfast_readers{door="http"} 2.0' in web.ask("GET", "/metrics").body, "both wait")
    remove()
    (polled, told), (streamed, events) = (reader.end() for reader in readers)
    if polled in {200, 204}:  # the command's last words, or none, and the end of its output, came first
        assert path.startswith("jobs/")
    else:
        assert polled in (404, 410) and json.loads(told)["code"] in ("HF-301", "HF-303", "HF-311")
    assert streamed == 200 and (b"event: error\n" in events or b'"streamClosed":true' in events)
    assert web.ask("GET", f"/v1/stream/{path}").status == 404
    assert b'holdfast_readers{door="http"} 0.0' in web.ask("GET", "/metrics").body
