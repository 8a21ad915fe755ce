"""Who has the deployment: one node at a time.

The newest message of the owner's subject says it.  It is written as all else is, after the last message of its
stream: so it shuts out whoever had the deployment before, whatever he still has on its way, the moment it is stored.
There is no clock in it.  Who wants the deployment asks its holder whether he is there; one who is silent for
``nats_lease_s``, or whose process is known to be dead, loses it.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from typing import NamedTuple

import msgspec
from nats import errors
from nats.aio.msg import Msg
from nats.js.errors import APIError, NoStreamResponseError

from ...errors import BusyError, StorageError
from ...procinfo import process_alive, process_start_time
from .link.connection import Link
from .link.inbox import Sink
from .link.streams import failure, newest, take_over
from .wire import HEADER, Identity, encode_identity

_ASK_S = 0.25
_RETRY_S = 0.05
_TRIES = 20


class Holder(NamedTuple):
    """Who has it."""

    name: str
    """As people are told."""
    place: str
    """The machine and the space of process ids, as long as it runs."""
    pid: int
    started: float
    released: bool = False

    @property
    def is_dead(self) -> bool:
        """Whether its process is known not to run any more."""
        return self.place != "" and self.place == _place() and not process_alive(self.pid, self.started)


def ourselves() -> Holder:
    """This process."""
    pid = os.getpid()
    return Holder(f"pid {pid} on {socket.gethostname()}", _place(), pid, process_start_time(pid))


def _place() -> str:
    """Empty if it cannot be known."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return f"{file.read().strip()} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


class Lease:
    """The right to write, for as long as nobody else takes it."""

    def __init__(self, link: Link) -> None:
        """See :meth:`acquire`."""
        self._link = link
        self._me = ourselves()
        self._ask = link.subject("own", "ask")
        self._taken = link.subject("own", "taken")
        self.epoch = 0
        """Sequence of the message that made us the holder; later holders have higher ones."""
        self.on_lost: Callable[[], None] = lambda: None
        """Called when somebody else says that he has it now; that may be late, or never."""

    @property
    def card(self) -> bytes:
        """What a message that makes us the holder says."""
        return msgspec.json.encode(self._me)

    async def acquire(self, name: str, *, subjects: list[str]) -> int:
        """Become the holder; gives the last sequence of the stream ``name``, the one that matters.

        BusyError(holder) if somebody else is; StorageError.  Takes up to ``nats_lease_s`` if he died elsewhere.
        """
        stream, subject = self._link.stream(name), self._link.subject("own", "logs")
        for _ in range(_TRIES):
            last = await self._wait_for_holder(stream, subject)
            await take_over(self._link, name, subjects=subjects)
            sequence = await self.claim(stream, subject, last, Identity(last + 1, 0))
            if sequence is not None:
                self.epoch = sequence
                await self._announce()
                return sequence
        raise BusyError(f"NATS at {self._link.url}: the deployment {self._link.prefix!r} is being written to")

    async def _wait_for_holder(self, stream: str, subject: str) -> int:
        """Until there is none; gives the stream's last sequence."""
        loop = asyncio.get_running_loop()
        until = loop.time() + self._link.limits.nats_lease_s
        while True:
            holder, last = await self._look(stream, subject)
            if holder is None or holder.released or holder.is_dead:
                return last
            if await self._answers(holder):
                raise BusyError(
                    f"NATS at {self._link.url}: the deployment {self._link.prefix!r} is in use by {holder.name}",
                    holder=holder.name,
                )
            if loop.time() >= until:
                return last
            await asyncio.sleep(_ASK_S)

    async def _look(self, stream: str, subject: str) -> tuple[Holder | None, int]:
        found = await newest(self._link, stream, subject)
        try:
            info = await self._link.js.stream_info(stream)
        except (errors.Error, OSError) as error:
            raise failure(self._link, stream, error) from error
        if found is None:
            return None, info.state.last_seq
        try:
            return msgspec.json.decode(found.data, type=Holder), info.state.last_seq
        except (msgspec.MsgspecError, ValueError) as error:
            raise StorageError(f"NATS at {self._link.url}: {subject} does not say who holds it: {error}") from error

    async def _answers(self, holder: Holder) -> bool:
        try:
            answer = await self._link.nc.request(self._ask, timeout=_ASK_S)
        except (errors.Error, OSError):
            return False
        return answer.data.decode(errors="replace") == holder.name

    async def claim(self, stream: str, subject: str, last: int, identity: Identity) -> int | None:
        """Write that we are the holder after the sequence ``last``; None if somebody was faster.  StorageError."""
        return await self._write(stream, subject, last, identity, self._me)

    async def release(self, stream: str, last: int, identity: Identity) -> None:
        """Write that nobody is; if that fails, the next one has to ask us first."""
        await self._write(stream, self._link.subject("own", "logs"), last, identity, self._me._replace(released=True))

    async def _write(self, stream: str, subject: str, last: int, identity: Identity, holder: Holder) -> int | None:
        headers = {
            "Nats-Expected-Last-Sequence": str(last),
            "Nats-Rollup": "sub",
            HEADER: encode_identity(identity),
        }
        target = self._link.writing(subject)
        try:
            done = await self._link.js.publish(target, msgspec.json.encode(holder), headers=headers, stream=stream)
        except NoStreamResponseError:  # somebody took it over since, or not all servers know yet that we did
            await asyncio.sleep(_RETRY_S)
            return None
        except APIError as error:
            if error.err_code in {10071, 10164}:
                return None
            raise failure(self._link, stream, error) from error
        except (errors.Error, OSError) as error:
            raise failure(self._link, stream, error) from error
        return done.seq

    async def _announce(self) -> None:
        """Tell who had it, and answer who wants it."""
        nc = self._link.nc
        await nc.publish(self._taken, str(self.epoch).encode())
        await nc.subscribe(self._taken, future=Sink(self._hear))
        await nc.subscribe(self._ask, future=Sink(self._reply))

    def _hear(self, message: Msg) -> None:
        if message.data.isdigit() and int(message.data) > self.epoch:
            self.on_lost()

    def _reply(self, message: Msg) -> None:
        if message.reply:
            task = asyncio.ensure_future(self._link.nc.publish(message.reply, self._me.name.encode()))
            self._replying = task
