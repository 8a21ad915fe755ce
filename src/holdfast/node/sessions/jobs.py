"""Jobs as a provider: ``jobs.<id>.output``, durable, bytes; and ``jobs.<id>.events``, a feed of what becomes of them.

What is sent to ``jobs.<id>.input`` goes to the job's input.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from ...engine.base import Hole
from ...errors import Gone, HoldfastError, NotFound
from ...jobs.model import STDERR
from ...jobs.record import log_name
from ...security.policy import allow
from ...sessions.model import Message, SubjectInfo
from ...sessions.providers.base import BaseProvider, Page, Sender, Sink, Stream
from ...subjects import matches
from .callers import caller_of
from .sources import OpenPatterns

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...clock import Clock
    from ...engine.base import Log, Piece
    from ...jobs.controller import JobController
    from ...jobs.job import Job

_SHOWN = ("id", "name", "state", "done_reason", "link", "exit_code", "exit_signal", "error", "stop_requested")
"""Fields of a job that its events carry."""


class JobsProvider(BaseProvider):
    """Implements :class:`~holdfast.sessions.providers.base.Provider`."""

    def __init__(self, jobs: JobController, log: Log, clock: Clock) -> None:
        self._jobs = jobs
        self._log = log
        self._clock = clock
        self._open = OpenPatterns()
        self._known: dict[str, _Seen] = {}

    async def start(self) -> None:
        """Listen to every job there is."""
        for job in self._jobs.all():
            if _exists(job):
                self._known[job.id] = _Seen(job)
        self._jobs.on_changed(self._changed)

    async def stop(self) -> None:
        """Listen no more."""
        self._jobs.on_changed(lambda _job: None)

    def durable(self, pattern: str) -> bool:
        """Outputs are."""
        return pattern.endswith(".output")

    async def subjects(self, pattern: str) -> Sequence[SubjectInfo]:
        """The outputs and the events of every job."""
        found: list[SubjectInfo] = []
        for job in self._jobs.all():
            if not _exists(job):
                continue
            if matches(pattern, _output(job)):
                found.append(_info(job))
            if matches(pattern, _events(job)):
                found.append(SubjectInfo(subject=_events(job), ended=job.done))
        return found

    async def open(self, pattern: str, sink: Sink) -> Stream:
        """See :meth:`Provider.open`."""
        stream = self._open.open(pattern, sink)
        for job in self._jobs.all():
            if _exists(job) and matches(pattern, _output(job)):
                sink.found(_info(job))
        return stream

    # what becomes of jobs

    def _changed(self, job: Job) -> None:
        seen = self._known.get(job.id)
        if seen is None:
            if not _exists(job):
                return
            seen = self._known[job.id] = _Seen(job)
            self._appeared(job)
        elif job.removed:
            del self._known[job.id]
            self._vanished(job)
            return
        if self._open:
            self._tell_output(job, seen)
            self._tell_events(job, seen)
        else:
            seen.look(job)

    def _appeared(self, job: Job) -> None:
        for sink in self._open.of(_output(job)) if self._open else ():
            sink.found(_info(job))
        self._send_event(job, "job.started")

    def _vanished(self, job: Job) -> None:
        for sink in self._open.of(_output(job)):
            sink.gone(_output(job), "its job was removed")
        self._send_event(job, "job.removed")

    def _tell_output(self, job: Job, seen: _Seen) -> None:
        moved, ended = job.tail != seen.tail, job.output_ended and not seen.ended
        seen.tail, seen.ended = job.tail, job.output_ended
        if not moved and not ended:
            return
        subject = _output(job)
        for sink in self._open.of(subject):
            if moved:
                sink.moved(subject, job.tail)
            if ended:
                sink.ended(subject)

    def _tell_events(self, job: Job, seen: _Seen) -> None:
        marks = _marks(job)
        if marks != seen.marks:
            state = seen.marks[0]
            seen.marks = marks
            self._send_event(job, "job.ended" if job.done and state != "done" else "job.changed")

    def _send_event(self, job: Job, name: str) -> None:
        subject = _events(job)
        sinks = self._open.of(subject)
        if sinks:
            message = _event(job, name, self._clock.wall())
            for sink in sinks:
                sink.messages([message])

    # reading and writing

    async def read(self, subject: str, position: int, max_bytes: int) -> Page:
        """See :meth:`Provider.read`; positions are offsets."""
        job = self._job(subject, "output")
        messages: list[Message] = []
        start = max(position, 0)
        try:
            pieces = await self._pieces(job, start, max_bytes)
        except Gone as gone:
            if position >= 0:
                messages.append(_gap(subject, start, gone.oldest, "trimmed away"))
            start = gone.oldest
            pieces = await self._pieces(job, start, max_bytes)
        messages += [_message(subject, piece) for piece in pieces]
        end = messages[-1].next_position if messages else start
        return Page(messages, end, ended=job.output_ended and end >= job.tail)

    async def _pieces(self, job: Job, start: int, max_bytes: int) -> list[Piece]:
        return await self._log.read(log_name(job.id), start, max_bytes=max_bytes) if start < job.tail else []

    async def snapshot(self, subject: str) -> Sequence[Message]:
        """How every job is now."""
        jobs = [job for job in self._jobs.all() if _exists(job) and matches(subject, _events(job))]
        return [_event(job, "job.is", self._clock.wall()) for job in jobs]

    async def send(self, message: Message, sender: Sender) -> int:
        """To the job's input; done when its terminal or pipe has taken it, or it waits there."""
        identity = caller_of(sender).identity
        name = message.subject.split(".")[1] if message.subject.count(".") == 2 else ""
        try:
            found = self._jobs.find(name)
        except HoldfastError:
            found = None
        allow(identity, "jobs.write", found.id if found is not None else "", name)
        if found is None or not message.subject.endswith(".input"):
            raise NotFound(f"nothing can be sent to {message.subject}", kind="subject", name=message.subject)
        params: dict[str, object] = {"session": "", "sequence": 0, "eof": False}
        await self._jobs.call_keeper(found, "keeper.input", params, message.payload)
        return -1

    def _job(self, subject: str, what: str) -> Job:
        words = subject.split(".")
        if len(words) == 3 and words[2] == what:
            job = self._jobs.get(words[1])
            if job is not None and _exists(job):
                return job
        raise NotFound(kind="subject", name=subject)


class _Seen:
    """What sessions were told of a job."""

    __slots__ = ("ended", "marks", "tail")

    def __init__(self, job: Job) -> None:
        self.look(job)

    def look(self, job: Job) -> None:
        """As it is now."""
        self.tail = job.tail
        self.ended = job.output_ended
        self.marks = _marks(job)


def _marks(job: Job) -> tuple[object, ...]:
    info = job.record.info
    return info.state, info.exit_code, info.exit_signal, info.stop_requested


def _exists(job: Job) -> bool:
    """It has been started, and is not removed."""
    return not job.removed and job.record.info.state != "starting"


def _output(job: Job) -> str:
    return f"jobs.{job.id}.output"


def _events(job: Job) -> str:
    return f"jobs.{job.id}.events"


def _info(job: Job) -> SubjectInfo:
    return SubjectInfo(
        subject=_output(job),
        durable=True,
        oldest=job.oldest,
        tail=job.tail,
        stored_bytes=max(0, job.tail - job.oldest - job.hole_bytes),
        ended=job.output_ended,
    )


def _event(job: Job, name: str, wall: float) -> Message:
    info = job.info()
    shown: dict[str, Any] = {"event": name, **{field: getattr(info, field) for field in _SHOWN}}
    return Message(_events(job), json.dumps(shown).encode(), {"content-type": "application/json"}, wall)


def _message(subject: str, piece: Piece) -> Message:
    if isinstance(piece, Hole):
        return _gap(subject, piece.position, piece.end, "lost before it was stored")
    headers = {"stream": "stderr"} if piece.tag == STDERR else {}
    return Message(subject, piece.data, headers, 0.0, piece.position, piece.end)


def _gap(subject: str, start: int, end: int, reason: str) -> Message:
    return Message(subject, b"", {}, 0.0, start, end, "gap", {"reason": reason, "bytes": end - start})
