"""How a job comes to be: the record first, then the keeper; and what a crash between the two means."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import structlog

from ..errors import AlreadyExists, Conflict, HoldfastError
from ..ids import new_id, new_token
from ..paths import make_private_dir
from .job import Job
from .keeper.certificate import Certificate
from .model import JobInfo, JobSpec
from .record import JobRecord, log_name
from .store import JobStore

if TYPE_CHECKING:
    from ..clock import Clock
    from ..limits import Limits
    from ..paths import Places
    from .birth import Midwife

_logger = structlog.get_logger("holdfast.jobs")


MintToken = Callable[[str], str]
"""From a job's id to the token that its command is given."""

CREDENTIALS = frozenset({"HOLDFAST_TOKEN", "HOLDFAST_TOKEN_FILE"})
"""Variables of a caller's environment that its jobs must not inherit."""

_NOTE_TRIES = 100
_NOTE_INTERVAL_S = 0.02
"""A keeper writes its note of birth within milliseconds of making its directory; two seconds mean it died."""


class Starter:
    """Starts commands, each at most once.

    The record is durable before the keeper is asked for, so a node that dies in between finds a *starting*
    job and looks for its keeper's note of birth; it never tries again.
    """

    def __init__(
        self,
        store: JobStore,
        midwife: Midwife,
        places: Places,
        *,
        clock: Clock,
        limits: Limits,
        mint_token: MintToken | None = None,
    ) -> None:
        self._store = store
        self._midwife = midwife
        self._places = places
        self._clock = clock
        self._limits = limits
        self._mint_token = mint_token

    def new_job(self, spec: JobSpec) -> Job:
        """A job in state *starting*, in memory only."""
        info = JobInfo(
            id=new_id(),
            name=spec.name,
            state="starting",
            command=spec.command,
            cwd=spec.cwd,
            tty=spec.tty,
            on_full=spec.on_full,
            rows=spec.rows,
            columns=spec.columns,
            created_at=self._clock.wall(),
            channels=spec.channels,
        )
        return Job(JobRecord(info=info, secret=new_token(32)))

    async def start(self, job: Job, spec: JobSpec) -> None:
        """Make the job durable, have its keeper born, note who it is.  An error leaves nothing behind."""
        name = spec.name
        try:
            claims = [self._store.put(job.record), self._store.log.create(log_name(job.id))]
            if name:
                claims.append(self._store.claim_name(name, job.id))
            await _all(claims)
            receipt = await self._midwife.birth(self._certificate(job, spec))
        except BaseException as error:
            await self._undo(job)
            if isinstance(error, Conflict) and name:
                raise AlreadyExists(kind="job", name=name, holder=str(error.actual)) from error
            raise
        record = job.record.changed(
            state="running",
            pid=receipt.pid,
            pid_started=receipt.pid_started,
            keeper_pid=receipt.keeper_pid,
            keeper_started=receipt.keeper_started,
            started_at=receipt.started_at,
        )
        await self._store.put(record)
        job.record = record

    def _certificate(self, job: Job, spec: JobSpec) -> Certificate:
        make_private_dir(self._places.jobs_dir)
        make_private_dir(self._places.spill_dir)
        return Certificate(
            job=job.id,
            secret=bytes.fromhex(job.record.secret),
            command=list(spec.command),
            env=self._environment(job, spec),
            cwd=spec.cwd or os.path.expanduser("~"),
            tty=spec.tty,
            rows=spec.rows,
            columns=spec.columns,
            umask=spec.umask,
            ulimits=dict(spec.ulimits),
            on_full=spec.on_full,
            ring_bytes=self._limits.ring_bytes,
            spill_bytes_max=spec.spill_bytes_max or self._limits.spill_bytes_max,
            spill_segment_bytes=self._limits.spill_segment_bytes,
            spill_dir=os.path.join(self._places.spill_dir, job.id),
            runtime_dir=os.path.join(self._places.jobs_dir, job.id),
            retention_s=self._limits.keeper_retention_s,
            grace_s=self._limits.stop_grace_s,
        )

    def _environment(self, job: Job, spec: JobSpec) -> dict[str, str]:
        """The command's own, without the caller's credentials and with its job's."""
        env = {name: value for name, value in spec.env.items() if name not in CREDENTIALS}
        env.update(HOLDFAST_JOB=job.id, HOLDFAST_URL=self._places.url)
        if self._mint_token is not None:
            env["HOLDFAST_TOKEN"] = self._mint_token(job.id)
        return env

    async def _undo(self, job: Job) -> None:
        try:
            await self._store.forget(job.record)
        except HoldfastError as error:
            _logger.error("job.start_not_undone", job=job.id, error=str(error))
        for directory in self.directories(job):
            shutil.rmtree(directory, ignore_errors=True)

    def directories(self, job: Job) -> tuple[str, str]:
        """The job's runtime directory and its spill directory."""
        return os.path.join(self._places.jobs_dir, job.id), os.path.join(self._places.spill_dir, job.id)

    async def resolve(self, job: Job) -> None:
        """Settle a *starting* job found at node start: adopted if its keeper was born, else a startup-error.

        A keeper makes its own runtime directory before anything else and gives up if it is there.  So whoever
        makes it first decides: if we do, the command was not started and never will be.
        """
        runtime_dir = self.directories(job)[0]
        try:
            make_private_dir(self._places.jobs_dir)
            os.mkdir(runtime_dir, 0o700)
        except FileExistsError:
            note = await self._await_note(os.path.join(runtime_dir, "keeper.json"))
        else:
            note = None
        record = await self._never_started(job) if note is None else job.record.changed(state="running", **note)
        await self._store.put(record)
        job.record = record

    async def _await_note(self, path: str) -> dict[str, Any] | None:
        for _ in range(_NOTE_TRIES):
            note = _read_note(path)
            if note is not None:
                return note
            await asyncio.sleep(_NOTE_INTERVAL_S)
        return None

    async def _never_started(self, job: Job) -> JobRecord:
        if not await self._store.log.list(log_name(job.id)):
            await self._store.log.create(log_name(job.id))
        await self._store.log.close(log_name(job.id))
        job.output_ended = True
        _logger.warning("job.never_started", job=job.id)
        return job.record.changed(
            released=True,
            state="done",
            done_reason="startup-error",
            ended_at=self._clock.wall(),
            error="the node died before the command was started; it was not started",
        )


def _read_note(path: str) -> dict[str, Any] | None:
    try:
        with open(path, encoding="utf-8") as file:
            note = json.load(file)
        fields = ("pid", "pid_started", "keeper_pid", "keeper_started", "started_at")
        return {name: note[name] for name in fields}
    except (OSError, ValueError, KeyError):
        return None


async def _all(claims: list[Any]) -> None:
    """Run them in one group commit; the first error, after all have ended."""
    results = await asyncio.gather(*claims, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
