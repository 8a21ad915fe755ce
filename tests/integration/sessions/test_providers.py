"""Providers that are added to a node: they come back with it; a file through rotation; one from a package."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

import holdfast
from holdfast.sessions.model import Message
from holdfast.testing import NodeBox

Run = Callable[[Coroutine[Any, Any, Any]], Any]
EXAMPLE = Path(__file__).parents[3] / "examples" / "provider_package"


def connect(box: NodeBox) -> holdfast.Node:
    return holdfast.connect(box.url, autostart=False)


async def some(session: holdfast.Session, count: int) -> list[Message]:
    messages: list[Message] = []
    async for message in session:
        messages.append(message)
        if len(messages) == count:
            break
    return messages


def test_a_file_through_rotation_and_a_restart(box: NodeBox, run: Run, tmp_path: Path) -> None:
    path = tmp_path / "app.log"
    path.write_bytes(b"old\n")
    lines: list[bytes] = []

    def write(start: int, stop: int) -> None:
        with path.open("ab") as file:
            file.write(b"".join(b"line %d\n" % number for number in range(start, stop)))

    async def follow(session: holdfast.Session, until: bytes) -> None:
        async for message in session:
            if message.kind == "message":
                lines.append(message.payload)
                if message.payload == until:
                    return

    async def first() -> str:
        async with connect(box) as node:
            await node.sessions.add_provider("app", "file", {"path": str(path), "poll_ms": "5"})
            async with node.session(["app.lines"]) as session:
                write(0, 1_000)
                path.rename(tmp_path / "app.log.1")
                write(1_000, 2_000)
                await follow(session, b"line 1999")
                return session.id

    async def second(session_id: str) -> None:
        async with connect(box) as node, node.session(id=session_id) as session:
            assert not session.recovered, "a feed: whoever is away longer than its lines are kept may miss some"
            await follow(session, b"line 2999")
            assert (await node.sessions.remove_provider("app", "no longer")).sessions == 1
            (unbound,) = await some(session, 1)
            assert (unbound.kind, unbound.subject) == ("unbound", "app.lines")
            assert "no longer" in unbound.detail["reason"]
            await node.sessions.add_provider("app", "file", {"path": str(path), "from": "start", "poll_ms": "5"})
            async with node.session(["app.lines"]) as anew:
                (first_line,) = await some(anew, 1)
                assert first_line.payload == b"line 1000", "not where the one that was removed had been"
            await node.sessions.remove_provider("app")

    box.start_node()
    session_id = run(first())
    assert box.node is not None
    box.node.send_signal(signal.SIGTERM)
    box.node.wait()
    write(2_000, 3_000)
    box.start_node()
    run(second(session_id))
    assert lines == [b"line %d" % number for number in range(3_000)]
    box.kill_node()
    box.start_node()
    assert box.run("provider", "ls", "-o", "name").stdout.split() == [b"bus", b"channels", b"jobs"]


def test_a_made_up_feed_begins_with_how_it_stands(node_box: NodeBox, run: Run) -> None:
    async def main() -> None:
        async with connect(node_box) as node:
            options = {"seed": "3", "subjects": "2", "rate": "500", "count": "40"}
            info = await node.sessions.add_provider("made", "synthetic", options)
            assert (info.kind, info.options, info.built_in) == ("synthetic", options, False)
            with pytest.raises(holdfast.AlreadyExists):
                await node.sessions.add_provider("made", "synthetic")
            with pytest.raises(holdfast.UsageError, match=r"options\.rate"):
                await node.sessions.add_provider("other", "synthetic", {"rate": "much"})
            async with node.session(["made.1"]) as session:
                sequence = 0
                async for message in session:
                    content = json.loads(message.payload)
                    assert content["sequence"] > sequence or sequence == 0
                    sequence = content["sequence"]
                    if sequence == 40:
                        break
            async with node.session(["made.>"]) as session:
                assert [json.loads(m.payload)["sequence"] for m in await some(session, 2)] == [40, 40]

    run(main())


class Prices:
    """A WebSocket feed in the test's own process: sends a counter to whoever is connected."""

    def __init__(self) -> None:
        self.port = 0
        self.number = 0

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with serve(self._serve, "127.0.0.1", self.port) as server:
            self.port = server.sockets[0].getsockname()[1]
            yield

    async def _serve(self, connection: ServerConnection) -> None:
        subscribed = await connection.recv()
        with contextlib.suppress(ConnectionClosed):
            while True:
                self.number += 1
                await connection.send(json.dumps({"to": subscribed, "number": self.number}))
                await asyncio.sleep(0.001)


def test_a_feed_that_dies_and_comes_back(node_box: NodeBox, run: Run) -> None:
    async def main() -> None:
        prices = Prices()
        async with connect(node_box) as node:
            async with prices.running():
                options = {"url": f"ws://127.0.0.1:{prices.port}", "subscribe": "{subject}", "subject": "to"}
                await node.sessions.add_provider("feed", "websocket", options)
                session = node.session(["feed.btc", "bus.>"])
                await session.__aenter__()
                before = [json.loads(message.payload)["number"] for message in await some(session, 20)]
                assert before == list(range(before[0], before[0] + 20))
            async with prices.running():
                numbers: list[int] = []
                while True:
                    (message,) = await some(session, 1)
                    if message.kind == "gap":
                        break
                    numbers.append(json.loads(message.payload)["number"])
                assert (message.subject, message.kind) == ("feed.btc", "gap")
                assert "is back" in message.detail["reason"]
                after = [json.loads(message.payload)["number"] for message in await some(session, 20)]
                assert after == list(range(after[0], after[0] + 20))
            await session.__aexit__(None, None, None)
            info = await node.sessions.get(session.id)
            assert [spec.pattern for spec in info.patterns] == ["feed.btc", "bus.>"]
            assert (await node.sessions.stats()).sessions == 1
            with pytest.raises(holdfast.Unavailable, match=r"127\.0\.0\.1"):
                await node.sessions.add_provider("dead", "websocket", {"url": f"ws://127.0.0.1:{prices.port}"})
            assert "dead" not in [one.name for one in await node.sessions.providers()]

    run(main())


def test_a_kind_from_an_installed_package(box: NodeBox, run: Run, tmp_path: Path) -> None:
    site = tmp_path / "site"
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*command, "--target", str(site), str(EXAMPLE)], check=True, capture_output=True)
    box.env["PYTHONPATH"] = os.pathsep.join(filter(None, [str(site), box.env.get("PYTHONPATH", "")]))
    box.start_node()

    async def main() -> str:
        async with connect(box) as node:
            with pytest.raises(holdfast.UsageError, match=r"options\.every_ms"):
                await node.sessions.add_provider("time", "clock", {"every_ms": "often"})
            with pytest.raises(holdfast.NotFound, match="clock, file, synthetic, websocket"):
                await node.sessions.add_provider("time", "sundial")
            await node.sessions.add_provider("time", "clock", {"every_ms": "1"})
            async with node.session(["time.*"]) as session:
                assert {message.subject for message in await some(session, 5)} == {"time.tick"}
            with pytest.raises(holdfast.PermissionDenied):
                await node.publish("time.tick", "noon")
            return session.id

    async def without(session_id: str) -> None:
        async with connect(box) as node:
            (info,) = [one for one in await node.sessions.providers() if one.name == "time"]
            assert (info.state, info.kind) == ("failed", "clock")
            assert "no kind of provider" in info.error
            assert [spec.pattern for spec in (await node.sessions.get(session_id)).patterns] == ["time.*"]
            assert (await node.sessions.remove_provider("time", "gone for good")).sessions == 1
            assert (await node.sessions.get(session_id)).patterns == []
            async with node.session(id=session_id) as session:
                assert "time.*" in session.recovered_why
                (unbound,) = await some(session, 1)
                assert unbound.detail["reason"] == "the provider time was removed: gone for good"
            assert "time" not in [one.name for one in await node.sessions.providers()]

    session_id = run(main())
    box.kill_node()
    del box.env["PYTHONPATH"]
    box.start_node()
    run(without(session_id))
