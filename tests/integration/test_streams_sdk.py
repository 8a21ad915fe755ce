"""Durable streams through the SDK, async and blocking, against a real node."""

from __future__ import annotations

import asyncio
import random
import urllib.request
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

import holdfast
from holdfast.testing import NodeBox

Run = Callable[[Coroutine[Any, Any, Any]], Any]

BIG = 3 << 20
"""More than one request holds, and than one window."""


def connect(box: NodeBox) -> holdfast.Node:
    return holdfast.connect(box.url, autostart=False)


def connect_sync(box: NodeBox) -> holdfast.SyncNode:
    return holdfast.connect_sync(box.url, autostart=False)


def test_bytes_there_and_back(node_box: NodeBox, run: Run) -> None:
    big = random.Random(1).randbytes(BIG)

    async def main() -> None:
        async with connect(node_box) as node:
            log = await node.streams.create("logs/one", content_type="text/plain", data="first ")
            assert log.created and log.last_info is not None and log.last_info.tail == 6
            assert not (await node.streams.create("logs/one", content_type="text/plain")).created
            assert (await log.append(b"second ")).tail == 13
            assert (await log.append(big)).tail == 13 + BIG
            assert await log.read_bytes() == b"first second " + big
            assert await log.read_bytes(6) == b"second " + big
            assert await log.read_bytes(-5) == big[-5:]
            assert await log.read_bytes(-10 * BIG) == b"first second " + big
            assert await log.read_bytes("now") == b""
            chunks = [chunk async for chunk in log.read(13)]
            assert chunks[0].position == 13 and chunks[-1].end == 13 + BIG
            assert all(a.end == b.position for a, b in zip(chunks, chunks[1:], strict=False))
            assert [info.path for info in await node.streams.list("logs/")] == ["logs/one"]
            assert (await log.close()).closed and (await log.close()).closed
            with pytest.raises(holdfast.ClosedError):
                await log.append("late")
            await log.remove()
            with pytest.raises(holdfast.NotFound):
                await log.info()

    run(main())
