"""Real keepers, real commands, and a node's end of their links, for tests."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from holdfast.jobs.birth import Midwife
from holdfast.jobs.keeper.certificate import Certificate
from holdfast.jobs.keeper.records import BirthReceipt, read_birth
from holdfast.procinfo import process_alive
from holdfast.rpc.aio.connection import AsyncConnection
from holdfast.rpc.aio.dial import dial_unix
from holdfast.rpc.aio.streams import AsyncReader
from holdfast.rpc.events import EventReceived, Reply
from holdfast.rpc.handshake.job_link import JobLinkNode
from holdfast.streams import Chunk, End, Gap

SECRET = bytes(range(1, 33))
PATIENCE_S = 60.0
"""A hang guard; no test is about how long anything takes."""


async def until(true: Callable[[], Any]) -> Any:
    """Poll another process's state until ``true()`` is."""
    async with asyncio.timeout(PATIENCE_S):
        while not (value := true()):
            await asyncio.sleep(0.005)
        return value


class Transcript:
    """Output as a node got it."""

    def __init__(self, start: int) -> None:
        self.start = start
        self.data = bytearray()
        self._runs: list[tuple[int, bytearray]] = []
        self.gaps: list[tuple[int, int]] = []
        self.end: int | None = None

    def add(self, item: Any) -> bool:
        """Take one item; False after the last."""
        match item:
            case Chunk(offset, data, tag):
                assert offset == self.at
                self.data += data
                if not self._runs or self._runs[-1][0] != tag:
                    self._runs.append((tag, bytearray()))
                self._runs[-1][1].extend(data)
            case Gap(offset, length):
                assert offset == self.at
                self.gaps.append((offset, length))
            case End(offset):
                assert offset == self.at
                self.end = offset
                return False
        return True

    def matches(self, whole: bytes) -> bool:
        """Whether what came is ``whole`` but for the gaps."""
        at, place = self.start, 0
        for offset, length in [*self.gaps, (self.at, 0)]:
            if self.data[place : place + offset - at] != whole[at:offset]:
                return False
            place += offset - at
            at = offset + length
        return True

    @property
    def runs(self) -> list[tuple[int, bytes]]:
        """What came, by tag, in order."""
        return [(tag, bytes(data)) for tag, data in self._runs]

    @property
    def at(self) -> int:
        """The offset that comes next."""
        return self.start + len(self.data) + sum(length for _, length in self.gaps)


class NodeEnd:
    """A connection to a keeper."""

    def __init__(self, connection: AsyncConnection) -> None:
        self.connection = connection
        self.exited: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        connection.on_connection_event(self._on_event)

    async def call(self, method: str, attachment: bytes = b"", /, **params: Any) -> Any:
        reply: Reply = await self.connection.call(method, params, attachment)
        return reply.result

    async def hello(self) -> dict[str, Any]:
        result: dict[str, Any] = await self.call("keeper.hello")
        return result

    async def send(self, data: bytes = b"", *, eof: bool = False, **params: Any) -> dict[str, Any]:
        result: dict[str, Any] = await self.call("keeper.input", data, eof=eof, **params)
        return result

    async def open(
        self, from_offset: int = 0, *, manual_ack: bool = False, window_bytes: int = 1 << 20
    ) -> tuple[AsyncReader, Transcript]:
        reader = self.connection.open_reader(window_bytes=window_bytes, start_offset=from_offset, manual_ack=manual_ack)
        answer = await self.call("keeper.output", stream=reader.stream_id, from_offset=from_offset)
        reader.start(answer["start_offset"])
        return reader, Transcript(answer["start_offset"])

    async def read_until(self, reader: AsyncReader, transcript: Transcript, wanted: bytes | int) -> None:
        """Read on until ``wanted`` is in the output, or that many bytes are."""
        data, looked = transcript.data, 0
        async with asyncio.timeout(PATIENCE_S):
            while data.find(wanted, looked) < 0 if isinstance(wanted, bytes) else len(data) < wanted:
                looked = max(0, len(data) - len(wanted)) if isinstance(wanted, bytes) else 0
                assert transcript.add(await reader.read(1 << 20)), bytes(data[-2000:])

    async def read_all(self, from_offset: int = 0) -> Transcript:
        """Read to the end, acknowledging everything."""
        reader, transcript = await self.open(from_offset)
        async with asyncio.timeout(PATIENCE_S):
            while transcript.add(await reader.read(1 << 20)):
                pass
        return transcript

    async def exit(self) -> dict[str, Any]:
        """The exit record, once there is one."""
        record: dict[str, Any] | None = (await self.hello())["exit"]
        if record is None:
            async with asyncio.timeout(PATIENCE_S):
                record = await self.exited
        return record

    async def output_ended(self) -> dict[str, Any]:
        """The keeper's state once it has all the output there will be."""
        async with asyncio.timeout(PATIENCE_S):
            while not (hello := await self.hello())["output_ended"]:
                await asyncio.sleep(0.005)
        return hello

    async def close(self) -> None:
        self.connection.close()
        await self.connection.wait_closed()

    def _on_event(self, event: EventReceived) -> None:
        if event.name == "exited" and not self.exited.done():
            self.exited.set_result(event.body)


class Keepers:
    """Births and dials; ends what is left, by pid."""

    until = staticmethod(until)
    process_alive = staticmethod(process_alive)

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.receipts: list[BirthReceipt] = []
        self._count = 0
        self._certificates: list[Certificate] = []

    def certificate(self, *command: str, **fields: Any) -> Certificate:
        """A certificate for ``command`` with small limits' worth of defaults."""
        self._count += 1
        job = f"job{self._count}"
        fields.setdefault("env", {"PATH": os.environ["PATH"], "LC_ALL": "C"})
        certificate = Certificate(
            job=job,
            secret=SECRET,
            command=list(command),
            runtime_dir=str(self.directory / f"{job}.run"),
            spill_dir=str(self.directory / f"{job}.spill"),
            **fields,
        )
        self._certificates.append(certificate)
        return certificate

    def python(self, script: str, **fields: Any) -> Certificate:
        """A certificate for a Python script."""
        return self.certificate(sys.executable, "-I", "-S", "-c", script, **fields)

    @asynccontextmanager
    async def midwife(self, **options: Any) -> AsyncIterator[Midwife]:
        """A node's midwife."""
        midwife = Midwife(**options)
        try:
            await midwife.start()
            yield midwife
        finally:
            await midwife.stop()

    async def dial(self, certificate: Certificate, *, job: str = "", secret: bytes = SECRET) -> NodeEnd:
        """A node's connection to the keeper of ``certificate``."""
        authenticator = JobLinkNode(job or certificate.job, secret, os.urandom)
        return NodeEnd(await dial_unix(f"{certificate.runtime_dir}/keeper.sock", authenticator))

    @asynccontextmanager
    async def born(self, certificate: Certificate) -> AsyncIterator[NodeEnd]:
        """A born and dialled keeper; the link is closed in the end, the keeper not."""
        async with self.midwife() as midwife:
            await midwife.birth(certificate)
        node = await self.dial(certificate)
        try:
            yield node
        finally:
            await node.close()

    def receipt(self, certificate: Certificate) -> BirthReceipt:
        """Who was born."""
        receipt = read_birth(certificate.runtime_dir)
        assert receipt is not None
        return receipt

    def alive(self, certificate: Certificate) -> bool:
        """Whether the keeper runs."""
        receipt = self.receipt(certificate)
        return process_alive(receipt.keeper_pid, receipt.keeper_started)

    async def gone(self, receipt: BirthReceipt) -> None:
        """Wait until the keeper has left."""
        await until(lambda: not process_alive(receipt.keeper_pid, receipt.keeper_started))

    def end_all(self) -> None:
        """Kill what the test left running."""
        for certificate in self._certificates:
            receipt = read_birth(certificate.runtime_dir)
            if receipt is None:
                continue
            if process_alive(receipt.pid, receipt.pid_started):
                os.killpg(receipt.pid, signal.SIGKILL)
            if process_alive(receipt.keeper_pid, receipt.keeper_started):
                os.kill(receipt.keeper_pid, signal.SIGKILL)


@pytest.fixture
def keepers() -> Iterator[Keepers]:
    directory = Path(tempfile.mkdtemp(prefix="hfk-", dir="/tmp"))
    keepers = Keepers(directory)
    yield keepers
    keepers.end_all()
    shutil.rmtree(directory, ignore_errors=True)
