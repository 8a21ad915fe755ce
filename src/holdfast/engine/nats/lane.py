"""The writer of one stream: takes what is queued, has it packed into messages, and sees to it that they are stored.

What is not known to have failed is tried until it is known: after a cut connection, an answer that does not come or
a server that restarts, the stream itself is asked how far it got, and the rest is sent again.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from msgspec import DecodeError
from msgspec.json import decode
from nats import errors
from nats.aio.msg import Msg
from nats.js.errors import NotFoundError

from ...errors import HoldfastError, StorageError
from ...ids import new_token
from ..histogram import COMMIT_S, Histogram
from ..state import Operation
from .chain import Chain, Flight, Message
from .link.connection import Link
from .link.inbox import Sink
from .wire import HEADER, Identity, decode_identity

_WRONG_LAST = (10071, 10164)
_FULL = (10023, 10028, 10047, 10077, 10110)
"""Codes of errors that say that there is no room; the server gives some of them as if they were passing."""
_PASSING = 503
_EXPECTED = "Nats-Expected-Last-Sequence"
_UNHEARD_S = 0.05
"""Before sending again what nobody was there to take."""
FLIGHTS_MAX = 256
"""Messages on their way at once; more are packed together instead."""


class Packer(Protocol):
    """Whose queue it is."""

    async def pack(self) -> None:
        """Take from the front of the queue what goes together, and send it off as flights."""
        ...

    def settled(self, operations: Sequence[Operation]) -> None:
        """They are stored."""
        ...

    def failed(self, operations: Sequence[Operation], error: HoldfastError) -> None:
        """They are not, and will not be."""
        ...


class Lane:
    """A stream with one writer, this.  Everything happens on the event loop."""

    def __init__(self, link: Link, stream: str) -> None:
        """See :meth:`start`."""
        self.queue: deque[Operation] = deque()
        self.stream = stream
        self.chain = Chain(0)
        self.epoch = 0
        self.broken: StorageError | None = None
        """Why nothing is stored any more, until the engine is started again."""
        self.hold = False
        """Pack nothing until all that is on its way is stored."""
        self.discard: Callable[[range], None] = lambda sequences: None
        """Told of parts that were stored of what then was not."""
        self.on_lost: Callable[[], None] = lambda: None
        """Called when somebody else is found to write here."""
        self.commit_s = Histogram(COMMIT_S)
        """How long what was sent took to be stored."""
        self._link = link
        self._packer: Packer
        self._inbox = f"_INBOX.{new_token()}"
        self._numbers = 0
        self._waiter: asyncio.Future[None] | None = None
        self._doubt = False
        self._unheard = False
        self._refused: tuple[Flight, StorageError] | None = None
        self._tries = 0
        self._seen = 0
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        self._stopping = False
        self._loop = asyncio.get_running_loop()

    async def start(self, packer: Packer, *, settled: int, epoch: int) -> None:
        """Begin to write after the sequence ``settled``, as the holder who has the lease since ``epoch``."""
        self._packer = packer
        self.chain = Chain(settled)
        self._seen = settled
        self.epoch = epoch
        await self._link.nc.subscribe(f"{self._inbox}.*.*", future=Sink(self._receive))
        self._link.on_reconnected.append(self._reconnected)
        self._timer = self._loop.call_later(self._link.limits.nats_request_s, self._watch)
        self._task = self._loop.create_task(self._main())

    def submit(self, operation: Operation) -> None:
        """Queue it."""
        self.queue.append(operation)
        if self._waiter is not None:
            self._wake()

    def flight(self, messages: list[Message]) -> Flight:
        """What is to be sent next; the messages' stamps are of :attr:`next_identity` and :attr:`next_sequence`."""
        self._numbers += 1
        return Flight(self.chain.next_sequence, self._numbers, messages)

    @property
    def next_identity(self) -> Identity:
        """What the messages of the next flight say they are."""
        return Identity(self.epoch, self._numbers + 1)

    async def send(self, flight: Flight) -> None:
        """Send it off."""
        self.chain.add(flight)
        flight.sends = 1
        flight.sent_at = self._loop.time()
        for number, message in enumerate(flight.messages):
            await self._publish(flight.first + number, message)

    def attach(self, operation: Operation) -> None:
        """``operation`` needs no message: it is done when all before it is."""
        if self.chain.flights:
            self.chain.flights[-1].operations.append(operation)
        else:
            self._packer.settled([operation])

    async def stop(self, timeout_s: float) -> None:
        """Wait until all is stored, for ``timeout_s`` at most, and end; what is not stored then fails."""
        self._stopping = True
        self._wake()
        if self._task is not None:
            _, late = await asyncio.wait({self._task}, timeout=timeout_s)
            if late:
                self._break(
                    StorageError(
                        f"NATS at {self._link.url}: the engine was stopped before it was known what was stored: "
                        f"{self._link.away().message}"
                    )
                )
                await self._task
        if self._timer is not None:
            self._timer.cancel()
        if self._reconnected in self._link.on_reconnected:
            self._link.on_reconnected.remove(self._reconnected)

    def break_off(self, error: StorageError) -> None:
        """Somebody else writes now: nothing more of ours will be stored."""
        self._break(error)
        self._wake()

    # -- sending ----------------------------------------------------------------------------------------------

    async def _publish(self, sequence: int, message: Message) -> None:
        headers = {_EXPECTED: str(sequence - 1)}
        if message.stamp:
            headers[HEADER] = message.stamp
        if message.rollup:
            headers["Nats-Rollup"] = "sub"
        try:
            await self._link.nc.publish(
                self._link.writing(message.subject),
                message.data,
                reply=f"{self._inbox}.{self.chain.round}.{sequence}",
                headers=headers,
            )
        except (errors.Error, OSError):
            self._doubt = True

    async def _main(self) -> None:
        while True:
            if self.broken is not None:
                self._fail_all(self.broken)
                if self._stopping:
                    return
                await self._wait()
            elif self._refused is not None and not self._doubt:
                self._fail_first(*self._refused)
            elif self._doubt:
                await self._resolve()
            elif self.queue and self._link.connected and self._has_window():
                await self._pack()
            elif self._stopping and not self.queue and not self.chain.flights:
                return
            else:
                await self._wait()

    async def _pack(self) -> None:
        try:
            await self._packer.pack()
        except Exception as error:  # noqa: BLE001 - a mistake of ours: waiters get it, rather than wait for a dead task
            self._break(StorageError(f"NATS at {self._link.url}: the writer failed: {error!r}; restart the engine"))

    def _has_window(self) -> bool:
        if self.hold:
            self.hold = bool(self.chain.flights)
            return not self.hold
        return len(self.chain.flights) < FLIGHTS_MAX and self.chain.size < self._link.limits.nats_window_bytes

    async def _wait(self, timeout_s: float | None = None) -> None:
        """Until something happened."""
        self._waiter = waiter = self._loop.create_future()
        try:
            if timeout_s is None:
                await waiter
            else:
                await asyncio.wait({waiter}, timeout=timeout_s)
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # -- answers ----------------------------------------------------------------------------------------------

    def _receive(self, answer: Msg) -> None:
        """What became of one message."""
        round_text, _, sequence_text = answer.subject[len(self._inbox) + 1 :].partition(".")
        if int(round_text) != self.chain.round:
            return
        try:
            body: dict[str, Any] = decode(answer.data)
        except DecodeError:  # nobody is there to take it: the stream has no leader, or JetStream is not up yet
            self._doubt = self._unheard = True
            self._wake()
            return
        error = body.get("error")
        if error is None:
            self._settle(body["seq"])
        else:
            self._receive_error(int(sequence_text), error)
        self._wake()

    def _settle(self, sequence: int) -> None:
        self._tries = 0
        now = self._loop.time()
        for flight in self.chain.receive_stored(sequence):
            self.commit_s.observe(now - flight.sent_at)
            if flight.settle is not None:
                flight.settle()
            self._packer.settled(flight.operations)

    def _receive_error(self, sequence: int, error: dict[str, Any]) -> None:
        code = error.get("err_code", 0)
        flights = self.chain.flights
        if not flights or sequence > flights[0].last:
            return  # because of one before it, whose answer tells why
        if code in _WRONG_LAST or (error.get("code") == _PASSING and code not in _FULL):
            self._doubt = True
            return
        self._refused = flights[0], self.refusal(error.get("description", f"error {code}"))
        if flights[0].sends > 1:
            self._doubt = True  # the first time it may have been stored

    def refusal(self, why: str) -> StorageError:
        """That the servers do not take something."""
        return StorageError(f"NATS at {self._link.url}: stream {self.stream}: {why}")

    def _reconnected(self) -> None:
        self._doubt = True
        self._wake()

    def _watch(self) -> None:
        """Nothing was stored for a while: find out why."""
        self._timer = self._loop.call_later(self._link.limits.nats_request_s, self._watch)
        if self.chain.flights and self.chain.settled == self._seen:
            self._doubt = True
            self._wake()
        self._seen = self.chain.settled

    # -- failing ----------------------------------------------------------------------------------------------

    def _fail_first(self, refused: Flight, error: StorageError) -> None:
        """The first flight is refused for good; those behind it are so for now, and go back into the queue."""
        self._refused = None
        if not self.chain.flights or self.chain.flights[0] is not refused:
            return
        first, *others = self._give_up()
        if first.first <= self.chain.settled:
            self.discard(range(first.first, self.chain.settled + 1))
        for flight in reversed(others):
            self.queue.extendleft(reversed(flight.operations))
        self._packer.failed(first.operations, error)

    def _give_up(self) -> list[Flight]:
        flights = self.chain.give_up()
        for flight in reversed(flights):
            if flight.undo is not None:
                flight.undo()
        return flights

    def _fail_all(self, error: StorageError) -> None:
        operations = [operation for flight in self._give_up() for operation in flight.operations]
        operations += self.queue
        self.queue.clear()
        if operations:
            self._packer.failed(operations, error)

    def _break(self, error: StorageError) -> None:
        if self.broken is None:
            self.broken = error
        self._wake()

    # -- finding out ------------------------------------------------------------------------------------------

    async def _resolve(self) -> None:
        """Ask the stream how far it got; send the rest again."""
        if not self._link.connected:
            await self._wait(self._link.limits.nats_reconnect_s)
            return
        if self._unheard:
            self._unheard = False
            await asyncio.sleep(_UNHEARD_S)
        self._doubt = False
        before = self.chain.settled
        try:
            last = await self._last_sequence()
            if last > self.chain.settled:
                await self._check_ours(last)
        except (errors.Error, OSError):
            await self._try_later()
            return
        if last < before:
            self._break(self.refusal(f"has lost what it acknowledged: message {before}, the last now is {last}"))
        if self.broken is None:
            self._settle(last)
            flights = self.chain.flights
            if self._refused is None or not flights or flights[0] is not self._refused[0]:
                self._refused = None
                for sequence, message in self.chain.resend():
                    await self._publish(sequence, message)

    async def _last_sequence(self) -> int:
        try:
            info = await self._link.js.stream_info(self.stream)
        except NotFoundError:
            self._break(self.refusal("is not there any more"))
            raise
        return info.state.last_seq

    async def _check_ours(self, last: int) -> None:
        found = await self._link.js.get_msg(self.stream, seq=last)
        stamp = (found.headers or {}).get(HEADER)
        epoch, number = decode_identity(stamp, found.data or b"", f"{self.stream}, message {last}")
        flight = self.chain.holding(last)
        if epoch != self.epoch:
            self._break(taken_over(self._link.url, self._link.prefix))
            self.on_lost()
        elif flight is None or flight.number != number:
            self._break(self.refusal(f"message {last} is not the one that was sent"))

    async def _try_later(self) -> None:
        """The servers are there and do not answer: wait a little, now and then on a new connection."""
        self._doubt = True
        self._tries += 1
        if self._tries % 3 == 0:
            await self._link.reconnect()
        await self._wait(self._link.limits.nats_reconnect_s)


def taken_over(url: str, prefix: str) -> StorageError:
    """That another node has the deployment."""
    return StorageError(f"NATS at {url}: another node has taken over the deployment {prefix!r}; this one cannot write")
