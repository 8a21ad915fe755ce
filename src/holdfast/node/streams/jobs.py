"""The output of jobs as durable streams: ``<job>/output``, bytes, offsets as everywhere else; read only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...durable.model import DEFAULT_TYPE, Added, Addition, Creation, Page, StreamInfo, Where
from ...durable.paging import LivePages, position_at, read_page
from ...durable.store import READ_ONLY
from ...errors import HoldfastError, NotFound, PermissionDenied
from ...jobs.record import log_name

if TYPE_CHECKING:
    from ...engine.base import Log
    from ...jobs.controller import JobController


class JobOutputs:
    """Implements :class:`~holdfast.durable.store.StreamStore`.

    What was trimmed away, or lost on its way here, is Gone at its offset, never skipped.
    """

    actions = READ_ONLY

    def __init__(self, jobs: JobController, log: Log) -> None:
        self._jobs = jobs
        self._log = log

    def _job_id(self, path: str) -> str:
        name, _, rest = path.partition("/")
        if rest != "output":
            raise NotFound(kind="stream", name=path)
        try:
            return self._jobs.find(name).id
        except HoldfastError:  # none, or several: which, is not the caller's to know
            raise NotFound(kind="stream", name=path) from None

    def seen_by(self, identity: Any, peer: str) -> JobOutputs:
        """The same for all; the policy has decided already."""
        return self

    async def resource(self, path: str) -> str:
        """``<id>/output``, whether the job was named by id or by name."""
        return f"{self._job_id(path)}/output"

    async def info(self, path: str) -> StreamInfo:
        """The output as it stands; closed once all of it is in the log."""
        job_id = self._job_id(path)
        stat = await self._log.stat(log_name(job_id))
        return StreamInfo(
            path=path, id=job_id, content_type=DEFAULT_TYPE, tail=stat.tail, closed=stat.closed, oldest=stat.oldest
        )

    async def read(self, path: str, where: Where, max_bytes: int) -> Page:
        """See :meth:`StreamStore.read`."""
        return await read_page(self._log, log_name(self._job_id(path)), where, max_bytes)

    async def follow(self, path: str, where: Where, max_bytes: int) -> LivePages:
        """See :meth:`StreamStore.follow`."""
        stat = await self._log.stat(log_name(self._job_id(path)))
        return LivePages(self._log, stat.name, stat, position_at(stat, where), max_bytes)

    async def create(self, path: str, creation: Creation) -> tuple[StreamInfo, bool]:
        """Never."""
        raise PermissionDenied("a job's output is written by its command only")

    async def append(self, path: str, addition: Addition) -> Added:
        """Never."""
        raise PermissionDenied("a job's output is written by its command only")

    async def delete(self, path: str) -> None:
        """Never."""
        raise PermissionDenied("a job's output goes with its job")
