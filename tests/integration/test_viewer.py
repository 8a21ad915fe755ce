"""One viewer of a job's output, on a real connection and a log in memory."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING

from holdfast.engine.memory.engine import MemoryEngine
from holdfast.jobs.job import Job
from holdfast.jobs.model import JobInfo, OutputStart
from holdfast.jobs.record import JobRecord
from holdfast.jobs.viewer import Viewer
from holdfast.rpc.aio.connection import AsyncConnection
from holdfast.rpc.aio.dial import dial_unix
from holdfast.rpc.aio.server import serve_unix
from holdfast.rpc.events import Reply, RequestReceived
from holdfast.rpc.handshake.authenticators import LocalClient, LocalOwner

if TYPE_CHECKING:
    from tests.conftest import Run

START = OutputStart(start_offset=0, oldest_offset=0, tail_offset=0)


class Views:
    """Shows the output of a job that has none, since its log is gone."""

    def __init__(self, connection: AsyncConnection, engine: MemoryEngine) -> None:
        self._connection = connection
        self._engine = engine
        self.tasks: list[asyncio.Task[None]] = []

    async def handle(self, request: RequestReceived) -> Reply:
        job = Job(JobRecord(info=JobInfo(id="x", name="", state="running"), secret=""))
        writer = self._connection.open_writer(request.params["stream"])
        viewer = Viewer(job, self._engine.log, writer, START, follow=True)
        self.tasks.append(asyncio.create_task(viewer.run()))
        return Reply(0)

    def closed(self) -> None:
        """Nothing to close."""


def test_one_that_leaves_while_it_is_told_of_an_error_ends_without_one(socket_dir: Path, run: Run) -> None:
    views: list[Views] = []
    engine = MemoryEngine()

    def make_handler(connection: AsyncConnection) -> Views:
        views.append(Views(connection, engine))
        return views[-1]

    async def main() -> None:
        path = str(socket_dir / "s")
        owner = os.getuid()
        await engine.start()
        server = await serve_unix(
            path, make_authenticator=lambda uid: LocalOwner(owner, uid), make_handler=make_handler
        )
        async with server, await dial_unix(path, LocalClient()) as client:
            reader = client.open_reader()  # never started: it takes nothing, not even the end
            await client.call("view", {"stream": reader.stream_id})
            await client.call("view", {"stream": client.open_reader().stream_id})
        assert await asyncio.gather(*views[0].tasks) == [None, None]
        await engine.stop()

    run(main())
