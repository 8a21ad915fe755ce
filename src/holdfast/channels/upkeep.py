"""What happens to channels by itself, with time: questions expire, and closed channels go after their retention."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING

import structlog

from ..errors import HoldfastError
from .appending.admission import Admission
from .appending.control import encode_expiry
from .model import NODE_SENDER
from .unpacking import cut_runs, iter_entries

if TYPE_CHECKING:
    from ..clock import Clock
    from ..limits import Limits
    from .appending.appender import Appender
    from .state.channel import Channel
    from .state.record import Question
    from .state.store import ChannelStore

_logger = structlog.get_logger("holdfast.channels")

_LOOK_S = 60.0
"""How often the clock is looked at when nothing is due, so that one that was set counts."""
_AGAIN_S = 1.0
"""Pause before something is tried again that could not be stored."""


class Upkeep:
    """One task of the router: sleeps until something is due.  ``remove(channel, reason)`` removes a channel."""

    def __init__(
        self,
        channels: Iterable[Channel],
        store: ChannelStore,
        appender: Appender,
        remove: Callable[[Channel, str], Awaitable[None]],
        *,
        clock: Clock,
        limits: Limits,
    ) -> None:
        self._channels = channels
        self._store = store
        self._appender = appender
        self._remove = remove
        self._clock = clock
        self._limits = limits
        self._asked: set[Channel] = set()
        self._woken = asyncio.Event()
        self._stepping = asyncio.Lock()

    def note(self, channel: Channel) -> None:
        """The channel's open questions have changed."""
        if _expires(channel):
            self._asked.add(channel)
            self._woken.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            self._woken.clear()
            await self.step()
            try:
                async with asyncio.timeout(self._due_in_s()):  # wait_for may swallow a cancellation
                    await self._woken.wait()
            except TimeoutError:
                continue

    def _due_in_s(self) -> float:
        now = self._clock.wall()
        times = [
            question.expires_at
            for channel in self._asked
            for question in channel.record.questions
            if question.expires_at
        ]
        return min([_LOOK_S, *(time - now if time > now else _AGAIN_S for time in times)])

    async def step(self) -> None:
        """Do all that is due now; what is being done already is done on return, too."""
        async with self._stepping:
            await self._step()

    async def _step(self) -> None:
        now = self._clock.wall()
        for channel in list(self._asked):
            for question in channel.record.questions:
                if question.expires_at and question.expires_at <= now:
                    await self._attempt(self._expire(channel, question), channel, "channel.question_not_expired")
            if not _expires(channel):
                self._asked.discard(channel)
        for channel in self._channels:
            closed_at = channel.record.closed_at
            if closed_at and now - closed_at >= self._limits.channel_retention_s and not channel.removed:
                removal = self._remove(channel, "its retention has ended")
                await self._attempt(removal, channel, "channel.not_pruned")

    async def _attempt(self, work: Awaitable[None], channel: Channel, event: str) -> None:
        try:
            await work
        except HoldfastError as error:
            _logger.error(event, channel=channel.id, error=str(error))

    async def _expire(self, channel: Channel, question: Question) -> None:
        """Give the node's answer to a question, unless somebody has answered meanwhile.

        One that is due before it is stored is looked at again a little later: its default is in its entry.
        """
        default = await self._default_of(channel, question) if question.policy == "default" else ""
        if default is None:
            return
        if channel.senders is None:
            await self._appender.load(channel)
        open_questions = channel.record.questions
        if channel.closed or channel.removed or question not in open_questions or channel.senders is None:
            return
        now = channel.last_timestamp = max(channel.last_timestamp, self._clock.wall())
        book, index = channel.senders.book(NODE_SENDER), channel.next_index
        blob = encode_expiry(question, default, index, book.last_sequence + 1, now)
        book.add(book.last_sequence + 1, index)
        channel.senders.controls.add(index)
        channel.next_index = index + 1
        channel.record = channel.record.changed(questions=tuple(one for one in open_questions if one != question))
        await self._appender.store(channel, Admission(blob, 1, index, index, record=channel.record), "disk")
        _logger.info("channel.question_expired", channel=channel.id, index=question.index, policy=question.policy)

    async def _default_of(self, channel: Channel, question: Question) -> str | None:
        """None: it is not stored yet."""
        pieces = await self._store.read(channel, question.index, 1)
        if not pieces:
            return None
        data = b"".join(cut_runs(piece.data, question.index, question.index + 1) for piece in pieces[:1])
        return "".join(str(entry.control.get("default", "")) for entry in iter_entries(data))


def _expires(channel: Channel) -> bool:
    return any(question.expires_at for question in channel.record.questions)
