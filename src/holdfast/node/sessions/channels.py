"""Channels as a provider: ``channels.<process>.<name>``, durable; positions are indexes.

What is sent there is appended.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, cast

from ...channels.model import channel_id
from ...channels.packing import TYPE_NUMBERS, Extras, encode_draft
from ...channels.state.record import log_name
from ...channels.unpacking import cut_runs, iter_entries
from ...errors import Gone, NotFound, UsageError
from ...sessions.model import Message, SubjectInfo
from ...sessions.providers.base import BaseProvider, Page, Sender, Sink, Stream
from ...subjects import matches, name_of, word_of
from .callers import caller_of
from .sources import OpenPatterns

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...channels.life import ChannelChange
    from ...channels.packing import EntryType
    from ...channels.router import ChannelRouter
    from ...channels.state.channel import Channel
    from ...channels.unpacking import Entry
    from ...engine.base import Log, Piece

_STORED_S = 1.0
"""How long an entry that is being stored is waited for."""


class ChannelsProvider(BaseProvider):
    """Implements :class:`~holdfast.sessions.providers.base.Provider`."""

    def __init__(self, router: ChannelRouter, log: Log) -> None:
        self._router = router
        self._log = log
        self._open = OpenPatterns()

    async def start(self) -> None:
        """Listen to every channel."""
        self._router.on_change = self._changed

    async def stop(self) -> None:
        """Listen no more."""
        self._router.on_change = lambda _channel, _change: None

    def durable(self, pattern: str) -> bool:
        """All channels are."""
        return True

    async def subjects(self, pattern: str) -> Sequence[SubjectInfo]:
        """Every channel."""
        channels = [channel for channel in self._router.all() if matches(pattern, _subject(channel))]
        return [await self._info(channel) for channel in channels]

    async def _info(self, channel: Channel) -> SubjectInfo:
        stat = await self._log.stat(_log(channel))
        return SubjectInfo(
            subject=_subject(channel),
            durable=True,
            oldest=stat.oldest,
            tail=stat.tail,
            stored_bytes=stat.stored_bytes,
            ended=channel.closed,
        )

    async def open(self, pattern: str, sink: Sink) -> Stream:
        """See :meth:`Provider.open`."""
        stream = self._open.open(pattern, sink)
        for channel in self._router.all():
            if matches(pattern, _subject(channel)):
                sink.found(_brief(channel))
        return stream

    def _changed(self, channel: Channel, change: ChannelChange) -> None:
        if not self._open:
            return
        subject = _subject(channel)
        for sink in self._open.of(subject):
            if change in ("created", "changed"):
                sink.found(_brief(channel))
            elif change == "moved":
                sink.moved(subject, channel.next_index)
            elif change == "closed":
                sink.ended(subject)
            else:
                sink.gone(subject, "it was removed")

    async def read(self, subject: str, position: int, max_bytes: int) -> Page:
        """See :meth:`Provider.read`."""
        channel = self._channel(subject)
        messages: list[Message] = []
        start = max(position, 1)
        try:
            pieces = await self._pieces(channel, start, max_bytes)
        except Gone as gone:
            if position >= 0:
                detail = {"reason": "dropped by retain", "entries": gone.oldest - start}
                messages.append(Message(subject, b"", {}, 0.0, start, gone.oldest, "gap", detail))
            start = gone.oldest
            pieces = await self._pieces(channel, start, max_bytes)
        room = max_bytes
        for piece in pieces:
            data = cut_runs(piece.data, start, piece.end)  # type: ignore[union-attr]  # runs mode has no holes
            for entry in iter_entries(data):
                if room <= 0:
                    break
                messages.append(_message(subject, entry))
                room -= len(entry.payload) + 1
        end = messages[-1].next_position if messages else start
        ended = channel.closed and end >= (await self._log.stat(_log(channel))).tail
        return Page(messages, end, ended=ended)

    async def _pieces(self, channel: Channel, start: int, max_bytes: int) -> list[Piece]:
        """What is there, also if it is being stored, and who appended it has gone: nobody tells of it once it is."""
        name = _log(channel)
        if start >= (await self._log.stat(name)).tail:
            return []
        return await self._log.read_when_stored(name, start, max_bytes=max_bytes, within_s=_STORED_S)

    async def send(self, message: Message, sender: Sender) -> int:
        """Append an entry; its index.  Headers ``type``, ``in-reply-to`` and ``content-type`` are the entry's own."""
        channel = _id(message.subject)
        headers = dict(message.headers)
        kind = headers.pop("type", "data")
        reply = headers.pop("in-reply-to", "0")
        if kind not in TYPE_NUMBERS:
            raise UsageError(f"headers.type: {kind!r} is no type of an entry", field="headers.type")
        if not reply.isdecimal():
            raise UsageError(f"headers.in-reply-to: {reply!r} is no sequence", field="headers.in-reply-to")
        extras = Extras(content_type=headers.pop("content-type", ""), headers=headers)
        draft = encode_draft(
            message.payload,
            type=cast("EntryType", kind),
            sequence=max(0, message.position),
            in_reply_to=int(reply),
            extras=extras,
        )
        result = await self._router.append(caller_of(sender).channel_caller, channel, draft)
        return result.last_index

    def _channel(self, subject: str) -> Channel:
        words = subject.split(".")
        if len(words) == 3:
            found = self._router.get_channel(name_of(words[1]), name_of(words[2]))
            if found is not None:
                return found
        raise NotFound(kind="subject", name=subject)


def _subject(channel: Channel) -> str:
    return f"channels.{word_of(channel.process)}.{word_of(channel.name)}"


def _id(subject: str) -> str:
    words = subject.split(".")
    if len(words) != 3:
        raise NotFound(f"{subject}: a channel is channels.<process>.<name>", kind="subject", name=subject)
    return channel_id(name_of(words[1]), name_of(words[2]))


def _log(channel: Channel) -> str:
    return log_name(channel.process, channel.name)


def _brief(channel: Channel) -> SubjectInfo:
    return SubjectInfo(
        subject=_subject(channel),
        durable=True,
        oldest=channel.oldest,
        tail=channel.next_index,
        ended=channel.closed,
    )


def _message(subject: str, entry: Entry) -> Message:
    headers = {"sender": entry.sender, "sequence": str(entry.sequence), **entry.headers}
    if entry.type != "data":
        headers["type"] = entry.type
    if entry.in_reply_to:
        headers["in-reply-to"] = str(entry.in_reply_to)
    if entry.content_type:
        headers["content-type"] = entry.content_type
    if entry.error:
        headers["error"] = entry.error
    if entry.control:
        headers["control"] = json.dumps(dict(entry.control), separators=(",", ":"))
    return Message(subject, entry.payload, headers, entry.timestamp, entry.index, entry.index + 1)
