"""Channels, as the blocking SDK shows them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Unpack
from weakref import WeakValueDictionary

from ...channels.api import ChannelsApi
from ...channels.model import (
    Ack,
    ChannelInfo,
    ChannelStats,
    Order,
    QuestionPolicy,
    SenderInfo,
    SlowPolicy,
)
from ...channels.packing import EntryType
from ...channels.unpacking import Entry
from ...errors import LimitExceeded
from ..sync_link import SyncLink
from . import drafts
from .appending import PATIENCE_S, Appended, BatchAppended
from .drafts import Draft, Payload
from .entries import ChannelOptions, Paging, SubscribeOptions
from .sync_sender import SyncSender
from .sync_subscription import SyncSubscription


class SyncChannels:
    """The channels of a node."""

    def __init__(self, link: SyncLink) -> None:
        self._link = link
        self._senders: WeakValueDictionary[tuple[str, str], SyncSender] = WeakValueDictionary()

    def create(self, process: str, name: str, **options: Unpack[ChannelOptions]) -> SyncChannel:
        """Make a channel of ``process``, which need not be a job of this node; durable on return.

        ``options``: see :class:`ChannelOptions`.  Raises ChannelExists unless ``missing_ok``, UsageError,
        TooManyChannels, PermissionDenied, StorageError.  DisconnectedError without ``missing_ok``: the link broke
        meanwhile and it may have been made.
        """
        ask = self._link.ask if options.get("missing_ok") else self._link.do
        info = ask(ChannelsApi.create, process, name, **options)
        return self.channel(info.id)

    def get(self, channel: str) -> SyncChannel:
        """The channel ``<process>/<name>``.  ChannelNotFound if there is none, or none for us."""
        info = self._link.ask(ChannelsApi.get, channel)
        return self.channel(info.id)

    def channel(self, channel: str, *, sender: str = "") -> SyncChannel:
        """The channel ``<process>/<name>``, without asking whether it is there.

        ``sender``: append in this name, which only who may append to any channel can; empty: as who we are.
        """
        key = (channel, sender)
        found = self._senders.get(key)
        if found is None:
            found = self._senders[key] = SyncSender(self._link, channel, sender)
        return SyncChannel(self, self._link, channel, found)

    def set_executor(self, process: str, executor: str) -> list[ChannelInfo]:
        """Assign the executor of all channels of ``process``; durable on return.  NotFound if it has none."""
        return self._link.ask(ChannelsApi.set_process_executor, process, executor)

    def close_process(self, process: str) -> list[ChannelInfo]:
        """The process has ended: make all its channels read-only for good.  NotFound if it has none."""
        return self._link.ask(ChannelsApi.close_process, process)

    def cleanup_process(self, process: str, reason: str = "") -> int:
        """Remove all channels of ``process`` with their entries; subscriptions end with ``reason``.  How many."""
        return self._link.ask(ChannelsApi.cleanup_process, process, reason)

    def stats(self) -> ChannelStats:
        """The node's channels in figures."""
        return self._link.ask(ChannelsApi.stats)

    def list(self, process: str = "") -> list[ChannelInfo]:
        """The channels we may read, of one process or all, by id."""
        found: list[ChannelInfo] = []
        while page := self._page(process, found[-1].id if found else ""):
            found += page
        return found

    def _page(self, process: str, after: str) -> Sequence[ChannelInfo]:
        return self._link.ask(ChannelsApi.list, process, after)


class SyncChannel:
    """One channel.  Objects of the same channel share the count of what they append, so any number may be made."""

    def __init__(self, channels: SyncChannels, link: SyncLink, channel: str, sender: SyncSender) -> None:
        self.id = channel
        self._channels = channels
        self._link = link
        self._sender = sender

    @property
    def process(self) -> str:
        """What it belongs to: a job's id, or what someone else registered."""
        return self.id.rpartition("/")[0]

    @property
    def name(self) -> str:
        """Its name within its process."""
        return self.id.rpartition("/")[2]

    def sent_by(self, sender: str) -> SyncChannel:
        """The same channel, appended to in the name of ``sender``; for who may append to any channel."""
        return self._channels.channel(self.id, sender=sender)

    # appending

    def append(
        self,
        payload: Payload = b"",
        *,
        type: EntryType = "data",
        sequence: int = 0,
        in_reply_to: int = 0,
        content_type: str = "",
        headers: Mapping[str, str] | None = None,
        ack: Ack = "disk",
        patience_s: float = PATIENCE_S,
    ) -> Appended:
        """Append text, bytes or a JSON value; done as ``ack`` says on return, by default on disk.

        Goes on over cut links and node restarts: the entry is there once.  While the rate limit is hit it waits,
        ``patience_s`` seconds at most.  ``sequence``: yours to choose; the same one with the same entry gives the
        one that is there, 0 lets this client count.  ``in_reply_to``: the other side's sequence this answers.

        Raises ChannelNotFound, ChannelClosed, ChannelFull, MessageTooLarge, RateLimited, SequenceConflict for a
        sequence of yours that another entry has, UsageError, StorageError.  DisconnectedError or Unavailable if no
        node was to be had in time, and when cancelled: it may have been appended.
        """
        draft = drafts.message(payload, type=type, in_reply_to=in_reply_to, content_type=content_type, headers=headers)
        return self._sender.append(draft, sequence, ack, patience_s)

    def append_batch(
        self, payloads: Sequence[Payload], *, ack: Ack = "disk", patience_s: float = PATIENCE_S
    ) -> BatchAppended:
        """Append many entries of data, in order, several hundred kilobytes at a time and several times at once.

        What is refused of it (MessageTooLarge, ChannelFull) is in the result, the others are appended.  Otherwise as
        :meth:`append`; an error leaves those before the one it met appended, and perhaps some behind.
        """
        if isinstance(payloads, bytes | str):
            payloads = [payloads]
        return self._sender.append_batch(payloads, ack, patience_s)

    def _say(self, draft: Draft) -> Appended:
        return self._sender.append(draft, 0, "disk", PATIENCE_S)

    def end(self, payload: Payload = b"") -> Appended:
        """Our stream is complete; the channel stays open for the others."""
        return self._say(drafts.message(payload, type="end"))

    def fail(self, text: str) -> Appended:
        """Our stream ends with an error."""
        return self._say(drafts.failure(text))

    def cancel(self, reason: Payload = b"") -> Appended:
        """Ask the other side to stop.  In the log, so it is seen by one that is not ready yet."""
        return self._say(drafts.message(reason, type="cancel"))

    def steer(self, payload: Payload) -> Appended:
        """Give the other side a new direction."""
        return self._say(drafts.message(payload, type="steer"))

    def pause(self, reason: Payload = b"") -> Appended:
        """Ask the other side to wait."""
        return self._say(drafts.message(reason, type="pause"))

    def resume(self, reason: Payload = b"") -> Appended:
        """Ask the other side to go on."""
        return self._say(drafts.message(reason, type="resume"))

    def applied(self, entry: Entry | int, text: str = "") -> Appended:
        """Tell that we have done what a control message asks; UsageError for an entry that is none."""
        return self._say(drafts.receipt(entry, "applied", text))

    def refused(self, entry: Entry | int, text: str = "") -> Appended:
        """Tell that we do not do what a control message asks; UsageError for an entry that is none."""
        return self._say(drafts.receipt(entry, "refused", text))

    def needs_input(
        self,
        question: Payload,
        *,
        policy: QuestionPolicy = "wait",
        expires_s: float = 0.0,
        default: str | None = None,
    ) -> Appended:
        """Ask for input.  It is answered once: by somebody, or after ``expires_s`` seconds by the node.

        ``policy``: ``wait`` for as long as it takes, ``deny``, or take the ``default``.
        """
        return self._say(drafts.question(question, policy, expires_s, default))

    def ask(
        self,
        question: Payload,
        *,
        policy: QuestionPolicy = "wait",
        expires_s: float = 0.0,
        default: str | None = None,
    ) -> Entry:
        """:meth:`needs_input`, and wait for the answer.  Cancel-safe; the question stays."""
        asked = self.needs_input(question, policy=policy, expires_s=expires_s, default=default)
        return self.answer_to(asked)

    def answer_to(self, question: Entry | Appended) -> Entry:
        """Wait for the answer to a question.  Cancel-safe.

        ``control["outcome"]`` is ``denied`` or ``default`` if it is the node's own.  ChannelClosed if there is none
        and will be none.
        """
        with self.subscribe(after=question.index) as subscription:
            for entry in subscription:
                if drafts.answers(entry, question.index, question.sequence):
                    return entry
        raise drafts.never_answered(self.id, question.index)

    def answer(self, question: Entry | int, payload: Payload) -> Appended:
        """Answer a question, given as entry or index.  Conflict if it was answered already, or has expired."""
        return self._say(drafts.answer(question, payload))

    # reading

    def read(
        self,
        *,
        after: int | None = None,
        limit: int = 0,
        last: int = 0,
        since: float | None = None,
        order: Order = "index",
    ) -> list[Entry]:
        """The entries after the index ``after`` (None: from the oldest), up to the newest one there is now.

        ``limit``: at most so many.  ``last``: only the newest so many.  ``since``: only those taken at or after this
        time, in seconds since the epoch.  ``order="sender"``: sorted by sender, sequence and time; ``after`` then
        counts the entries of that view.  Raises Gone(oldest), UsageError, ChannelNotFound.
        """
        paging = Paging(after, limit, last, since, order)
        if paging.wants_stream:
            self._read_streaming(paging)
        while not paging.done:
            try:
                paging.take(self._link.ask(ChannelsApi.read, self.id, *paging.params))
            except LimitExceeded as error:
                if not paging.can_stream(error):
                    raise
                self._read_streaming(paging)
        return paging.found

    def _read_streaming(self, paging: Paging) -> None:
        """The rest at once: as a stream, which carries entries of any size."""
        if paging.counts_back:
            paging.begin_back(self.info().last_index)
        with self.subscribe(after=paging.after, follow=False, limit=paging.stream_limit) as subscription:
            while entries := subscription.next_batch():
                paging.take_rest(entries)
            paging.done = True

    def subscribe(
        self,
        *,
        after: int | None = None,
        mine: bool = True,
        policy: SlowPolicy = "paged",
        buffer_entries: int = 0,
        buffer_bytes: int = 0,
        follow: bool = True,
        limit: int = 0,
    ) -> SyncSubscription:
        """The entries after the index ``after`` (None: from the oldest), then what comes, without gap or repeat.

        An async iterator; it is in force after its ``open`` or ``with``, and else with the first step.  A cut
        link is dialled again and it goes on at the next entry.  ``mine`` False leaves our own entries out.
        ``policy``: when we fall behind our buffer (0: the node's limits) we read from the log and miss nothing
        (``paged``), or are let go with SubscriberTooSlow(last_position) (``disconnect``).  Without ``follow`` it ends
        at what is there now, with ``limit`` after so many.

        A step raises ChannelNotFound when the channel is removed, Gone(oldest) when entries we have not had were
        dropped, UsageError, SubscriberTooSlow.
        """
        options = SubscribeOptions(policy, buffer_entries, buffer_bytes, mine, follow, limit)
        return SyncSubscription(self._link, self.id, after, options)

    # the channel itself

    def info(self) -> ChannelInfo:
        """The channel as it stands."""
        return self._link.ask(ChannelsApi.get, self.id)

    def senders(self) -> list[SenderInfo]:
        """Who has appended, with each one's last sequence, by name."""
        return self._link.ask(ChannelsApi.senders, self.id)

    def set_executor(self, executor: str) -> ChannelInfo:
        """Assign the executor, or with an empty name none; durable on return."""
        return self._link.ask(ChannelsApi.set_executor, self.id, executor)

    def close(self) -> ChannelInfo:
        """Make the channel read-only for good; subscriptions end after its last entry.  Idempotent, durable."""
        return self._link.ask(ChannelsApi.close, self.id)

    def remove(self, reason: str = "") -> None:
        """Remove the channel with all its entries; subscriptions end with ``reason``."""
        self._link.do(ChannelsApi.remove, self.id, reason)
