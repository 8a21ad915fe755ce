"""The node's link to one job's keeper: dial, prove, adopt, pump, and again until the job is over.

Single-flight: one :class:`KeeperLink` a job, and its :meth:`run` is the only place that dials.  The command is
never started here, so nothing a link does can start it twice.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from contextlib import suppress
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
from ..rpc.aio.connection import AsyncConnection
from ..rpc.aio.dial import dial_unix
from ..rpc.backoff import Backoff
from ..rpc.events import EventReceived
from ..rpc.handshake.job_link import JobLinkNode
from .keeper.records import read_final
from .model import JobInfo, Usage
from .pump import OutputPump
from .record import log_name
from .salvage import salvage

if TYPE_CHECKING:
    from ..clock import Clock
    from ..limits import Limits
    from ..rpc.aio.streams import AsyncReader
    from ..rpc.events import Reply
    from .job import Job
    from .store import JobStore

_logger = structlog.get_logger("holdfast.jobs")

STORE_RETRY_S_MAX = 5.0
"""While the engine cannot store a job's output, it is tried again this often at least."""


class ExitRecord(msgspec.Struct, frozen=True):
    """How the command ended, as its keeper reports it."""

    exit_code: int | None = None
    exit_signal: int | None = None
    ended_at: float = 0.0
    reason: str = "exited"
    usage: dict[str, float] = {}


def _why_gone(info: JobInfo) -> str:
    words = "its keeper is gone; output that was only in the keeper's memory is lost"
    if info.pid and process_alive(info.pid, info.pid_started or 0.0):
        words += f"; its command, process {info.pid}, still ran then; `holdfast rm --force` kills it"
    return words


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
        self._exited = asyncio.Event()
        self._hurry = asyncio.Event()

    # what others ask of it

    async def call(self, method: str, params: dict[str, Any], attachment: bytes = b"", *, wait_s: float = 5.0) -> Reply:
        """Call the keeper, waiting at most ``wait_s`` for the link.

        Unavailable if it stays away; DeadlineExceeded if the keeper does not answer within the limit.
        """
        self.hurry()
        try:
            async with asyncio.timeout(wait_s):
                while (connection := self._job.connection) is None:
                    await self._job.changed()
        except TimeoutError:
            raise Unavailable(
                f"the keeper of job {self._job.label} cannot be reached now; the job itself may well be running",
                address=self._socket_path,
                retry_after_s=self._limits.job_reconnect_s,
            ) from None
        try:
            return await connection.call(method, params, attachment, self._limits.keeper_answer_s)
        except DeadlineExceeded as error:
            info = self._job.record.info
            raise DeadlineExceeded(
                f"the keeper of job {self._job.label} (process {info.keeper_pid}) does not answer; is it stopped?",
                phase="keeper",
                after_s=error.after_s,
            ) from None

    def hurry(self) -> None:
        """If it waits to dial again, it dials now."""
        if self._job.connection is None:
            self._hurry.set()

    async def run(self) -> None:
        """Until the job is done and its keeper released; safe to cancel at any point."""
        try:
            while not (self._job.done and self._job.record.released and not self._job.unstored):
                self._hurry.clear()
                if not await self._attempt():
                    await self._wait(self._backoff.next_delay_s(self._clock.now()))
        finally:
            self._set_connection(None)

    async def _wait(self, delay_s: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(delay_s):
                await self._hurry.wait()

    # one connection after another

    @property
    def _socket_path(self) -> str:
        return os.path.join(self._runtime_dir, "keeper.sock")

    async def _attempt(self) -> bool:
        """One connection from dial to cut; False if it is worth waiting before the next."""
        log = _logger.bind(job=self._job.id)
        try:
            if self._keeper_is_dead():
                await self._lost()
                return True
            await self._session()
        except (Unavailable, DisconnectedError, DeadlineExceeded) as error:
            if self._keeper_is_dead():
                return True  # that is what the next attempt sees to
            log.info("keeper.link_cut", error=str(error))
            self._job.trouble = str(error)
        except Unauthenticated as error:
            log.error("keeper.not_authenticated", error=str(error))
            self._job.trouble = str(error)
        except (StorageError, OSError) as error:
            self._not_stored(error)
        except HoldfastError as error:
            log.error("keeper.link_failed", error=str(error), kind=type(error).__name__)
            self._job.trouble = str(error)
        except Exception as error:
            log.exception("keeper.link_crashed")
            self._job.trouble = f"a mistake of ours, see the node's log: {error!r}"
        else:
            return True
        self._job.connecting = False
        self._job.notify()
        return False

    async def _session(self) -> None:
        self._job.connecting = True
        authenticator = JobLinkNode(self._job.id, bytes.fromhex(self._job.record.secret), os.urandom)
        connection = await dial_unix(self._socket_path, authenticator, clock=self._clock, limits=self._limits)
        self._backoff.opened(self._clock.now())
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
        if self._job.record.info.stop_requested and not self._job.ended:
            grace_s = self._job.stop_grace_s
            await connection.call(
                "keeper.terminate", {"grace_s": self._limits.stop_grace_s if grace_s is None else grace_s}
            )
        if not self._job.output_ended:
            await self._store_output(connection)
        if not self._job.done:
            await self._finish(connection)
        if self._job.unstored:
            await self._store.save(self._job)  # before the keeper forgets
        await connection.call("keeper.release", {})
        await self._save(released=True)

    async def _store_output(self, connection: AsyncConnection) -> None:
        """All of the output into the log; while the engine cannot store it, the link stays, and is of use."""
        tail, delay_s = -1, self._limits.job_reconnect_s / 4
        while True:
            try:
                await self._pump(connection)
            except StorageError as error:
                self._not_stored(error)
                if self._job.ended and self._job.unstored:
                    with suppress(StorageError):  # less room is needed to tell how the command ended
                        await self._store.save(self._job)
            else:
                return
            delay_s = self._limits.job_reconnect_s / 4 if self._job.tail > tail else min(2 * delay_s, STORE_RETRY_S_MAX)
            tail = self._job.tail
            with suppress(TimeoutError):
                async with asyncio.timeout(delay_s * (1 + random_fraction()) / 2):
                    await connection.wait_closed()
                    raise DisconnectedError("the keeper's link was cut while its output could not be stored")

    def _not_stored(self, error: OSError) -> None:
        """Tell it where people look: in the log once, with the job for as long as it lasts."""
        if self._job.trouble != str(error):
            _logger.error("keeper.output_not_stored", job=self._job.id, error=str(error))
            self._job.trouble = str(error)
        self._job.notify()

    async def _pump(self, connection: AsyncConnection) -> None:
        stat = await self._store.log.stat(log_name(self._job.id))
        self._job.take_stat(stat)
        reader = connection.open_reader(window_bytes=self._limits.ring_bytes, start_offset=stat.tail, manual_ack=True)
        reply = await connection.call("keeper.output", {"stream": reader.stream_id, "from_offset": stat.tail})
        start_offset = int(reply.result["start_offset"])
        self._job.keeper_total = int(reply.result["total"])
        if start_offset < stat.tail:
            raise UsageError(f"keeper starts at {start_offset}, before what is stored up to {stat.tail}")
        try:
            await self._take(reader, start_offset)
        except StorageError as error:
            reader.close(str(error))  # the keeper keeps what was not acknowledged
            raise

    async def _take(self, reader: AsyncReader, start_offset: int) -> None:
        tail = self._job.tail
        if start_offset > tail:
            await self._store.log.skip(log_name(self._job.id), start_offset - tail, expected_tail=tail)
            self._job.tail = start_offset
            self._job.hole_bytes += start_offset - tail
        reader.start(start_offset)
        await OutputPump(self._job, self._store.log, reader, self._limits).run()

    async def _finish(self, connection: AsyncConnection) -> None:
        """The output is complete: once it is known how the command ended, the job is done."""
        exited, closed = asyncio.create_task(self._exited.wait()), asyncio.create_task(connection.wait_closed())
        try:
            await asyncio.wait([exited, closed], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for waiter in (exited, closed):
                waiter.cancel()
            await asyncio.wait([exited, closed])
        if not self._exited.is_set():
            raise DisconnectedError("the keeper's link was cut before it told how the command ended")
        await self._save(state="done")

    # what is noted

    async def _note_identity(self, hello: dict[str, Any]) -> None:
        info = self._job.record.info
        if info.state == "starting" or not info.pid:
            fields = ("pid", "pid_started", "keeper_pid", "keeper_started", "started_at")
            known = {name: hello[name] for name in fields if name in hello}
            await self._save(state="running", **known)

    def _on_event(self, event: EventReceived) -> None:
        if event.name == "exited":
            self._note_exit(event.body)

    def _note_exit(self, body: dict[str, Any]) -> None:
        """The command has ended; that is stored when its output is, or when that turns out to take long."""
        if not self._job.ended:
            record = msgspec.convert(body, ExitRecord)
            requested = self._job.record.info.stop_requested
            self._job.change(
                state="draining",
                done_reason="terminated" if requested or record.reason == "terminated" else "exited",
                exit_code=record.exit_code,
                exit_signal=record.exit_signal,
                ended_at=record.ended_at,
                usage=msgspec.convert(record.usage, Usage, strict=False) if record.usage else None,
            )
            _logger.info("job.exited", job=self._job.id, code=record.exit_code, signal=record.exit_signal)
        self._exited.set()

    def _set_connection(self, connection: AsyncConnection | None) -> None:
        self._job.connection = connection
        self._job.connecting = False
        if connection is not None:
            self._job.trouble = ""
            self._store.links_made += 1
        self._job.notify()

    # the keeper is gone

    def _keeper_is_dead(self) -> bool:
        info = self._job.record.info
        return not process_alive(info.keeper_pid or 0, info.keeper_started or 0.0)

    async def _lost(self) -> None:
        """The keeper is gone for good: what it left on disk is kept, what was only in its memory is lost."""
        if not self._job.done:
            await self._inherit()
            await self._save(state="done")
            for directory in (self._runtime_dir, self._spill_dir):
                shutil.rmtree(directory, ignore_errors=True)
        await self._save(released=True)

    async def _inherit(self) -> None:
        """What it left: how the command ended, if it knew, and output."""
        final = read_final(self._runtime_dir)
        if final is not None and final.exit is not None:
            self._note_exit(final.exit)
        if not self._job.ended or (final is None and not self._job.output_ended):
            if self._job.record.info.done_reason != "gone":
                _logger.error("job.keeper_gone", job=self._job.id)
            self._job.change(
                state="draining",
                done_reason="gone",
                ended_at=self._job.record.info.ended_at or self._clock.wall(),
                error=_why_gone(self._job.record.info),
            )
        if self._job.output_ended:
            return
        self._job.take_stat(await self._store.log.stat(log_name(self._job.id)))
        total = self._job.keeper_total if final is None else final.total
        await salvage(self._job, self._store.log, self._spill_dir, total)
        await self._store.log.close(log_name(self._job.id))
        self._job.take_stat(await self._store.log.stat(log_name(self._job.id)))
        self._job.trouble = ""

    async def _save(self, **changes: Any) -> None:
        self._job.change(**changes)
        await self._store.save(self._job)
