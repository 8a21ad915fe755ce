"""Batches of which all is stored or nothing, and what has to be stored with them in the same step."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, NamedTuple

from ...errors import HoldfastError
from .admission import Admission, admit

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from ...engine.base import Producer
    from ..packing import Batch
    from ..state.channel import Bounds, Channel
    from ..state.senders import Senders
    from ..state.store import ChannelStore
    from .appender import Appender

Spawn = Callable[[Coroutine[Any, Any, None], str], "asyncio.Task[None]"]

_NOTHING = Admission(b"", 0, 0, 0)


class Terms(NamedTuple):
    """What is asked for beside the batch."""

    close: bool = False
    producer: Producer | None = None
    """Its next append; who asks has seen to that, and that nothing of the same producer comes between."""
    order: str | None = None
    """The writers' own order; who asks has seen that it grows."""


class Placed(NamedTuple):
    """An append that has its place in the log."""

    last_index: int
    """Of the channel, after it."""
    stored: asyncio.Task[None]
    """Done when it is on disk; raises if it could not be stored.  Not to be cancelled: shield it."""


class WholeBatches:
    """Appends them.  ``spawn`` owns what goes on behind; ``on_closed`` is told of channels that were closed so."""

    def __init__(
        self, store: ChannelStore, appender: Appender, spawn: Spawn, on_closed: Callable[[Channel], None]
    ) -> None:
        self._store = store
        self._appender = appender
        self._spawn = spawn
        self._on_closed = on_closed

    async def place(self, channel: Channel, data: bytes, sender: str, terms: Terms) -> Placed:
        """Append the batch ``data``, which may be empty, if all of it can be; back when it has its place.

        Raises the error of the first draft that is refused, ChannelClosed, RateLimited, MessageTooLarge, UsageError;
        nothing was stored then.
        """
        bounds = None
        if data:
            batch, bounds = self._appender.take_in(channel, data)
            admission = await self._admit(channel, bounds, sender, batch)
        else:
            await self._appender.ready(channel)
            admission = _NOTHING
        return self._submit(channel, self._with_record(channel, admission, terms), terms, bounds)

    async def _admit(self, channel: Channel, bounds: Bounds, sender: str, batch: Batch) -> Admission:
        compared: set[int] = set()
        while True:
            await self._appender.ready(channel)
            edge = channel.next_index
            admission = admit(channel, bounds, sender, batch, self._appender.timestamp(channel), whole=compared)
            for _, error in admission.refused:
                raise error
            unsure = [pair for pair in admission.repeats if pair[1] < edge and pair[0] not in compared]
            if not unsure:
                return admission
            for position, index in unsure:
                await self._appender.compare(channel, sender, batch, position, index)
                compared.add(position)

    def _with_record(self, channel: Channel, admission: Admission, terms: Terms) -> Admission:
        changes: dict[str, Any] = {}
        if terms.order is not None:
            changes["order"] = terms.order
        if terms.close:
            changes.update(closed_at=self._appender.timestamp(channel), closed_by=terms.producer, questions=())
        if changes:
            channel.record = channel.record.changed(**changes)
            admission = admission._replace(record=channel.record)
        if admission.record is not None:
            self._appender.on_questions(channel)
        return admission

    def _submit(self, channel: Channel, admission: Admission, terms: Terms, bounds: Bounds | None) -> Placed:
        index = channel.next_index - admission.entries
        stored = self._store.append(
            channel,
            index,
            admission.blob,
            admission.entries,
            "disk",
            admission.record,
            producer=terms.producer,
            close=terms.close,
        )
        task = self._spawn(self._settle(channel, channel.senders, admission, stored), "channel-append")
        if bounds is not None:
            task.add_done_callback(lambda _: self._appender.trim_if_over(channel, bounds))
        task.add_done_callback(_see)
        return Placed(channel.next_index - 1, task)

    async def _settle(
        self, channel: Channel, senders: Senders | None, admission: Admission, stored: Awaitable[int]
    ) -> None:
        try:
            await self._appender.settle(channel, senders, admission, stored)
            if any(index <= channel.weak_index for _, index in admission.repeats):
                await self._store.save(channel)
        except HoldfastError:
            if admission.record is not None and not channel.removed:
                await self._fall_back(channel)
            raise
        if admission.record is not None and admission.record.closed_at:
            self._on_closed(channel)

    async def _fall_back(self, channel: Channel) -> None:
        """What was not stored is not so: the record is what the log says it is."""
        there = (await self._store.stat(channel)).record
        channel.record = channel.record.changed(
            order=there.order, closed_at=there.closed_at, closed_by=there.closed_by, questions=there.questions
        )


def _see(task: asyncio.Task[None]) -> None:
    """Whoever waited for it may have left; the error is no news then."""
    if not task.cancelled():
        task.exception()
