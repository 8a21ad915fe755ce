"""A participant and its store, for tests: started, stopped and started again on what it left behind."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from ..engine.base import Engine
from .events import Event, MessageReady
from .model import Dialect, HistoryEntry, Message, Unwrapped
from .peer import SyncPeer
from .persistence.base import ChannelData, Persistence
from .persistence.engine import EnginePersistence
from .persistence.faulty import FaultyPersistence, faulty
from .persistence.memory import MemoryPersistence
from .persistence.snapshot import ChannelMeta, decode_meta
from .profiles import LAN, Profile
from .saver import Saver
from .wire import Wire

CHANNEL = "testChannel"
NOW_S = 1_700_000_000.0


def message(
    message_id: str,
    lamport: int,
    after: Sequence[str] = (),
    *,
    sender: str = "bob",
    content: bytes | None = None,
    channel: str = CHANNEL,
    asks_for: Sequence[HistoryEntry] = (),
    bloom: bytes = b"",
    dialect: Dialect = "spec",
) -> bytes:
    """The bytes of somebody's message."""
    made = Message(
        message_id,
        channel,
        lamport,
        message_id.encode() if content is None else content,
        sender,
        tuple([HistoryEntry(name) for name in after]),
        bloom,
        tuple(asks_for),
    )
    return Wire(dialect).encode(made)


class SyncRoom:
    """``alice``, her channel and her store.  Each operation is followed by a flush, as a shell does it.

    ``open_engine`` makes an engine on always the same storage; None: the store is in memory.
    """

    def __init__(self, open_engine: Callable[[], Engine] | None = None, profile: Profile = LAN) -> None:
        self._open_engine = open_engine
        self._memory = MemoryPersistence()
        self._engine: Engine | None = None
        self.profile = profile
        self.now = NOW_S
        self.peer = SyncPeer("alice", profile=profile)
        self.store: FaultyPersistence = faulty(self._memory)
        self.saver = Saver(self.peer, self.store)
        self.heard: list[Event] = []

    async def __aenter__(self) -> Self:
        await self._start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._engine is not None:
            await self._engine.stop()

    async def _start(self) -> None:
        persistence: Persistence = self._memory
        if self._open_engine is not None:
            self._engine = self._open_engine()
            await self._engine.start()
            persistence = EnginePersistence(self._engine, "alice")
        self.store = faulty(persistence)
        self.peer = SyncPeer("alice", profile=self.profile)
        self.saver = Saver(self.peer, self.store)
        self.heard = []

    async def restart(self) -> None:
        """A new participant and a new store on what the old ones left behind."""
        self.peer.cleanup()
        if self._engine is not None:
            await self._engine.stop()
        await self._start()

    # operations, each with the save at its end

    async def ensure(self, channel: str = CHANNEL) -> bool:
        made = await self.saver.ensure(channel, self.now)
        self.heard += self.peer.events()
        return made

    async def wrap(self, message_id: str, content: bytes = b"\1", channel: str = CHANNEL) -> bytes:
        data = self.peer.wrap(channel, content, self.now, message_id)
        await self.flush()
        return data

    async def unwrap(self, data: bytes) -> Unwrapped:
        unwrapped = self.peer.unwrap(data, self.now)
        await self.flush()
        return unwrapped

    async def mark_met(self, *message_ids: str) -> None:
        self.peer.mark_dependencies_met(CHANNEL, message_ids, self.now)
        await self.flush()

    async def later(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds
        self.peer.handle_timer(self.now)
        await self.flush()

    async def flush(self) -> None:
        await self.saver.flush()
        self.heard += self.peer.events()

    # what can be seen

    async def stored(self, channel: str = CHANNEL) -> ChannelData:
        """What is stored, read past the failures that were asked for."""
        data = await self.store.inner.load_channel(channel)
        assert isinstance(data, ChannelData), data
        return data

    async def meta(self, channel: str = CHANNEL) -> ChannelMeta:
        """The stored snapshot."""
        return decode_meta((await self.stored(channel)).meta)

    async def outgoing(self) -> set[str]:
        """The ids of our unacknowledged messages, as stored."""
        return {sent.message_id for sent in (await self.meta()).outgoing}

    async def log(self, channel: str = CHANNEL) -> list[str]:
        """The ids of the stored history."""
        return [item.message_id for item in (await self.stored(channel)).history]

    def delivered(self) -> list[str]:
        """The ids of the messages that became ready, in order."""
        return [event.message_id for event in self.heard if isinstance(event, MessageReady)]

    def history(self) -> list[str]:
        """The ids of the history in memory, in the agreed order."""
        return [one.message_id for one in self.peer.log(CHANNEL)]
