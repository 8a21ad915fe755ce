"""One channel in memory.  Small while nobody appends: what appends need is loaded for the first of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ...errors import ChannelClosed, ChannelNotFound
from ..model import ChannelInfo, ChannelLimits, channel_id

if TYPE_CHECKING:
    from ...limits import Limits
    from .record import ChannelRecord
    from .senders import Senders


class Bounds(NamedTuple):
    """The limits in force for one channel."""

    entries_max: int
    reserve_max: int
    payload_bytes_max: int
    questions_max: int
    rate_per_s: float
    burst: int


class Channel:
    """What decisions about a channel are made from.  Changed only without waiting in between."""

    __slots__ = (
        "last_timestamp",
        "name",
        "next_index",
        "oldest",
        "process",
        "record",
        "removed",
        "senders",
        "weak_index",
    )

    def __init__(self, process: str, name: str, record: ChannelRecord, *, oldest: int = 1, next_index: int = 1) -> None:
        self.process = process
        self.name = name
        self.record = record
        self.oldest = oldest
        """The index of the oldest entry kept."""
        self.next_index = next_index
        """The index the next entry gets; entries below it may not be durable yet."""
        self.senders: Senders | None = None
        """Who has appended what; None: nobody has asked since the node started, or for long."""
        self.last_timestamp = 0.0
        """When the newest entry was taken; entries never go back in time, whatever the clock does."""
        self.weak_index = 0
        """The newest entry whose append did not ask for the disk."""
        self.removed = False

    @property
    def id(self) -> str:
        """``<process>/<name>``."""
        return channel_id(self.process, self.name)

    @property
    def submitter(self) -> str:
        """Whose channel it is."""
        return self.record.submitter

    @property
    def executor(self) -> str:
        """Who works for the submitter; empty: nobody yet."""
        return self.record.executor

    @property
    def closed(self) -> bool:
        """Whether it is read-only for good."""
        return self.record.closed_at > 0

    @property
    def entries(self) -> int:
        """How many entries it holds."""
        return self.next_index - self.oldest

    def check_open(self) -> None:
        """ChannelNotFound if it was removed, ChannelClosed if it is closed."""
        if self.removed:
            raise ChannelNotFound(name=self.id)
        if self.closed:
            raise ChannelClosed(f"channel {self.id} is closed")

    def bounds(self, limits: Limits) -> Bounds:
        """Its own limits, and the node's for those it has not."""
        own = self.record.limits
        return Bounds(
            own.entries_max or limits.channel_entries_max,
            limits.channel_reserve_max,
            own.payload_bytes_max or limits.channel_payload_bytes_max,
            limits.channel_questions_max,
            own.rate_per_s or limits.channel_rate_max,
            own.burst or limits.channel_burst_max,
        )

    def info(self, limits: Limits, *, stored_bytes: int, subscribers: int, lag: tuple[int, int]) -> ChannelInfo:
        """As a caller sees it."""
        bounds, record = self.bounds(limits), self.record
        return ChannelInfo(
            id=self.id,
            process=self.process,
            name=self.name,
            state="closed" if self.closed else "open",
            submitter=record.submitter,
            executor=record.executor,
            retain=record.retain,
            limits=ChannelLimits(
                entries_max=bounds.entries_max,
                payload_bytes_max=bounds.payload_bytes_max,
                rate_per_s=bounds.rate_per_s,
                burst=bounds.burst,
            ),
            last_index=self.next_index - 1,
            oldest_index=self.oldest,
            dropped=self.oldest - 1,
            entries=self.entries,
            stored_bytes=stored_bytes,
            subscribers=subscribers,
            lag_entries=lag[0],
            lag_bytes=lag[1],
            created_at=record.created_at,
            closed_at=record.closed_at,
            expires_at=record.closed_at + limits.channel_retention_s if self.closed else 0.0,
        )
