"""A group and its channel, kept equal: what the group delivers is appended, what is appended is sent.

Entries that came from the group carry its message id in a header.  An entry of somebody else's gets an id made of its
place in the channel.  So both ways can be compared after a crash, and nothing is appended or sent twice.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from hashlib import blake2b
from typing import TYPE_CHECKING

import structlog

from ...channels.access import Owner, check_subject
from ...channels.model import NODE_SENDER
from ...channels.packing import Extras, encode_draft
from ...channels.state.record import log_name
from ...channels.unpacking import Entry, iter_entries
from ...errors import (
    ChannelFull,
    ClosedError,
    Gone,
    HoldfastError,
    LimitExceeded,
    MessageTooLarge,
    RateLimited,
    StorageError,
    UsageError,
    from_wire,
)
from ...sync.group import GroupMessage
from ...sync.groups import GROUPS_PROCESS, ID_HEADER, LAMPORT_HEADER, LOST_HEADER, SENDER_HEADER, group_channel

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator

    from ...channels.model import AppendResult
    from ...channels.router import ChannelRouter
    from ...engine.base import Log, Piece
    from ...sync.group import Group
    from .store import GroupRecord

_logger = structlog.get_logger("holdfast.groups")

_BATCH_ENTRIES = 256
_BATCH_BYTES = 1 << 20
_KNOWN_MAX = 32_768
"""Ids of the newest entries kept to tell what is in the channel already; more than a history and an inbox hold."""
_SAVE_EVERY = 64
"""Local entries sent before the place reached is stored again; after a crash so many are compared."""
_RETRY_S = 0.25
NOBODY = "peer"
"""The sender of messages whose participant's name cannot be one."""


class GroupMirror:
    """Ties ``group`` to its channel, from ``record.sent_index`` on.  ``save_index(index)`` stores how far it is.

    ``channel_made_at`` tells the channel from others that had its name before.
    """

    def __init__(
        self,
        group: Group,
        record: GroupRecord,
        router: ChannelRouter,
        log: Log,
        *,
        channel_made_at: float,
        save_index: Callable[[int], Awaitable[None]],
    ) -> None:
        self.group = group
        self._channel_made_at = channel_made_at
        self._record = record
        self._router = router
        self._log = log
        self._save_index = save_index
        self._owner = Owner(record.spec.me)
        self._channel = group_channel(record.spec.name)
        self._log_name = log_name(GROUPS_PROCESS, record.spec.name)
        self._known: OrderedDict[str, int] = OrderedDict()
        self._queue: deque[tuple[GroupMessage, asyncio.Future[int] | None]] = deque()
        self._wake = asyncio.Event()
        self._appended = asyncio.Event()
        """Nothing waits to be appended."""
        self._tasks: list[asyncio.Task[None]] = []
        self._sending: dict[str, asyncio.Task[int]] = {}
        self._sent_index = record.sent_index
        self._sent_before: frozenset[str] = frozenset()
        """What was sent in an earlier life, and may be behind the stored place."""
        self._unsaved = 0
        self._append_failed = False
        self.skipped = 0
        """Messages that the channel refused, and entries too large for a message."""
        self.failure: BaseException | None = None

    async def open(self) -> None:
        """Take part, make up for what a crash interrupted, and go on.  Raises as :meth:`Group.open`."""
        await self.group.open()
        try:
            await self._catch_up()
        except BaseException:
            await self.group.close()
            raise
        self._tasks = [
            asyncio.create_task(self._watch(work), name=f"group-{name}-{self._record.spec.name}")
            for name, work in (("in", self._take_in), ("append", self._append_all), ("out", self._send_out))
        ]

    async def close(self) -> None:
        """Take no part any more.  Idempotent."""
        await self.group.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._unsaved and self.failure is None:
            self._unsaved = 0
            await self._save_index(self._sent_index)
        self._refuse_waiting("takes no part any more; the message is sent, and in the channel when it joins again")
        await asyncio.gather(*self._sending.values(), return_exceptions=True)

    def _refuse_waiting(self, why: str) -> None:
        """Let go of those who wait for their message to be in the channel."""
        _tell(self._queue, ClosedError(f"group {self.group.name} {why}"))
        self._queue.clear()

    async def send(self, message_id: str, content: bytes) -> int:
        """Send a message and append it where it belongs in the channel; its index there.

        Asked again with the same id, it is the same message.  Cancelling does not stop it.
        """
        sending = self._sending.get(message_id)
        if sending is None:
            sending = self._sending[message_id] = asyncio.create_task(self._send(message_id, content))
            sending.add_done_callback(lambda _: self._sent(message_id))
        return await asyncio.shield(sending)

    def _sent(self, message_id: str) -> None:
        sending = self._sending.pop(message_id)
        if not sending.cancelled():
            sending.exception()  # whoever asked may have gone

    async def _send(self, message_id: str, content: bytes) -> int:
        self._check_whole()
        known = self._known.get(message_id)
        if known is not None:
            return known
        if not self.group.lamport_of(message_id):  # else it was sent before a crash, and not appended
            await self.group.send(content, id=message_id)
            self._check_whole()
        self._enqueue(self.group.receive_now())  # all that comes before it is here by now
        done = asyncio.get_running_loop().create_future()
        lamport = self.group.lamport_of(message_id)
        self._queue.append((GroupMessage(message_id, self.group.me, content, lamport), done))
        self._wake.set()
        index: int = await done
        return index

    def _check_whole(self) -> None:
        if self.failure is not None:
            raise ClosedError(f"group {self.group.name} has failed, join it again: {self.failure}")

    # after a start

    async def _catch_up(self) -> None:
        """Learn what is in the channel, and append what the group delivered and the channel lacks."""
        stat = await self._log.stat(self._log_name)
        index = max(stat.oldest, min(self._sent_index + 1, stat.tail - _KNOWN_MAX))
        while index < stat.tail:
            try:
                pieces = await self._log.read_when_stored(self._log_name, index)
            except Gone as gone:  # others append, and the channel lets its oldest entries go
                index = gone.oldest
                continue
            if not pieces:  # the last ones were not stored after all
                break
            for entry in _entries(pieces, index):
                self._remember(entry.headers.get(ID_HEADER) or self._local_id(entry.index), entry.index)
            index = pieces[-1].end
        log = self.group.log()
        self._sent_before = frozenset(message.message_id for message in log if message.sender_id == self.group.me)
        lacking = [message for message in log if message.message_id not in self._known]
        self._enqueue(GroupMessage(one.message_id, one.sender_id, one.content, one.lamport or 0) for one in lacking)

    def _remember(self, message_id: str, index: int) -> None:
        self._known[message_id] = index
        if len(self._known) > _KNOWN_MAX:
            self._known.popitem(last=False)

    def _local_id(self, index: int) -> str:
        """The id under which the entry at ``index`` is sent."""
        place = f"{self._record.spec.name}\0{self._record.spec.me}\0{self._channel_made_at!r}\0{index}"
        return blake2b(place.encode(), digest_size=16).hexdigest()

    # from the group to the channel

    def _enqueue(self, messages: Iterator[GroupMessage] | list[GroupMessage]) -> None:
        self._queue.extend((message, None) for message in messages)
        self._appended.clear()
        self._wake.set()

    async def _take_in(self) -> None:
        async for message in self.group:
            self._enqueue([message, *self.group.receive_now()])
            await self._appended.wait()  # what waits, waits in the group's inbox, which is bounded

    async def _append_all(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._queue:
                await self._append_some()
            self._appended.set()

    async def _append_some(self) -> None:
        """Append the next messages of one sender, as many as fit a batch."""
        batch: list[tuple[GroupMessage, asyncio.Future[int] | None]] = []
        size, sender = 0, self._sender_of(self._queue[0][0])
        while self._queue and len(batch) < _BATCH_ENTRIES and size < _BATCH_BYTES:
            message, waiting = self._queue[0]
            if self._sender_of(message) != sender:
                break
            self._queue.popleft()
            if message.id in self._known:
                if waiting is not None and not waiting.done():
                    waiting.set_result(self._known[message.id])
            elif not message.ephemeral:
                batch.append((message, waiting))
                size += len(message.content)
        if not batch:
            return
        try:
            result = await self._append(batch, sender)
        except (MessageTooLarge, ChannelFull) as error:  # a batch of one
            self._refuse(*batch[0], error)
            return
        refused = {other.position: from_wire(other.error or {}) for other in result.others}
        index = result.first_index
        for place, (message, waiting) in enumerate(batch):
            if place in refused:
                self._refuse(message, waiting, refused[place])
                continue
            self._remember(message.id, index)
            if waiting is not None and not waiting.done():
                waiting.set_result(index)
            index += 1

    def _refuse(self, message: GroupMessage, waiting: asyncio.Future[int] | None, error: HoldfastError) -> None:
        """The channel's own limits do not let the message in: only the group has it."""
        self.skipped += 1
        _logger.warning("group.not_appended", group=self.group.name, message=message.id, error=str(error))
        if waiting is not None and not waiting.done():
            waiting.set_exception(error)

    async def _append(self, batch: list[tuple[GroupMessage, asyncio.Future[int] | None]], sender: str) -> AppendResult:
        """Append for as long as it takes; those who wait are told when it takes long."""
        drafts = b"".join([self._draft(message) for message, _ in batch])
        while True:
            try:
                result = await self._router.append(self._owner, self._channel, drafts, "disk", sender)
            except RateLimited as error:
                await asyncio.sleep(error.retry_after_s)
            except StorageError as error:
                if not self._append_failed:  # said once, however long it lasts
                    _logger.warning("group.append_failed", group=self.group.name, error=str(error))
                self._append_failed = True
                why = f"{error}; the message is sent, and appended when it can be"
                _tell((*batch, *self._queue), StorageError(why))
                await asyncio.sleep(_RETRY_S)
            else:
                self._append_failed = False
                return result

    def _draft(self, message: GroupMessage) -> bytes:
        headers = {ID_HEADER: message.id}
        if message.lamport:
            headers[LAMPORT_HEADER] = str(message.lamport)
        if self._sender_of(message) != message.sender:
            headers[SENDER_HEADER] = message.sender
        if message.lost:
            headers[LOST_HEADER] = str(len(message.lost))
        return encode_draft(message.content, extras=Extras(headers=headers))

    @staticmethod
    def _sender_of(message: GroupMessage) -> str:
        """Names with a colon are those of the node and its owner: nobody comes by one over the network."""
        own = ":" in message.sender or message.sender == NODE_SENDER
        try:
            return NOBODY if own else check_subject(message.sender, "sender")
        except UsageError:
            return NOBODY

    # from the channel to the group

    async def _send_out(self) -> None:
        while True:
            index = max(self._sent_index + 1, (await self._log.stat(self._log_name)).oldest)
            try:
                async for pieces in self._log.follow(self._log_name, index):
                    for entry in _entries(pieces, index):
                        await self._send_entry(entry)
                    index = pieces[-1].end
                    await self._note_sent(index - 1)
            except Gone:
                continue  # the channel let its oldest entries go before they were sent
            return

    async def _send_entry(self, entry: Entry) -> None:
        if entry.type != "data" or not entry.payload or ID_HEADER in entry.headers:
            return
        message_id = self._local_id(entry.index)
        self._remember(message_id, entry.index)
        if message_id not in self._sent_before:
            await self._send_patiently(entry, message_id)

    async def _send_patiently(self, entry: Entry, message_id: str) -> None:
        while True:
            try:
                await self.group.send(entry.payload, id=message_id)
            except LimitExceeded as error:
                if error.name == "group_content_bytes_max":
                    self.skipped += 1
                    _logger.warning("group.too_large", group=self.group.name, index=entry.index, limit=error.limit)
                    return
                await asyncio.sleep(_RETRY_S)  # too many that nobody has acknowledged
            else:
                return

    async def _note_sent(self, index: int) -> None:
        self._unsaved += index - self._sent_index
        self._sent_index = index
        if self._unsaved >= _SAVE_EVERY:
            self._unsaved = 0
            await self._save_index(index)

    async def _watch(self, work: Callable[[], Awaitable[None]]) -> None:
        """Let one direction run; what ends it is the group's failure."""
        try:
            await work()
        except Exception as error:  # whatever it is, the group says so instead of going on in silence
            self.failure = error
            self._refuse_waiting(f"has failed, join it again: {error}")
            _logger.error("group.failed", group=self.group.name, exc_info=error)


def _tell(messages: Iterable[tuple[GroupMessage, asyncio.Future[int] | None]], error: HoldfastError) -> None:
    """Those who wait for one of ``messages`` to be in the channel wait no more."""
    for _, waiting in messages:
        if waiting is not None and not waiting.done():
            waiting.set_exception(error)


def _entries(pieces: list[Piece], index: int) -> Iterator[Entry]:
    """The entries of ``pieces`` from ``index`` on."""
    for piece in pieces:
        for entry in iter_entries(piece.data):  # type: ignore[union-attr]  # a log of runs has no holes
            if entry.index >= index:
                yield entry
