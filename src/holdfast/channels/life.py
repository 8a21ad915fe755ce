"""The life of channels: made, changed, closed, removed.  Who may do so is decided before."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

import structlog

from ..errors import ChannelExists, HoldfastError, UsageError
from .access import check_subject
from .model import NODE_SENDER
from .state.channel import Channel
from .state.record import NO_LIMITS

if TYPE_CHECKING:
    from typing import Any

    from ..clock import Clock
    from ..limits import Limits
    from .appending.appender import Appender
    from .model import ChannelLimits
    from .reading.audience import Audience
    from .state.directory import ChannelDirectory
    from .state.record import ChannelRecord
    from .state.store import ChannelStore

_logger = structlog.get_logger("holdfast.channels")

ChannelChange = Literal["created", "changed", "moved", "closed", "removed"]
OnChange = Callable[[Channel, ChannelChange], None]


class ChannelLife:
    """What becomes of channels is on disk before it is known.  ``tell`` hears of it then."""

    def __init__(
        self,
        directory: ChannelDirectory,
        store: ChannelStore,
        appender: Appender,
        audience: Audience,
        tell: OnChange,
        *,
        clock: Clock,
    ) -> None:
        self._directory = directory
        self._store = store
        self._appender = appender
        self._audience = audience
        self._tell = tell
        self._clock = clock
        self._creating: dict[tuple[str, str], asyncio.Future[None]] = {}

    async def close(self) -> None:
        """Let what is being made be made."""
        await asyncio.gather(*self._creating.values(), return_exceptions=True)

    # beginnings

    async def create(self, process: str, name: str, record: ChannelRecord, *, missing_ok: bool) -> Channel:
        """A channel of that name, made with ``record``; with ``missing_ok`` the one that is there, as it is.

        Raises ChannelExists, TooManyChannels, StorageError.
        """
        while (other := self._creating.get((process, name))) is not None:
            await asyncio.wait([other])
        found = self._directory.get(process, name)
        if found is not None:
            if not missing_ok:
                raise ChannelExists(name=found.id)
            return found
        self._directory.check_room(process, [of for of, _ in self._creating])
        channel = Channel(process, name, record)
        creating = self._creating[process, name] = asyncio.ensure_future(self._create(channel))
        creating.add_done_callback(lambda _: self._creating.pop((process, name), None))
        await asyncio.shield(creating)
        return channel

    async def _create(self, channel: Channel) -> None:
        await self._store.create(channel)
        self._directory.add(channel)
        self._tell(channel, "created")
        _logger.info("channel.created", channel=channel.id, submitter=channel.submitter, executor=channel.executor)

    # changes

    async def set_executor(self, channel: Channel, executor: str) -> None:
        """Assign it; ChannelClosed if it is too late."""
        channel.check_open()
        await self._change(channel, executor=check_role(executor, "executor") if executor else "")
        self._tell(channel, "changed")

    async def _change(self, channel: Channel, **fields: Any) -> None:
        """Store fields of the record; they are as they were if that fails."""
        before = {name: getattr(channel.record, name) for name in fields}
        channel.record = channel.record.changed(**fields)
        try:
            await self._store.save(channel)
        except HoldfastError:
            channel.record = channel.record.changed(**before)
            raise

    # ends

    async def end(self, channel: Channel) -> None:
        """No more appends, for good.  Idempotent."""
        if not channel.closed:
            await self._change(channel, closed_at=self._clock.wall(), questions=())
            _log_closed(channel)
        await self._store.close(channel)
        self._tell(channel, "closed")

    def closed(self, channel: Channel) -> None:
        """It was closed by an append."""
        _log_closed(channel)
        self._tell(channel, "closed")

    async def remove(self, channel: Channel, reason: str) -> None:
        """Remove it and all its entries; its subscribers are told ``reason``."""
        channel.removed = True
        self._audience.removing(channel, reason)
        try:
            await self._store.delete(channel)
        except HoldfastError:
            channel.removed = False
            raise
        self._directory.remove(channel)
        self._appender.forget(channel)
        self._tell(channel, "removed")
        _logger.info("channel.removed", channel=channel.id, entries=channel.entries, reason=reason)


def _log_closed(channel: Channel) -> None:
    _logger.info("channel.closed", channel=channel.id, entries=channel.entries)


def check_own_limits(own: ChannelLimits, limits: Limits) -> ChannelLimits:
    """``own`` itself; UsageError for one that is negative, or too large to be kept."""
    for name, value, most in (
        ("entries_max", own.entries_max, 1 << 40),
        ("payload_bytes_max", own.payload_bytes_max, limits.channel_batch_bytes_max),
        ("rate_per_s", own.rate_per_s, 1e9),
        ("burst", own.burst, 1_000_000_000),
    ):
        if not 0 <= value <= most:
            raise UsageError(f"{name}: {value} is not within 0 and {most:.0f}", field=name)
    return NO_LIMITS if own == NO_LIMITS else own


def check_role(text: str, field: str) -> str:
    """``text`` itself if it can be a channel's submitter or executor; UsageError if not."""
    if text == NODE_SENDER:
        raise UsageError(f"{field}: {NODE_SENDER!r} is the node itself", field=field)
    return check_subject(text, field)
