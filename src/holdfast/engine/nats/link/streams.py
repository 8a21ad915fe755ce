"""What the engine asks JetStream besides publishing: streams made, messages read, looked for and removed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple, TypeVar

from msgspec.json import decode, encode
from nats import errors
from nats.aio.msg import Msg
from nats.js import api
from nats.js.errors import APIError, NotFoundError, ServiceUnavailableError

from ....errors import StorageError
from ....ids import new_token
from .connection import Link
from .inbox import Sink

T = TypeVar("T")

_BATCH_END = "204"
_NOTHING = "404"
_NOBODY = "503"
_CONTROL = "100"
_INACTIVE_S = 60.0
"""After so long the server forgets that somebody was reading."""
_MESSAGES = 1_024
_BYTES = 4 << 20
_TRIES = 20
_FIRST_TRIES = 4
"""For the first question, which a server without JetStream never answers."""
_LATE_MAX = 3
"""Tries that end without an answer; each takes as long as ``nats_request_s``."""
_AGAIN_S = 0.25
"""Before a question is asked again that nobody could answer."""


class Stored(NamedTuple):
    """A message in a stream."""

    sequence: int
    subject: str
    headers: dict[str, str]
    data: bytes


class State(NamedTuple):
    """How much a stream holds."""

    last: int
    size: int
    """In bytes, as the server counts."""
    messages: int


async def ensure_stream(link: Link, name: str, *, subjects: list[str], **config: Any) -> State:
    """Make the stream if it is not there.  StorageError if that cannot be done, or what is there is another's."""
    wanted = api.StreamConfig(
        name=link.stream(name),
        description=f"Holdfast {link.prefix}",
        subjects=[link.writing(subject) for subject in subjects],
        subject_transform=_stored_as(link),
        storage=api.StorageType.FILE,
        discard=api.DiscardPolicy.NEW,
        num_replicas=link.replicas,
        allow_direct=True,
        **config,
    )
    try:
        try:
            info = await insist(lambda: link.js.stream_info(link.stream(name)), tries=_FIRST_TRIES)
            if info.config.description != wanted.description:
                raise StorageError(f"NATS at {link.url}: stream {wanted.name} is there, and is not Holdfast's")
        except NotFoundError:
            info = await insist(lambda: link.js.add_stream(wanted))
    except (errors.Error, OSError) as error:
        raise failure(link, wanted.name or "", error) from error
    return State(info.state.last_seq, info.state.bytes, info.state.messages)


def _stored_as(link: Link) -> api.SubjectTransform:
    return api.SubjectTransform(src=link.writing(link.subject(">")), dest=link.subject(">"))


async def take_over(link: Link, name: str, *, subjects: list[str]) -> None:
    """Have the stream take from us, and from nobody else.  StorageError.

    It listens to what is sent to our subjects, and stores that under those of the deployment.  What somebody before us
    still has on its way was either stored before, or never will be.  The sequences that messages expect would not do
    for this: of several on their way the first could be refused because ours is in its place, and the next be taken.
    """
    try:
        info = await insist(lambda: link.js.stream_info(link.stream(name)))
        info.config.subjects = [link.writing(subject) for subject in subjects]
        info.config.subject_transform = _stored_as(link)
        await insist(lambda: link.js.update_stream(info.config))
    except (errors.Error, OSError) as error:
        raise failure(link, link.stream(name), error) from error


def failure(link: Link, stream: str, error: Exception) -> StorageError:
    """``error`` of the client's, as ours."""
    if not link.connected:
        return link.away()
    if link.forbidden:
        return StorageError(f"NATS at {link.url}: {link.forbidden}")
    if isinstance(error, APIError) and error.description:
        return StorageError(f"NATS at {link.url}: stream {stream}: {error.description}")
    if isinstance(error, (errors.NoRespondersError, ServiceUnavailableError)):
        return StorageError(f"NATS at {link.url}: JetStream does not answer; is it enabled on the server?")
    if isinstance(error, errors.TimeoutError):
        return StorageError(f"NATS at {link.url}: stream {stream}: no answer in time (nats_request_s)")
    return StorageError(f"NATS at {link.url}: stream {stream}: {error}")


async def insist(ask: Callable[[], Awaitable[T]], *, tries: int = _TRIES) -> T:
    """Ask again if nobody answers: where servers come and go, some questions find nobody for a while."""
    late = 0
    for left in reversed(range(tries)):
        try:
            return await ask()
        except errors.TimeoutError:
            late += 1
            if late >= _LATE_MAX:
                raise
        except (errors.NoRespondersError, ServiceUnavailableError):
            if not left:
                raise
        await asyncio.sleep(_AGAIN_S)
    raise errors.TimeoutError


async def state_of(link: Link, stream: str) -> State:
    """How much it holds now, as its leader knows.  StorageError."""
    try:
        info = await insist(lambda: link.js.stream_info(stream))
    except (errors.Error, OSError) as error:
        raise failure(link, stream, error) from error
    return State(info.state.last_seq, info.state.bytes, info.state.messages)


async def newest(link: Link, stream: str, subject: str) -> Stored | None:
    """The last message of a subject, as the stream's leader knows; None if there is none.  StorageError."""
    try:
        found = await insist(lambda: link.js.get_msg(stream, subject=subject))
    except NotFoundError:
        return None
    except (errors.Error, OSError) as error:
        raise failure(link, stream, error) from error
    return Stored(found.seq or 0, found.subject or "", found.headers or {}, found.data or b"")


async def purge(link: Link, stream: str, subject: str, *, below: int | None = None) -> None:
    """Remove a subject's messages: those before the sequence ``below``, or all.  StorageError."""
    try:
        await link.js.purge_stream(stream, seq=below, subject=subject)
    except (errors.Error, OSError) as error:
        raise failure(link, stream, error) from error


async def remove(link: Link, stream: str, sequence: int) -> None:
    """Remove one message, if it is there.  StorageError.

    The server need not write over it, as it would if nats-py asked.
    """
    question = encode({"seq": sequence, "no_erase": True})
    try:
        answer = await link.nc.request(
            f"$JS.API.STREAM.MSG.DELETE.{stream}", question, timeout=link.limits.nats_request_s
        )
    except (errors.Error, OSError) as error:
        raise failure(link, stream, error) from error
    refusal = decode(answer.data).get("error", {})
    if refusal.get("code") == int(_NOBODY):  # any other says that it is not there
        raise StorageError(f"NATS at {link.url}: stream {stream}: {refusal.get('description', '')}")


async def scan(link: Link, stream: str, subjects: list[str], reach: int) -> list[Stored]:
    """The newest message of each of some subjects without its data, in order, as of the sequence ``reach`` or later.

    That is one of them, and newer than all before it.  StorageError, also if the server that answers is behind.
    """
    found: list[Stored] = []
    for _ in range(_TRIES):
        found = await _scan(link, stream, subjects)
        if found and found[-1].sequence >= reach:
            return found
        await asyncio.sleep(_AGAIN_S)
    raise StorageError(f"NATS at {link.url}: stream {stream}: the server that answers is behind the others")


async def _scan(link: Link, stream: str, subjects: list[str]) -> list[Stored]:
    inbox = f"_INBOX.{new_token()}"
    arrived: asyncio.Queue[Msg] = asyncio.Queue()
    subscription = await link.nc.subscribe(inbox, future=Sink(arrived.put_nowait))
    config = api.ConsumerConfig(
        deliver_subject=inbox,
        deliver_policy=api.DeliverPolicy.LAST_PER_SUBJECT,
        ack_policy=api.AckPolicy.NONE,
        filter_subjects=subjects,
        headers_only=True,
        flow_control=True,
        idle_heartbeat=link.limits.nats_request_s / 2,
        mem_storage=True,
        num_replicas=1,
        inactive_threshold=_INACTIVE_S,
    )
    consumer = ""
    found: list[Stored] = []
    try:
        info = await insist(lambda: link.js.add_consumer(stream, config))
        consumer = info.name
        left = (info.num_pending or 0) + (info.delivered.consumer_seq if info.delivered else 0)
        while left:
            message = await asyncio.wait_for(arrived.get(), link.limits.nats_request_s)
            headers = message.headers or {}
            if headers.get("Status") == _CONTROL:  # it waits for us to say that we are through with what came before
                asks = message.reply or headers.get("Nats-Consumer-Stalled", "")
                if asks:
                    await link.nc.publish(asks)
                continue
            found.append(_delivered(message))
            left = int(message.reply.rsplit(".", 1)[1])
    except (errors.Error, OSError) as error:
        raise failure(link, stream, error) from error
    finally:
        if link.connected:
            await subscription.unsubscribe()
            if consumer:
                await _end(link, stream, consumer)
    return found


async def _end(link: Link, stream: str, consumer: str) -> None:
    try:
        await link.js.delete_consumer(stream, consumer)
    except (errors.Error, OSError):
        pass  # it goes by itself when it was idle for a while


def _delivered(message: Msg) -> Stored:
    """From the subject of its acknowledgement: ``$JS.ACK.<stream>.<consumer>.<n>.<stream sequence>.…``."""
    return Stored(int(message.reply.split(".")[-4]), message.subject, message.headers or {}, message.data)


class Direct:
    """Reads a stream's messages of one subject, many with one question, from whichever server is nearest."""

    def __init__(self, link: Link, stream: str) -> None:
        """See :meth:`open`."""
        self._link = link
        self._stream = stream
        self._subject = f"$JS.API.DIRECT.GET.{stream}"
        self._inbox = f"_INBOX.{new_token()}"
        self._numbers = 0
        self._asked: dict[str, _Answer] = {}

    async def open(self) -> None:
        """Begin; before anything else."""
        await self._link.nc.subscribe(f"{self._inbox}.*", future=Sink(self._receive))

    def _receive(self, message: Msg) -> None:
        answer = self._asked.get(message.subject)
        if answer is not None:
            answer.receive(message)

    async def read(self, subject: str, sequence: int, *, messages: int, max_bytes: int) -> list[Stored]:
        """So many messages of ``subject`` from ``sequence`` on, in about ``max_bytes``, at least one.  StorageError."""
        question: dict[str, object] = {"seq": max(sequence, 1), "next_by_subj": subject}
        if messages > 1:
            question |= {"batch": messages, "max_bytes": max_bytes}
        try:
            return await insist(lambda: self._ask(encode(question), single=messages == 1))
        except (errors.Error, OSError) as error:
            raise failure(self._link, self._stream, error) from error

    async def read_all(self, subject: str, last: int) -> list[Stored]:
        """All messages of ``subject`` up to the sequence ``last``, which is one of them.  StorageError."""
        found: list[Stored] = []
        at, tries = 1, _TRIES
        while at <= last:
            part = await self.read(subject, at, messages=_MESSAGES, max_bytes=_BYTES)
            found += part
            if part:
                at = part[-1].sequence + 1
            elif tries:
                tries -= 1
                await asyncio.sleep(_AGAIN_S)  # the server that answered is behind the others
            else:
                raise StorageError(f"NATS at {self._link.url}: stream {self._stream}: message {last} is not there")
        return found

    async def _ask(self, question: bytes, *, single: bool) -> list[Stored]:
        self._link.check()
        self._numbers += 1
        inbox = f"{self._inbox}.{self._numbers}"
        answer = self._asked[inbox] = _Answer(single=single)
        try:
            await self._link.nc.publish(self._subject, question, reply=inbox)
            while not answer.complete.done():
                got = len(answer.found)
                await asyncio.wait({answer.complete}, timeout=self._link.limits.nats_request_s)
                if not answer.complete.done() and len(answer.found) == got:
                    raise errors.TimeoutError
            answer.complete.result()
        finally:
            del self._asked[inbox]
        return answer.found


class _Answer:
    """What came for one question."""

    __slots__ = ("complete", "found", "single")

    def __init__(self, *, single: bool) -> None:
        self.found: list[Stored] = []
        self.complete: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.single = single

    def receive(self, message: Msg) -> None:
        headers = message.headers or {}
        status = headers.get("Status")
        if self.complete.done():
            return
        if status is None:
            self.found.append(Stored(int(headers["Nats-Sequence"]), headers["Nats-Subject"], headers, message.data))
            if self.single:
                self.complete.set_result(None)
        elif status in {_BATCH_END, _NOTHING}:
            self.complete.set_result(None)
        elif status == _NOBODY:
            self.complete.set_exception(errors.NoRespondersError())
        else:
            self.complete.set_exception(errors.Error(f"{status} {headers.get('Description', '')}".strip()))
