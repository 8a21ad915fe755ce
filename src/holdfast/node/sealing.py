"""Sealed output: when a job ends, what it printed is named by its digest, in a record anybody can cite.

The run record says what ran, where, when, how it ended, and the CID and size of its output.  It is made from what the
node stores of the job, so sealing twice gives the same record, also over a restart in between.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256
from time import gmtime, strftime
from typing import TYPE_CHECKING, Any

import msgspec
import structlog

from ..engine.base import Hole
from ..engine.stored import Stored
from ..errors import ClosedError, Conflict, CorruptionError, Gone, HoldfastError, NotFound
from ..jobs.observer import JobObserver
from ..jobs.record import log_name
from ..records.canonical import canonical_json
from ..records.cid import RAW, cid_of_digest, digest_of_cid
from ..records.model import Sealed

if TYPE_CHECKING:
    from ..engine.base import Engine
    from ..jobs.controller import JobController
    from ..jobs.job import Job
    from ..jobs.model import JobInfo
    from ..limits import Limits
    from ..records.store import RecordStore

_logger = structlog.get_logger("holdfast.records")

SCHEMA = "holdfast.run/1"
_KEYS = "records/seal/"
_READ_BYTES = 1 << 20
_GAPS_SHOWN_MAX = 1_000
_AT_ONCE = 4
"""Outputs read at once by sealing alone."""

_encode = msgspec.json.Encoder().encode
_stored = Stored(Sealed, "a job's seal")


class Output:
    """What was printed, as far as it was read: its digest and its gaps."""

    def __init__(self, first_offset: int) -> None:
        self.first_offset = first_offset
        self.size_bytes = 0
        self.gap_bytes = 0
        self.gaps: list[list[int]] = []
        self._hasher = sha256()

    def add(self, data: bytes) -> None:
        """Bytes."""
        self._hasher.update(data)
        self.size_bytes += len(data)

    def skip(self, offset: int, length: int) -> None:
        """A gap."""
        self.gap_bytes += length
        if len(self.gaps) < _GAPS_SHOWN_MAX:
            self.gaps.append([offset, length])

    @property
    def cid(self) -> str:
        """Of the bytes, the gaps left out."""
        return cid_of_digest(self._hasher.digest(), RAW)


class Sealer:
    """Seals the output of jobs as they end, and proves it again: :class:`~holdfast.records.domain.Seals`."""

    def __init__(self, engine: Engine, jobs: JobController, store: RecordStore, *, limits: Limits) -> None:
        self._log = engine.log
        self._kv = engine.kv
        self._jobs = jobs
        self._store = store
        self._bytes_max = limits.seal_output_bytes_max
        self._node = socket.gethostname()
        self._sealed: dict[str, Sealed] = {}
        self._sealing: dict[bytes, str] = {}
        """Run records on their way in, and whose they are."""
        self._locks: dict[str, asyncio.Lock] = {}
        self._at_once = asyncio.Semaphore(_AT_ONCE)

    async def open(self) -> None:
        """Load what was sealed; what jobs that are gone left behind goes."""
        known = {info.id for info in self._jobs.list()}
        for item in await self._kv.list(_KEYS):
            job = item.key.removeprefix(_KEYS)
            if job in known:
                self._sealed[job] = _stored.read(item.value, item.key)
            else:
                await self._kv.delete(item.key)

    def pins(self) -> dict[bytes, str]:
        """The run records of jobs that are still known."""
        for job in [job for job in self._sealed if not self._is_known(job)]:
            del self._sealed[job]  # what is stored of it goes at the next start
        return {digest_of_cid(sealed.record_cid): job for job, sealed in self._sealed.items()} | self._sealing

    def _is_known(self, job: str) -> bool:
        try:
            return self._jobs.find(job).id == job
        except HoldfastError:
            return False

    async def ended(self, job_id: str) -> None:
        """Seal it if that was not done, and its output is not too long for doing so unasked."""
        if job_id in self._sealed:
            return
        async with self._at_once:
            try:
                job = self._jobs.find(job_id)
                if job.tail - job.oldest <= self._bytes_max:
                    await self._seal(job)
            except (NotFound, Gone, ClosedError):
                return  # it is being removed, or the node stops
            except HoldfastError as error:  # at the next start, or when somebody asks
                _logger.error("job.not_sealed", job=job_id, error=str(error))

    async def seal(self, job: str) -> Sealed:
        """See :meth:`RecordsApi.seal`."""
        found = self._jobs.find(job)
        if not found.done:
            state = found.record.info.state
            raise Conflict(f"job {found.id} is {state}; it is sealed when it has ended", expected="done", actual=state)
        return await self._seal(found)

    async def verify(self, job: str) -> Sealed:
        """See :meth:`RecordsApi.verify`."""
        found = self._jobs.find(job)
        sealed = self._sealed.get(found.id)
        if sealed is None:
            raise NotFound(f"job {found.id} was not sealed", kind="seal", name=found.id)
        claim = await self._claim(sealed)
        output = await self._read(found, claim["first_offset"])
        for what, expected, got in (
            ("digest", claim["cid"], output.cid),
            ("size", claim["size_bytes"], output.size_bytes),
            ("gaps", claim["gap_bytes"], output.gap_bytes),
        ):
            if expected != got:
                where = f"the output of job {found.id}, its {what}"
                raise CorruptionError(where=where, expected=str(expected), got=str(got))
        return replace(sealed, verified=True)

    async def _claim(self, sealed: Sealed) -> dict[str, Any]:
        """What the run record says of the output; that it is the record of this CID was verified."""
        ((content,),) = [answers async for answers in self._store.pull_many([sealed.record_cid])]
        if isinstance(content, HoldfastError):
            raise content
        record: dict[str, Any] = msgspec.json.decode(content)
        claim: dict[str, Any] = record["output"]
        return claim

    async def _seal(self, job: Job) -> Sealed:
        """Once, whoever asks."""
        async with self._locks.setdefault(job.id, asyncio.Lock()):
            sealed = self._sealed.get(job.id) or await self._make_seal(job)
            self._locks.pop(job.id, None)
            return sealed

    async def _make_seal(self, job: Job) -> Sealed:
        stat = await self._log.stat(log_name(job.id))
        output = await self._read(job, stat.oldest)
        record = canonical_json(run_record(job.info(), output, self._node))
        digest = sha256(record).digest()
        self._sealing[digest] = job.id
        try:
            return await self._store_seal(job, record, output)
        finally:
            del self._sealing[digest]

    async def _store_seal(self, job: Job, record: bytes, output: Output) -> Sealed:
        (pushed,) = await self._store.push_many([record])
        if isinstance(pushed, HoldfastError):
            raise pushed
        sealed = Sealed(
            job=job.id, record_cid=pushed.cid, output_cid=output.cid,
            size_bytes=output.size_bytes, gap_bytes=output.gap_bytes,
        )  # fmt: skip
        await self._kv.put(_KEYS + job.id, _encode(sealed))
        self._sealed[job.id] = sealed
        _logger.info("job.sealed", job=job.id, record=pushed.cid, output_bytes=output.size_bytes)
        return sealed

    async def _read(self, job: Job, first_offset: int) -> Output:
        """All of the output from there on.  Gone(oldest) if some of it was trimmed away."""
        output = Output(first_offset)
        at = first_offset
        while pieces := await self._log.read(log_name(job.id), at, max_bytes=_READ_BYTES):
            for piece in pieces:
                if isinstance(piece, Hole):
                    output.skip(piece.position, piece.length)
                else:
                    output.add(piece.data)
            at = pieces[-1].end
        return output


def run_record(info: JobInfo, output: Output, node: str) -> dict[str, Any]:
    """The record of one run."""
    ended = _moment(info.ended_at)
    code = info.exit_code if info.exit_code is not None else f"signal {info.exit_signal}" if info.exit_signal else ""
    return {
        "schema_version": SCHEMA,
        "name": info.name or info.id,
        "created_at": ended,
        "annotations": {"holdfast.job": info.id, "holdfast.node": node, "holdfast.exit": str(code)},
        "job": info.id,
        "node": node,
        "command": info.command,
        "started_at": _moment(info.started_at),
        "ended_at": ended,
        "done_reason": info.done_reason,
        "exit_code": info.exit_code,
        "exit_signal": info.exit_signal,
        "output": {
            "cid": output.cid,
            "size_bytes": output.size_bytes,
            "first_offset": output.first_offset,
            "gap_bytes": output.gap_bytes,
            "gaps": output.gaps,
        },
    }


def _moment(seconds: float | None) -> str:
    """RFC 3339 with milliseconds; empty if it never came."""
    if seconds is None:
        return ""
    whole = int(seconds)
    return f"{strftime('%Y-%m-%dT%H:%M:%S', gmtime(whole))}.{int((seconds - whole) * 1000):03}Z"


class JobEnds:
    """Tells one after the other of a job's life: a :class:`~holdfast.jobs.observer.JobObserver`."""

    def __init__(self, channels: JobObserver) -> None:
        self._channels = channels
        self._sealer: asyncio.Future[Sealer] = asyncio.get_running_loop().create_future()

    def begin(self, sealer: Sealer) -> None:
        """Seal what ends, and what had ended before."""
        self._sealer.set_result(sealer)

    async def starting(self, job_id: str, channels: Sequence[str], starter: str) -> None:
        """Its channels are made."""
        await self._channels.starting(job_id, channels, starter)

    async def ended(self, job_id: str) -> None:
        """Its channels are closed, its output is sealed."""
        await self._channels.ended(job_id)
        await (await asyncio.shield(self._sealer)).ended(job_id)

    async def removed(self, job_id: str) -> None:
        """Its channels go."""
        await self._channels.removed(job_id)
