"""The job commands as one connection calls them: :class:`JobsApi` over the controller."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from .model import InputReceipt, JobInfo, JobSpec, OutputStart
from .viewer import Viewer, open_output

if TYPE_CHECKING:
    from ..rpc.aio.connection import AsyncConnection
    from .controller import JobController


class JobsService:
    """One caller's side: what it opened ends with its connection; the jobs do not.

    ``sees(job id)`` says which jobs the caller may know of.
    """

    def __init__(
        self, controller: JobController, connection: AsyncConnection, sees: Callable[[str], bool] = lambda _job: True
    ) -> None:
        self._controller = controller
        self._connection = connection
        self._sees = sees
        self._viewers: set[asyncio.Task[None]] = set()

    def close(self) -> None:
        """End this connection's viewers; the controller awaits them."""
        for task in self._viewers:
            task.cancel()

    async def start(self, spec: JobSpec) -> JobInfo:
        return await self._controller.start(spec, self._connection.identity)

    async def list(self, after: str = "") -> list[JobInfo]:
        return [*self._controller.page(after, self._sees)]

    async def get(self, job: str) -> JobInfo:
        return self._controller.find(job).info()

    async def output(self, job: str, stream: int, from_offset: int = 0, follow: bool = True) -> OutputStart:
        found = self._controller.find(job)
        start = await open_output(found, self._controller.log, from_offset)
        self._controller.check_viewers(found)
        writer = self._connection.open_writer(stream, start_offset=start.start_offset)
        task = self._controller.show(found, Viewer(found, self._controller.log, writer, start, follow=follow))
        self._viewers.add(task)
        task.add_done_callback(self._viewers.discard)
        return start

    async def send(
        self,
        job: str,
        data: bytes,
        session: str = "",
        sequence: int = 0,
        eof: bool = False,
        rows: int = 0,
        columns: int = 0,
    ) -> InputReceipt:
        found = self._controller.find(job)
        if rows or columns:
            await self._controller.follow_size(found, rows, columns)
        params: dict[str, object] = {"session": session, "sequence": sequence, "eof": eof}
        reply = await self._controller.call_keeper(found, "keeper.input", params, data)
        return InputReceipt(applied=reply.result["applied"], queued_bytes=reply.result.get("queued_bytes", 0))

    async def signal(self, job: str, signal: str) -> JobInfo:
        return await self._controller.signal(self._controller.find(job), signal)

    async def resize(self, job: str, rows: int, columns: int) -> None:
        await self._controller.resize(self._controller.find(job), rows, columns)

    async def wait(self, job: str, timeout_s: float | None = None) -> JobInfo:
        return await self._controller.wait(self._controller.find(job), timeout_s)

    async def stop(self, job: str, grace_s: float = 10.0) -> JobInfo:
        return await self._controller.stop(self._controller.find(job), grace_s)

    async def remove(self, job: str, force: bool = False) -> None:
        await self._controller.remove(self._controller.find(job), force=force)
