"""Who reads channels now: subscriptions over RPC, served by their channel's feed, and guests, who serve themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from ...errors import LimitExceeded, UsageError
from ..model import SubscribeStart
from .feed import Feed
from .pages import first_index
from .subscription import Subscription, Wishes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ...limits import Limits
    from ..counts import Counts
    from ..model import SlowPolicy
    from ..state.channel import Channel
    from ..state.store import ChannelStore
    from .feed import Spawn
    from .subscription import Carrier


class Guest(Protocol):
    """A reader that follows a channel's log by itself, as those over HTTP do."""

    def lag_entries(self, next_index: int) -> int:
        """How many of the entries below ``next_index`` it has not given on yet."""
        ...


class Audience:
    """The readers of all channels.  Whether a reader may read is decided before it comes here."""

    def __init__(self, store: ChannelStore, counts: Counts, spawn: Spawn, limits: Limits) -> None:
        self._store = store
        self._counts = counts
        self._spawn = spawn
        self._limits = limits
        self._feeds: dict[Channel, Feed] = {}
        self._guests: dict[Channel, set[Guest]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._guests.values())) + sum(len(feed.subscriptions) for feed in self._feeds.values())

    async def subscribe(
        self,
        channel: Channel,
        carrier: Carrier,
        stream: int,
        *,
        after: int | None,
        policy: SlowPolicy,
        buffer_entries: int,
        buffer_bytes: int,
        without: str,
        follow: bool,
        limit: int,
    ) -> SubscribeStart:
        """See :meth:`ChannelsApi.subscribe`; ``without``: the sender whose entries are left out, or nobody's."""
        for name, value in (("limit", limit), ("buffer_entries", buffer_entries), ("buffer_bytes", buffer_bytes)):
            if value < 0:
                raise UsageError(f"{name}: {value} is negative", field=name)
        stored = await self._store.stat(channel)
        start = first_index(channel.id, after, stored.oldest, stored.next_index)
        ends = ([] if follow else [stored.next_index]) + ([start + limit] if limit else [])
        feed = self._feed_of(channel, stored.next_index)
        wishes = Wishes(
            policy,
            _within(buffer_entries, self._limits.subscriber_entries_max),
            _within(buffer_bytes, self._limits.subscriber_buffer_bytes),
            min(ends, default=None),
            without,
        )
        feed.add(Subscription(stream, carrier, wishes, start), stored.next_index)
        return SubscribeStart(
            first_index=start, last_index=stored.next_index - 1, oldest_index=stored.oldest, closed=channel.closed
        )

    def _feed_of(self, channel: Channel, next_index: int) -> Feed:
        feed = self._feeds.get(channel)
        if feed is None or feed.over:
            feed = self._feeds[channel] = Feed(channel, next_index, self._store, self._counts, self._spawn, self._idle)
        self._check_room(channel, len(feed.subscriptions))
        return feed

    def _idle(self, feed: Feed) -> None:
        if self._feeds.get(feed.channel) is feed:
            del self._feeds[feed.channel]

    def _check_room(self, channel: Channel, subscriptions: int) -> None:
        limit = self._limits.subscribers_per_channel_max
        readers = subscriptions + len(self._guests.get(channel, ()))
        if readers >= limit:
            raise LimitExceeded(name="subscribers_per_channel_max", limit=limit, value=readers + 1)

    # guests

    def join(self, channel: Channel, guest: Guest) -> None:
        """Count ``guest``, who reads the log itself, as a subscriber until :meth:`leave`.  LimitExceeded."""
        feed = self._feeds.get(channel)
        self._check_room(channel, len(feed.subscriptions) if feed is not None else 0)
        self._guests.setdefault(channel, set()).add(guest)

    def leave(self, channel: Channel, guest: Guest) -> None:
        """The guest reads no more; idempotent."""
        guests = self._guests.get(channel, set())
        guests.discard(guest)
        if not guests:
            self._guests.pop(channel, None)

    # what becomes of channels

    def grown(self, channel: Channel) -> None:
        """Entries were stored.  Who is awake finds them by itself, so this costs an append next to nothing."""
        feed = self._feeds.get(channel)
        if feed is not None:
            feed.check_fallen()

    def removing(self, channel: Channel, reason: str) -> None:
        """The channel goes: what its subscribers are told when they find it gone."""
        feed = self._feeds.get(channel)
        if feed is not None:
            feed.removed_because = reason

    # how far behind they are

    def lags_of(self, channel: Channel, next_index: int) -> list[tuple[int, int]]:
        """How many entries and bytes each reader of ``channel`` is behind ``next_index``."""
        feed = self._feeds.get(channel)
        subscriptions = feed.subscriptions if feed else ()
        lags = [(one.lag_entries(next_index), one.lag_bytes) for one in subscriptions]
        return lags + [(guest.lag_entries(next_index), 0) for guest in self._guests.get(channel, ())]

    def lags(self) -> Iterator[tuple[str, int, int]]:
        """Each subscriber over RPC: its channel, and how many entries and bytes it is behind."""
        for channel, feed in self._feeds.items():
            for one in feed.subscriptions:
                yield channel.id, one.lag_entries(channel.next_index), one.lag_bytes


def _within(wanted: int, limit: int) -> int:
    return min(wanted or limit, limit)
