"""Channels in the engine: each is one log of runs, with its record as the log's ``meta``."""

from __future__ import annotations

from sys import intern
from typing import TYPE_CHECKING, NamedTuple, cast

from ...engine.base import Packed
from ...errors import AlreadyExists, ChannelExists, ChannelNotFound, NotFound
from .channel import Channel
from .record import PREFIX, decode_record, encode_record, log_name

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable

    from ...engine.base import Engine, LogStat, Producer
    from ..model import Ack
    from .record import ChannelRecord


class Stored(NamedTuple):
    """A channel's log as it stands."""

    record: ChannelRecord
    oldest: int
    next_index: int
    stored_bytes: int


class ChannelStore:
    """Everything is durable on return, appends as their ``ack`` says."""

    def __init__(self, engine: Engine) -> None:
        self._log = engine.log

    async def load_all(self) -> list[Channel]:
        """Every stored channel, cold.  CorruptionError for one that cannot be read."""
        return [_channel_of(stat) for stat in await self._log.list(PREFIX)]

    async def create(self, channel: Channel) -> None:
        """Make its log; ChannelExists if there is one."""
        try:
            await self._log.create(_log_of(channel), mode="runs", meta=encode_record(channel.record))
        except AlreadyExists as error:
            raise ChannelExists(name=channel.id) from error

    async def save(self, channel: Channel) -> None:
        """Store the record as it is now."""
        await self._log.annotate(_log_of(channel), encode_record(channel.record))

    def append(
        self,
        channel: Channel,
        index: int,
        blob: bytes,
        entries: int,
        ack: Ack,
        record: ChannelRecord | None,
        *,
        producer: Producer | None = None,
        close: bool = False,
    ) -> Awaitable[int]:
        """Append ``blob`` at ``index``, which must be the tail, and with ``record`` the record, all or nothing.

        It has its place when this is called.
        """
        return self._log.append(
            _log_of(channel),
            blob,
            count=entries,
            expected_tail=index,
            ack=ack,
            meta=None if record is None else encode_record(record),
            producer=producer,
            close=close,
        )

    async def close(self, channel: Channel) -> None:
        """No more appends; followers end after the last entry."""
        await self._log.close(_log_of(channel))

    async def trim(self, channel: Channel, index: int) -> None:
        """Forget the entries below ``index``."""
        await self._log.trim(_log_of(channel), index)

    async def delete(self, channel: Channel) -> None:
        """Remove all of it; nothing happens if that is done already."""
        try:
            await self._log.delete(_log_of(channel))
        except NotFound:
            pass

    async def stat(self, channel: Channel) -> Stored:
        """What is stored now.  ChannelNotFound if it was removed."""
        try:
            stat = await self._log.stat(_log_of(channel))
        except NotFound as error:
            raise ChannelNotFound(name=channel.id) from error
        return Stored(decode_record(stat.name, stat.meta), stat.oldest, stat.tail, stat.stored_bytes)

    async def read(self, channel: Channel, index: int, max_bytes: int) -> list[Packed]:
        """What can be read at ``index`` and after; the first piece may begin below; [] at the tail.

        Gone(oldest) below the oldest entry, ChannelNotFound if it was removed.
        """
        try:
            return cast("list[Packed]", await self._log.read(_log_of(channel), index, max_bytes=max_bytes))
        except NotFound as error:
            raise ChannelNotFound(name=channel.id) from error

    def follow(self, channel: Channel, index: int, max_bytes: int) -> AsyncIterator[list[Packed]]:
        """:meth:`read` without end, waiting at the tail; it ends with a closed channel.  Raises NotFound, Gone.

        NotFound at once for a channel that was removed: there may be another of its name by now.
        """
        if channel.removed:
            raise ChannelNotFound(name=channel.id)
        return cast("AsyncIterator[list[Packed]]", self._log.follow(_log_of(channel), index, max_bytes=max_bytes))


def _log_of(channel: Channel) -> str:
    return log_name(channel.process, channel.name)


def _channel_of(stat: LogStat) -> Channel:
    process, _, name = stat.name.removeprefix(PREFIX).rpartition("/")
    record = decode_record(stat.name, stat.meta)
    return Channel(intern(process), intern(name), record, oldest=stat.oldest, next_index=stat.tail)
