"""For tests: a router on any engine under a clock that stands still, and listeners that read or do not."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from ..clock import VirtualClock
from ..errors import HoldfastError
from ..limits import LIMITS, Limits
from ..rpc.failures import decode_failure
from ..streams import Chunk, End, Failed, Reader
from .access import Owner
from .router import ChannelRouter
from .unpacking import Entry, RunReader, iter_entries

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Any, Self

    from ..engine.base import Engine
    from ..streams import OutputSender
    from .access import Caller

TURNS = 100_000
"""A wait that takes so many turns of the loop waits for nothing."""


class ChannelRoom:
    """A router and its engine.  ``async with`` it; :meth:`restart` is a node that went and came again."""

    def __init__(self, make_engine: Callable[[], Engine], limits: Limits = LIMITS) -> None:
        self._make_engine = make_engine
        self._limits = limits
        self.clock = VirtualClock()
        self.owner = Owner("local:0")
        self.engine: Engine
        self.router: ChannelRouter

    async def __aenter__(self) -> Self:
        self.engine = self._make_engine()
        await self.engine.start()
        self.router = ChannelRouter(self.engine, clock=self.clock, limits=self._limits)
        await self.router.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.router.close()
        await self.engine.stop()

    async def restart(self) -> None:
        """Stop, and begin again on what is stored."""
        await self.__aexit__(None, None, None)
        await self.__aenter__()

    async def entries(self, channel: str, **options: Any) -> list[Entry]:
        """What reading the channel gives."""
        return list(iter_entries(await self.router.read(self.owner, channel, **options)))

    async def listen(
        self,
        channel: str,
        *,
        caller: Caller | None = None,
        frozen: bool = False,
        window_bytes: int = 65_536,
        **options: Any,
    ) -> Listener:
        """Subscribe; a ``frozen`` listener reads nothing until it is thawed."""
        listener = Listener(frozen=frozen, window_bytes=window_bytes)
        await self.router.subscribe(caller or self.owner, channel, listener, 1, **options)
        return listener


class Listener:
    """Both ends of one subscription's stream, without a connection between them."""

    def __init__(self, *, frozen: bool = False, window_bytes: int = 65_536) -> None:
        self.entries: list[Entry] = []
        self.ended = False
        """The channel ended."""
        self.error: HoldfastError | None = None
        """Why the subscription failed."""
        self.frozen = frozen
        self._reader = Reader(1, window_bytes=window_bytes)
        self._runs = RunReader()
        self._sender: OutputSender | None = None
        self._on_moved: Callable[[], None] | None = None
        self._due = False

    def attach_sender(self, sender: OutputSender, on_moved: Callable[[], None] | None = None) -> None:
        """See :class:`holdfast.channels.reading.subscription.Carrier`."""
        self._sender, self._on_moved = sender, on_moved
        self._reader.start()
        self._pump_soon()

    def sender_ready(self, stream_id: int) -> None:
        """See :class:`holdfast.channels.reading.subscription.Carrier`."""
        self._pump_soon()

    def flush(self) -> None:
        """See :class:`holdfast.channels.reading.subscription.Carrier`."""
        self._pump_soon()

    @property
    def last_index(self) -> int:
        """The newest entry it has."""
        return self.entries[-1].index if self.entries else 0

    @property
    def over(self) -> bool:
        """Nothing more comes."""
        return self.ended or self.error is not None

    def thaw(self) -> None:
        """Read from now on."""
        self.frozen = False
        self._pump_soon()

    def leave(self) -> None:
        """Stop reading, as a client that closes its stream."""
        self._reader.close()
        self._exchange()

    def cut(self) -> None:
        """The link breaks."""
        sender, self._sender = self._sender, None
        if sender is not None:
            sender.disconnect()
            self._moved()

    async def until(self, condition: Callable[[Listener], bool]) -> Listener:
        """Let the loop turn until ``condition`` holds of this listener."""
        await until(lambda: condition(self))
        return self

    def _pump_soon(self) -> None:
        if not self._due:
            self._due = True
            asyncio.get_running_loop().call_soon(self._pump)

    def _pump(self) -> None:
        self._due = False
        if not self.frozen:
            self._exchange()

    def _exchange(self) -> None:
        sender, reader = self._sender, self._reader
        if sender is None:
            return
        moving = True
        while moving:
            moving = False
            while (ack := reader.next_ack()) is not None:
                sender.receive_ack(ack, 0.0)
                moving = True
            if moving:
                self._moved()
            while sender.stream_id is not None and (packet := sender.next_packet(0.0)) is not None:
                reader.receive_data(packet, 0.0)
                moving = True
            while (item := reader.read()) is not None:
                self._take(item)
                moving = True
                if reader.finished:
                    break

    def _take(self, item: object) -> None:
        if isinstance(item, Chunk):
            self.entries += iter_entries(self._runs.feed(bytes(item.data)))
        elif isinstance(item, Failed):
            self.error = decode_failure(item.error, self.last_index)
        else:
            assert isinstance(item, End), item
            self.ended = True

    def _moved(self) -> None:
        if self._on_moved is not None:
            self._on_moved()


async def until(condition: Callable[[], object]) -> None:
    """Let the loop turn until ``condition`` holds; other threads get a little time, too."""
    for turn in range(TURNS):
        if condition():
            return
        await asyncio.sleep(0 if turn < 1000 else 0.001)
    raise AssertionError("never came true")


async def error_of(work: Awaitable[object]) -> HoldfastError:
    """The error that ``work`` ends with."""
    try:
        result = await work
    except HoldfastError as error:
        return error
    raise AssertionError(f"no error, but {result!r}")
