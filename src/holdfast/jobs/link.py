"""The node's link to one job's keeper: dial, prove, adopt, pump, and again until the job is over.

Single-flight: one :class:`KeeperLink` a job, and its :meth:`run` is the only place that dials.  The command is
never started here, so nothing a link does can start it twice.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from typing import TYPE_CHECKING, Any

import msgspec
import structlog

from ..errors import (
    DeadlineExceeded,
    DisconnectedError,
    HoldfastError,
    StorageError,
    Unauthenticated,
    Unavailable,
    UsageError,
)
from ..ids import random_fraction
from ..procinfo import process_alive
from ..rpc.aio import AsyncConnection, dial_unix
from ..rpc.backoff import Backoff
from ..rpc.events import EventReceived
from ..rpc.handshake import JobLinkNode
from .model import Usage
from .pump import OutputPump
from .record import log_name
from .salvage import salvage

if TYPE_CHECKING:
    from ..clock import Clock
    from ..limits import Limits
    from ..rpc.events import Reply
    from .job import Job
    from .record import JobStore

_logger = structlog.get_logger("holdfast.jobs")


class ExitRecord(msgspec.Struct, frozen=True):
    """How the command ended, as its keeper reports it."""

    exit_code: int | None = None
    exit_signal: int | None = None
    ended_at: float = 0.0
    reason: str = "exited"
    usage: dict[str, float] = {}


class KeeperLink:
    """Keeps one job connected to its keeper."""

    def __init__(
        self, job: Job, store: JobStore, runtime_dir: str, spill_dir: str, *, clock: Clock, limits: Limits
    ) -> None:
        self._job = job
        self._store = store
        self._runtime_dir = runtime_dir
        self._spill_dir = spill_dir
        self._clock = clock
        self._limits = limits
        self._backoff = Backoff(random_fraction, limits._replace(reconnect_first_s=limits.job_reconnect_s))
        self._exit: asyncio.Future[ExitRecord] | None = None

    # what others ask of it

    async def call(self, method: str, params: dict[str, Any], attachment: bytes = b"", *, wait_s: float = 5.0) -> Reply:
        """Call the keeper, waiting at most ``wait_s`` for the link.  Unavailable if it stays away."""
        try:
            async with asyncio.timeout(wait_s):
                while (connection := self._job.connection) is None:
                    await self._job.changed()
        except TimeoutError:
            raise Unavailable(
                f"the keeper of job {self._job.id} cannot be reached now; the job itself may well be running",
                address=self._socket_path,
                retry_after_s=self._limits.job_reconnect_s,
            ) from None
        return await connection.call(method, params, attachment)

    async def run(self) -> None:
        """Until the job is done and its keeper released; safe to cancel at any point."""
        try:
            while not (self._job.done and self._job.record.released):
                if not await self._attempt():
                    await asyncio.sleep(self._backoff.next_delay_s(self._clock.now()))
        finally:
            self._set_connection(None)

    # one connection after another

    @property
    def _socket_path(self) -> str:
        return os.path.join(self._runtime_dir, "keeper.sock")

    async def _attempt(self) -> bool:
        """One connection from dial to cut; False if it is worth waiting before the next."""
        log = _logger.bind(job=self._job.id)
        try:
            await self._session()
        except (Unavailable, DisconnectedError, DeadlineExceeded) as error:
            if self._keeper_is_dead():
                await self._lost(str(error))
                return True
            log.info("keeper.link_cut", error=str(error))
        except Unauthenticated as error:
            log.error("keeper.not_authenticated", error=str(error))
        except (StorageError, OSError) as error:
            log.error("keeper.output_not_stored", error=str(error))
        except HoldfastError as error:
            log.error("keeper.link_failed", error=str(error), kind=type(error).__name__)
        except Exception:
            log.exception("keeper.link_crashed")
        else:
            return True
        return False

    async def _session(self) -> None:
        self._job.connecting = True
        authenticator = JobLinkNode(self._job.id, bytes.fromhex(self._job.record.secret), os.urandom)
        connection = await dial_unix(self._socket_path, authenticator, clock=self._clock, limits=self._limits)
        self._backoff.opened(self._clock.now())
        self._exit = asyncio.get_running_loop().create_future()
        connection.on_connection_event(self._on_event)
        try:
            await self._adopt(connection)
        finally:
            self._set_connection(None)
            connection.close()
            await connection.wait_closed()

    async def _adopt(self, connection: AsyncConnection) -> None:
        hello = (await connection.call("keeper.hello", {}, deadline_s=self._limits.handshake_s)).result
        await self._note_identity(hello)
        if hello.get("exit") is not None:
            self._note_exit(hello["exit"])
        self._set_connection(connection)
        if self._job.record.info.stop_requested and not self._job.done:
            await connection.call("keeper.terminate", {"grace_s": self._limits.stop_grace_s})
        if not self._job.output_ended:
            await self._pump(connection)
        if not self._job.done:
            await self._finish(connection)
        await connection.call("keeper.release", {})
        await self._save(released=True)

    async def _pump(self, connection: AsyncConnection) -> None:
        stat = await self._store.log.stat(log_name(self._job.id))
        self._job.take_stat(stat)
        reader = connection.open_reader(window_bytes=self._limits.ring_bytes, start_offset=stat.tail, manual_ack=True)
        reply = await connection.call("keeper.output", {"stream": reader.stream_id, "from_offset": stat.tail})
        start_offset = int(reply.result["start_offset"])
        if start_offset < stat.tail:
            raise UsageError(f"keeper starts at {start_offset}, before what is stored up to {stat.tail}")
        if start_offset > stat.tail:
            await self._store.log.skip(log_name(self._job.id), start_offset - stat.tail, expected_tail=stat.tail)
            self._job.tail = start_offset
            self._job.hole_bytes += start_offset - stat.tail
        reader.start(start_offset)
        await OutputPump(self._job, self._store.log, reader, self._limits).run()

    async def _finish(self, connection: AsyncConnection) -> None:
        assert self._exit is not None
        closed = asyncio.create_task(connection.wait_closed())
        try:
            waits: set[asyncio.Future[Any]] = {closed, self._exit}
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            if not self._exit.done():
                raise DisconnectedError("the keeper's link was cut before it told how the command ended")
            await self._done(self._exit.result())
        finally:
            closed.cancel()
            await asyncio.wait([closed])

    # what is noted

    async def _note_identity(self, hello: dict[str, Any]) -> None:
        info = self._job.record.info
        if info.state == "starting" or info.pid == 0:
            fields = ("pid", "pid_started", "keeper_pid", "keeper_started", "started_at")
            known = {name: hello[name] for name in fields if name in hello}
            await self._save(state="running", **known)

    def _on_event(self, event: EventReceived) -> None:
        if event.name == "exited":
            self._note_exit(event.body)

    def _note_exit(self, body: dict[str, Any]) -> None:
        if self._exit is not None and not self._exit.done():
            self._exit.set_result(msgspec.convert(body, ExitRecord))

    def _set_connection(self, connection: AsyncConnection | None) -> None:
        self._job.connection = connection
        self._job.connecting = False
        self._job.notify()

    async def _done(self, record: ExitRecord) -> None:
        usage = msgspec.convert(record.usage, Usage, strict=False) if record.usage else None
        requested = self._job.record.info.stop_requested
        await self._save(
            state="done",
            done_reason="terminated" if requested or record.reason == "terminated" else "exited",
            exit_code=record.exit_code,
            exit_signal=record.exit_signal,
            ended_at=record.ended_at,
            usage=usage,
        )
        _logger.info("job.exited", job=self._job.id, code=record.exit_code, signal=record.exit_signal)

    def _keeper_is_dead(self) -> bool:
        info = self._job.record.info
        return not process_alive(info.keeper_pid, info.keeper_started)

    async def _lost(self, why: str) -> None:
        """The keeper is gone for good: what it left on disk is kept, what was only in its memory is lost."""
        if self._job.done:
            await self._save(released=True)
            return
        exited = None
        if not self._job.output_ended:
            exited = await salvage(self._job, self._store.log, self._runtime_dir, self._spill_dir)
            await self._store.log.close(log_name(self._job.id))
            self._job.take_stat(await self._store.log.stat(log_name(self._job.id)))
        if exited is not None:
            await self._done(msgspec.convert(exited, ExitRecord))
        else:
            _logger.error("job.keeper_gone", job=self._job.id, error=why)
            await self._save(
                state="done",
                done_reason="gone",
                ended_at=self._clock.wall(),
                error="its keeper is gone; output that was only in the keeper's memory is lost",
            )
        for directory in (self._runtime_dir, self._spill_dir):
            shutil.rmtree(directory, ignore_errors=True)
        await self._save(released=True)

    async def _save(self, **changes: Any) -> None:
        record = self._job.record.changed(**changes)
        await self._store.put(record)
        self._job.record = record
        self._job.notify()
