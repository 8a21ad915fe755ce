"""The job controller: starts jobs, keeps each linked to its keeper, and answers for them.

State has one owner: this.  What must survive is in the engine before a caller hears of it.
"""

from __future__ import annotations

import asyncio
import shutil
from typing import TYPE_CHECKING

import msgspec
import structlog

from ..errors import (
    AlreadyExists,
    BusyError,
    Conflict,
    DeadlineExceeded,
    DisconnectedError,
    HoldfastError,
    LimitExceeded,
    NotFound,
    UsageError,
)
from .directory import JobDirectory
from .job import Job
from .link import KeeperLink
from .model import JobInfo, JobSpec
from .observer import JobObserver, NoObserver
from .record import log_name
from .starting import MintToken, Starter
from .stopping import Stopper, kill_processes
from .store import JobStore
from .validate import check_spec, check_window_size, signal_number

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ..clock import Clock
    from ..engine.base import Engine, Log
    from ..limits import Limits
    from ..paths import Places
    from ..rpc.events import Reply
    from .birth import Midwife
    from .viewer import Viewer

_logger = structlog.get_logger("holdfast.jobs")
_encode = msgspec.json.Encoder().encode


class JobController:
    """All jobs of one node."""

    def __init__(
        self,
        engine: Engine,
        midwife: Midwife,
        places: Places,
        *,
        clock: Clock,
        limits: Limits,
        mint_token: MintToken | None = None,
        observer: JobObserver | None = None,
    ) -> None:
        self._store = JobStore(engine)
        self._starter = Starter(self._store, midwife, places, clock=clock, limits=limits, mint_token=mint_token)
        self._stopper = Stopper(self._store, limits)
        self._clock = clock
        self._limits = limits
        self._jobs = JobDirectory()
        self._links: dict[str, tuple[KeeperLink, asyncio.Task[None]]] = {}
        self._viewers: dict[asyncio.Task[None], Viewer] = {}
        self._observer: JobObserver = observer or NoObserver()
        self._watchers: set[asyncio.Task[None]] = set()
        self._pruner: asyncio.Task[None] | None = None
        self._letting_go = False

    # life

    async def open(self) -> None:
        """Load every job and reconcile each with its keeper, without waiting for slow ones."""
        for record in await self._store.load_all():
            stats = await self._store.log.list(log_name(record.info.id))
            job = Job(record, stats[0] if stats else None)
            self._jobs.add(job)
            if record.info.state == "starting" and not record.info.pid:
                await self._starter.resolve(job)
            if not (job.done and job.record.released):
                self._connect(job)
            self._watch_end(job)
        self._pruner = asyncio.create_task(self._prune_forever())

    def let_go(self) -> None:
        """The node is about to end: whoever waits for a job waits elsewhere from now on."""
        self._letting_go = True
        for job in self._jobs:
            job.notify()

    async def close(self) -> None:
        """Let go of every keeper; jobs run on."""
        tasks = [*self._viewers, *self._watchers, *(task for _, task in self._links.values())]
        if self._pruner is not None:
            tasks.append(self._pruner)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._links.clear()

    def _connect(self, job: Job) -> None:
        directories = self._starter.directories(job)
        link = KeeperLink(job, self._store, *directories, clock=self._clock, limits=self._limits)
        task = asyncio.create_task(self._run_link(job, link), name=f"keeper-link-{job.id}")
        self._links[job.id] = (link, task)

    async def _run_link(self, job: Job, link: KeeperLink) -> None:
        try:
            await link.run()
        except Exception:
            _logger.exception("job.link_crashed", job=job.id)
            raise
        self._links.pop(job.id, None)

    # what the API asks

    def __len__(self) -> int:
        return len(self._jobs)

    def all(self) -> list[Job]:
        """Every job there is."""
        return list(self._jobs)

    def get(self, job_id: str) -> Job | None:
        """The job with that id."""
        return self._jobs.get(job_id)

    def on_changed(self, tell: Callable[[Job], None]) -> None:
        """Have ``tell`` called with every job that changes, from now on: it starts, outputs, ends, is removed."""
        self._jobs.on_changed = tell

    def find(self, job: str) -> Job:
        """The job of that name, id or unique prefix."""
        return self._jobs.find(job)

    async def start(self, spec: JobSpec, starter: str = "") -> JobInfo:
        """See :meth:`JobsApi.start`; ``starter`` is who asked."""
        check_spec(spec, self._limits)
        if len(self._jobs) >= self._limits.jobs_max:
            raise LimitExceeded(name="jobs_max", limit=self._limits.jobs_max, value=len(self._jobs) + 1)
        holder = (self._jobs.holder_of(spec.name) or self._jobs.get(spec.name)) if spec.name else None
        if holder is not None:
            raise AlreadyExists(kind="job", name=spec.name, holder=holder.id)
        job = self._starter.new_job(spec)
        self._jobs.add(job)
        try:
            await self._start(job, spec, starter)
        except BaseException:
            self._jobs.remove(job)
            job.removed = True
            job.notify()
            raise
        self._connect(job)
        self._watch_end(job)
        _logger.info("job.started", job=job.id, name=spec.name, pid=job.record.info.pid)
        return job.info()

    async def _start(self, job: Job, spec: JobSpec, starter: str) -> None:
        if not spec.channels:
            await self._starter.start(job, spec)
            return
        try:
            await self._observer.starting(job.id, spec.channels, starter)
            await self._starter.start(job, spec)
        except BaseException:
            await self._observer.removed(job.id)
            raise

    def _watch_end(self, job: Job) -> None:
        task = asyncio.create_task(self._tell_end(job), name=f"job-end-{job.id}")
        self._watchers.add(task)
        task.add_done_callback(self._watchers.discard)

    async def _tell_end(self, job: Job) -> None:
        while not (job.done or job.removed):
            await job.changed()
        try:
            await self._observer.ended(job.id)
        except HoldfastError as error:  # told again at the next start
            _logger.error("job.end_not_told", job=job.id, error=str(error))

    def list(self) -> list[JobInfo]:
        """All jobs, oldest first."""
        return sorted((job.info() for job in self._jobs), key=lambda info: info.created_at)

    def page(self, after: str, sees: Callable[[str], bool]) -> Sequence[JobInfo]:
        """See :meth:`JobsApi.list`; of the jobs that the caller ``sees``.  One at least: any fits an answer."""
        jobs = sorted((job for job in self._jobs if job.id > after and sees(job.id)), key=lambda job: job.id)
        return _page_of(jobs, self._limits.jobs_page_bytes)

    async def call_keeper(self, job: Job, method: str, params: dict[str, object], attachment: bytes = b"") -> Reply:
        """Call a running job's keeper; Conflict once the job has ended."""
        link = self._link(job)
        if job.ended or link is None:
            raise Conflict(f"job {job.label} has ended", expected="running", actual=job.record.info.state)
        return await link.call(method, params, attachment)

    def _link(self, job: Job) -> KeeperLink | None:
        entry = self._links.get(job.id)
        return None if entry is None else entry[0]

    async def signal(self, job: Job, name: str) -> JobInfo:
        """See :meth:`JobsApi.signal`."""
        await self.call_keeper(job, "keeper.signal", {"signal": signal_number(name)})
        return job.info()

    async def resize(self, job: Job, rows: int, columns: int) -> None:
        """See :meth:`JobsApi.resize`."""
        check_window_size(rows, columns)
        if not job.record.info.tty:
            raise UsageError(f"job {job.label} has no terminal to resize", field="job")
        await self.call_keeper(job, "keeper.resize", {"rows": rows, "columns": columns})
        job.change(rows=rows, columns=columns)

    async def follow_size(self, job: Job, rows: int, columns: int) -> None:
        """Somebody types, in a terminal of this size: the job's gets it, if it has a terminal and another size."""
        info = job.record.info
        if info.tty and (info.rows, info.columns) != (rows, columns):
            await self.resize(job, rows, columns)

    async def wait(self, job: Job, timeout_s: float | None) -> JobInfo:
        """See :meth:`JobsApi.wait`."""
        try:
            async with asyncio.timeout(timeout_s):
                while not job.done:
                    if job.removed:
                        raise NotFound(f"job {job.label} was removed while it was waited for", kind="job", name=job.id)
                    if self._letting_go:
                        raise DisconnectedError(f"the node is ending; job {job.label} runs on")
                    await job.changed()
        except TimeoutError:
            raise DeadlineExceeded(
                f"job {job.label} has not ended within {timeout_s:g} s; it runs on",
                phase="wait",
                after_s=timeout_s or 0.0,
                safe_to_retry=True,
            ) from None
        return job.info()

    async def stop(self, job: Job, grace_s: float) -> JobInfo:
        """See :meth:`JobsApi.stop`."""
        if not 0 <= grace_s <= 3600:
            raise UsageError(f"grace_s: {grace_s} is not between 0 and 3600", field="grace_s")
        await self._stopper.stop(job, self._link(job), grace_s)
        if job.removed:
            raise NotFound(f"job {job.label} was removed while it was stopped", kind="job", name=job.id)
        return job.info()

    async def remove(self, job: Job, *, force: bool) -> None:
        """See :meth:`JobsApi.remove`."""
        if not job.done and not force:
            raise _still_needed(job)
        async with job.removal:
            if job.removed:
                raise NotFound(kind="job", name=job.id)
            if force and job.record.info.done_reason == "gone":
                await kill_processes(job.record.info)  # its keeper went without the command
            await self._forget(job)
        _logger.info("job.removed", job=job.id, name=job.record.info.name, output_bytes=job.tail)

    async def _forget(self, job: Job) -> None:
        """Whatever still runs of it is killed; StorageError if the engine cannot forget it, which is tried again."""
        if not job.done:
            await self._stopper.kill(job, self._link(job))
        entry = self._links.pop(job.id, None)
        if entry is not None:
            if job.done:  # its keeper is about to be released
                await asyncio.wait([entry[1]], timeout=self._limits.job_reconnect_s)
            entry[1].cancel()
            if not job.record.released:
                await kill_processes(job.record.info)
            await asyncio.gather(entry[1], return_exceptions=True)
        self._jobs.remove(job)  # first, so that whoever watched its output and asks why it broke off hears why
        try:
            await self._erase(job)
        except BaseException:
            self._jobs.add(job)
            if not (job.done and job.record.released):
                self._connect(job)
            raise

    async def _erase(self, job: Job) -> None:
        if job.record.info.channels:
            await self._observer.removed(job.id)
        await self._store.forget(job.record)
        for directory in self._starter.directories(job):
            shutil.rmtree(directory, ignore_errors=True)
        job.removed = True
        job.notify()

    # output

    def check_viewers(self, job: Job) -> None:
        """LimitExceeded if the job has as many viewers as it may."""
        limit = self._limits.viewers_per_job_max
        if job.viewers >= limit:
            raise LimitExceeded(name="viewers_per_job_max", limit=limit, value=job.viewers + 1)

    def show(self, job: Job, viewer: Viewer) -> asyncio.Task[None]:
        """Run one viewer of the job's output; its connection may cancel it, we await it."""
        task = asyncio.create_task(_counted(job, viewer), name=f"viewer-{job.id}")
        viewer.on_leave(task.cancel)
        self._viewers[task] = viewer
        task.add_done_callback(lambda task: self._viewers.pop(task, None))
        return task

    @property
    def viewers(self) -> tuple[Viewer, ...]:
        """All open output streams."""
        return tuple(self._viewers.values())

    @property
    def links_made(self) -> int:
        """How often keepers were reached since the node started."""
        return self._store.links_made

    @property
    def log(self) -> Log:
        """Where outputs are read from."""
        return self._store.log

    # pruning

    async def _prune_forever(self) -> None:
        while True:
            await self._prune_once()
            await asyncio.sleep(min(60.0, self._limits.job_retention_s))

    async def _prune_once(self) -> None:
        now = self._clock.wall()
        for job in self._jobs:
            ended = job.record.info.ended_at
            if job.done and ended and now - ended > self._limits.job_retention_s:
                try:
                    async with job.removal:
                        if not job.removed:
                            await self._forget(job)
                except HoldfastError as error:
                    _logger.error("job.not_pruned", job=job.id, error=str(error))
                else:
                    _logger.info("job.pruned", job=job.id, name=job.record.info.name, ended_at=ended)


def _page_of(jobs: list[Job], room_bytes: int) -> list[JobInfo]:
    page: list[JobInfo] = []
    for job in jobs:
        info = job.info()
        room_bytes -= len(_encode(info))
        if page and room_bytes < 0:
            break
        page.append(info)
    return page


def _still_needed(job: Job) -> BusyError:
    if job.ended:
        pending = job.info().pending_bytes
        words = f"has ended, but {pending} bytes of its output are not stored yet; --force loses them"
    else:
        words = "is still running; stop it first, or use --force"
    return BusyError(f"job {job.label} {words}", holder=job.id)


async def _counted(job: Job, viewer: Viewer) -> None:
    job.viewers += 1
    try:
        await viewer.run()
    finally:
        job.viewers -= 1
