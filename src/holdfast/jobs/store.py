"""Where the node stores its jobs: their records, names and output logs, in the engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from ..engine.stored import Stored
from .record import JobRecord, log_name

if TYPE_CHECKING:
    from ..engine.base import Engine, KeyValue, Log
    from .job import Job

_RECORDS = "jobs/"
_NAMES = "job-names/"


class JobStore:
    """Job records, names and output logs in the engine.  Everything is durable on return."""

    def __init__(self, engine: Engine) -> None:
        self._kv: KeyValue = engine.kv
        self.log: Log = engine.log
        self._encoder = msgspec.json.Encoder()
        self._stored = Stored(JobRecord, "a job's record")
        self.links_made = 0
        """How often keepers were reached, counted by their links."""

    async def put(self, record: JobRecord) -> None:
        """Store the record as it is now."""
        await self._kv.put(_RECORDS + record.info.id, self._encoder.encode(record))

    async def save(self, job: Job) -> None:
        """Store the job's record as it is now; a job that was changed meanwhile stays *unstored*."""
        record = job.record
        await self.put(record)
        if job.record is record:
            job.unstored = False

    async def load_all(self) -> list[JobRecord]:
        """Every stored record, oldest first.  CorruptionError for one that cannot be read."""
        records = [self._stored.read(item.value, item.key) for item in await self._kv.list(_RECORDS)]
        return sorted(records, key=lambda record: record.info.created_at)

    async def claim_name(self, name: str, job_id: str) -> None:
        """Take ``name`` for the job; Conflict if it is taken."""
        await self._kv.put_if(_NAMES + name, job_id.encode(), 0)

    async def release_name(self, name: str, job_id: str) -> None:
        """Give the name back if the job has it."""
        item = await self._kv.get(_NAMES + name)
        if item is not None and item.value == job_id.encode():
            await self._kv.delete(_NAMES + name, revision=item.revision)

    async def forget(self, record: JobRecord) -> None:
        """Remove everything of a job, the record last, so that a crash in between is finished next time."""
        job_id = record.info.id
        if any(stat.name == log_name(job_id) for stat in await self.log.list(log_name(job_id))):
            await self.log.delete(log_name(job_id))
        if record.info.name:
            await self.release_name(record.info.name, job_id)
        await self._kv.delete(_RECORDS + job_id)
