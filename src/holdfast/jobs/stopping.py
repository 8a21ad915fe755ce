"""Bringing a job to its end: as asked, within a bound, and by force where nobody answers."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import suppress
from typing import TYPE_CHECKING

import structlog

from ..errors import Conflict, DeadlineExceeded, DisconnectedError, StorageError, Unavailable
from ..procinfo import process_alive, process_start_time

if TYPE_CHECKING:
    from ..limits import Limits
    from .job import Job
    from .link import KeeperLink
    from .model import JobInfo
    from .store import JobStore

_logger = structlog.get_logger("holdfast.jobs")

KILL_PATIENCE_S = 2.0
"""How long a keeper may take to kill its command before both are killed from here."""
_LOOK_S = 0.01
_GONE_S = 1.0
"""How long a killed process is waited for; one that hangs in the kernel goes when that lets it."""


class Stopper:
    """Ends jobs.  What it says is bounded in time, whatever the keeper, the command or the engine do."""

    def __init__(self, store: JobStore, limits: Limits) -> None:
        self._store = store
        self._limits = limits

    async def stop(self, job: Job, link: KeeperLink | None, grace_s: float) -> None:
        """Have the command end; back when it has and its output is stored, or cannot be stored now.

        DeadlineExceeded(phase="stop") if it has not ended in time; it is still asked to when its keeper answers.
        """
        if not job.ended:
            await self._ask(job, grace_s)
            answered = await self._terminate(job, link, grace_s)
            await self._await_end(job, grace_s, answered=answered)
        with suppress(TimeoutError):
            while not (job.done or job.trouble or job.removed):
                async with asyncio.timeout(self._limits.keeper_answer_s):
                    await job.changed()

    async def kill(self, job: Job, link: KeeperLink | None) -> None:
        """Have the command end now, if its keeper answers; see :func:`kill_processes` for the rest."""
        if job.ended or job.link == "stalled":
            return
        await self._ask(job, 0.0)
        with suppress(TimeoutError):
            async with asyncio.timeout(KILL_PATIENCE_S):
                if await self._terminate(job, link, 0.0):
                    while not (job.ended or job.removed):
                        await job.changed()

    async def _ask(self, job: Job, grace_s: float) -> None:
        job.stop_grace_s = grace_s
        job.change(stop_requested=True)
        try:
            await self._store.save(job)
        except StorageError as error:  # this node knows it all the same
            _logger.warning("job.stop_not_stored", job=job.id, error=str(error))

    async def _terminate(self, job: Job, link: KeeperLink | None, grace_s: float) -> bool:
        """Tell the keeper; False if it cannot be reached now: its link tells it when it can."""
        if link is None:
            return False
        link.hurry()
        if job.connection is None:
            return False
        try:
            await link.call("keeper.terminate", {"grace_s": grace_s})
        except (DisconnectedError, Unavailable, Conflict, DeadlineExceeded):
            return False
        return True

    async def _await_end(self, job: Job, grace_s: float, *, answered: bool) -> None:
        patience_s = grace_s + self._limits.keeper_answer_s if answered or job.connection is None else 0.0
        try:
            async with asyncio.timeout(patience_s):
                while not (job.ended or job.removed):
                    await job.changed()
        except TimeoutError:
            info = job.record.info
            why = (
                f"KILL has not ended process {info.pid}"
                if answered
                else f"its keeper, process {info.keeper_pid}, does not answer; it will be stopped when that does"
            )
            raise DeadlineExceeded(
                f"job {job.label} has not ended: {why}; `holdfast rm --force` kills both and forgets it",
                phase="stop",
                after_s=patience_s or self._limits.keeper_answer_s,
                safe_to_retry=True,
            ) from None


async def kill_processes(info: JobInfo) -> None:
    """SIGKILL to what is left of the job: its command's process group, then its keeper.

    Each only if it is still the process that was started for the job.  Back when they are gone, or soon after.
    """
    if info.pid and _is_the_one(info.pid, info.pid_started):
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(info.pid, signal.SIGKILL)
    if info.keeper_pid and _is_the_one(info.keeper_pid, info.keeper_started):
        with suppress(ProcessLookupError, PermissionError):
            os.kill(info.keeper_pid, signal.SIGKILL)
    for pid, started in ((info.keeper_pid, info.keeper_started), (info.pid, info.pid_started)):
        for _ in range(round(_GONE_S / _LOOK_S)):
            if not process_alive(pid or 0, started or 0.0):
                break
            await asyncio.sleep(_LOOK_S)


def _is_the_one(pid: int, started: float | None) -> bool:
    """Also of a zombie, whose group may live.  A process whose start cannot be told is none that we may kill."""
    return bool(started) and process_start_time(pid) == started
