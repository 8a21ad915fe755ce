"""The channel commands: one definition from which the node's dispatch, the clients' stubs and the docs are made.

``channel`` is ``<process>/<name>`` everywhere.  Entries travel packed (``packing``): a batch of drafts to the node,
runs from it.  A caller with no right to a channel gets ChannelNotFound, as for one that does not exist.
"""

from __future__ import annotations

from typing import Protocol

from ..rpc.commands import Commands
from .model import (
    Ack,
    AppendResult,
    ChannelInfo,
    ChannelStats,
    Order,
    SenderInfo,
    SlowPolicy,
    SubscribeStart,
)


class ChannelsApi(Protocol):
    """What can be done with channels."""

    async def create(
        self,
        process: str,
        name: str,
        submitter: str = "",
        executor: str = "",
        retain: bool = False,
        entries_max: int = 0,
        payload_bytes_max: int = 0,
        rate_per_s: float = 0.0,
        burst: int = 0,
        missing_ok: bool = False,
    ) -> ChannelInfo:
        """Make a channel, durable on return; without ``submitter`` the caller is it.

        ``retain``: at ``entries_max`` the oldest entries go instead of ChannelFull.  Limits of 0 are the node's.
        With ``missing_ok`` a channel that is there already is given as it is, else ChannelExists is raised.
        Raises UsageError for a bad name or limit, TooManyChannels, PermissionDenied without the right to create.
        """
        ...

    async def get(self, channel: str) -> ChannelInfo:
        """One channel.  ChannelNotFound if there is none."""
        ...

    async def senders(self, channel: str) -> list[SenderInfo]:
        """Who has appended, with each one's last sequence, by name."""
        ...

    async def append(self, channel: str, batch: bytes, ack: Ack = "disk", sender: str = "") -> AppendResult:
        """Append a batch of drafts in one commit; done as ``ack`` says on return.

        A draft whose (sender, sequence) is there already counts as appended if it is the same, byte for byte, and is
        a SequenceConflict if not; one with a lower sequence than the sender's last is taken and marked late; sequence
        0 lets the node count.  What is refused of a batch of several (SequenceConflict, MessageTooLarge, ChannelFull,
        Conflict for a question not open) is in the result, the others are appended.  A batch of one raises its error.

        Raises ChannelNotFound, ChannelClosed, RateLimited(retry_after_s) (the whole batch: nothing was stored),
        UsageError naming a malformed draft, StorageError.  ``sender``: the caller itself if empty; another only for
        who may append to any channel.  Safe to repeat with the same sequences, after a cut too.
        """
        ...

    async def append_stream(
        self, channel: str, stream: int, size_bytes: int, ack: Ack = "disk", sender: str = ""
    ) -> AppendResult:
        """:meth:`append` for a batch too large for one request: ``size_bytes`` of it come on the caller's ``stream``.

        MessageTooLarge for more than ``channel_batch_bytes_max``; UsageError if the stream ends early.
        """
        ...

    async def read(
        self,
        channel: str,
        after: int | None = None,
        limit: int = 0,
        since: float | None = None,
        last: int = 0,
        order: Order = "index",
    ) -> bytes:
        """Runs of entries after the index ``after``, as many as fit a page; empty if there are none.

        ``after`` None: from the oldest entry kept.  ``limit``: at most so many entries, 0: as the page has room for.
        ``since``: only entries taken at or after this time, in seconds since the epoch.  ``last``: only the newest so
        many.  With ``order="sender"`` it is a view sorted by sender, sequence and time, and ``after`` counts the
        entries of the view that were seen already.

        Raises Gone(oldest) if entries after ``after`` have been dropped, UsageError for negative numbers and beyond
        the last index, LimitExceeded(name="frame_bytes_max") for an entry too large for an answer: subscribe to that.
        """
        ...

    async def subscribe(
        self,
        channel: str,
        stream: int,
        after: int | None = None,
        policy: SlowPolicy = "paged",
        buffer_entries: int = 0,
        buffer_bytes: int = 0,
        mine: bool = True,
        follow: bool = True,
        limit: int = 0,
    ) -> SubscribeStart:
        """Open the channel as stream number ``stream`` of this connection, which the caller chose; it carries runs.

        Replays what is after ``after`` (None: all that is kept), then goes on live, without gap or repeat; in force
        when this returns.  The stream begins when the caller acknowledges its start.  It ends with EOF after the last
        entry of a closed channel; without ``follow`` after the entry that is the newest now; with ``limit`` after so
        many, those counted in that are left out because ``mine`` is False: the caller's own.  It fails with a text that
        ``rpc.failures.decode_failure`` turns into SubscriberTooSlow, ChannelNotFound (removed, and why) or Gone.

        Raises Gone(oldest) and UsageError as :meth:`read`, LimitExceeded(name="subscribers_per_channel_max").
        """
        ...

    async def set_executor(self, channel: str, executor: str) -> ChannelInfo:
        """Assign the executor, or another one; durable on return.  Empty: none."""
        ...

    async def set_process_executor(self, process: str, executor: str) -> list[ChannelInfo]:
        """:meth:`set_executor` for all channels of a process.  NotFound if it has none."""
        ...

    async def close(self, channel: str) -> ChannelInfo:
        """Make the channel read-only for good; followers end after its last entry.  Idempotent, durable on return."""
        ...

    async def close_process(self, process: str) -> list[ChannelInfo]:
        """:meth:`close` for all channels of a process that has ended.  NotFound if it has none."""
        ...

    async def remove(self, channel: str, reason: str = "") -> None:
        """Remove the channel with all entries; its subscriptions end with ``reason``."""
        ...

    async def cleanup_process(self, process: str, reason: str = "") -> int:
        """Remove all channels of a process, and forget its limits; how many there were."""
        ...

    async def stats(self) -> ChannelStats:
        """The node's channels in figures."""
        ...

    async def list(self, process: str = "", after: str = "") -> list[ChannelInfo]:
        """The channels the caller may read, of one process or all, by id: the first so many after the id ``after``.

        An empty answer says that there are no more; ``channels_page_max`` come at once.
        """
        ...


COMMANDS = Commands("channels", ChannelsApi)
