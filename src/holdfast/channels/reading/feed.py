"""One reader of a channel for all its live subscribers: what is appended is read once and handed to each.

A subscriber is *live* while it has everything the feed has given and room for more; then it costs no task.  One that
cannot take a piece replays the log at its own pace until it has caught up with the feed, and is live again.  While none
is live nothing is read: however many subscribers sleep, they cost those who append nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import TYPE_CHECKING, Any

import structlog

from ...errors import ChannelNotFound, ClosedError, Gone, HoldfastError, NotFound, StorageError, UsageError

if TYPE_CHECKING:
    from ...engine.base import Packed
    from ..counts import Counts
    from ..state.channel import Channel
    from ..state.store import ChannelStore
    from .subscription import Subscription

_logger = structlog.get_logger("holdfast.channels")

Spawn = Callable[[Coroutine[Any, Any, None], str], asyncio.Task[None]]
"""Starts a task that its owner awaits."""

_FOLLOW_BYTES = 256 * 1024
"""Most that is handed on at once; small beside a subscriber's buffer."""
_NEAR_ENTRIES = 50_000
"""Who is further behind does not look whether there is more: there is, and the look would go to the disk."""
_TURN = 64
"""Subscribers served before the loop gets its turn."""


class Feed:
    """Reads one channel for its subscribers, while it has some.  ``on_idle`` is called when the last one has left."""

    def __init__(
        self,
        channel: Channel,
        next_index: int,
        store: ChannelStore,
        counts: Counts,
        spawn: Spawn,
        on_idle: Callable[[Feed], None],
    ) -> None:
        self.channel = channel
        self._store = store
        self.counts = counts
        self.next_index = next_index
        """The index after all that live subscribers were given; of no meaning while there are none."""
        self.over = False
        """Nothing more is handed out: who wants to go on finds out why not."""
        self._failure: HoldfastError | None = None
        """Why it is over for everyone, where reading on would hide it."""
        self.removed_because = ""
        self.subscriptions: set[Subscription] = set()
        self._live: set[Subscription] = set()
        self._fallen: set[Subscription] = set()
        """Were live, are not any more, and want to be let go if they do not come back soon."""
        self._joined = asyncio.Event()
        self._follower: AsyncIterator[list[Packed]] | None = None
        """Goes on where the first one left off that became live again."""
        self._spawn = spawn
        self._on_idle = on_idle
        self._task = spawn(self._follow(), f"feed-{channel.id}")

    def add(self, subscription: Subscription, next_index: int) -> None:
        """Serve ``subscription`` from now on; ``next_index``: the one after all that was appended."""
        subscription.start(self)
        self.subscriptions.add(subscription)
        if not self._live:
            self._follower, self.next_index = None, next_index
        if self.over or subscription.next_index < self.next_index:
            self._replay(subscription)
        else:
            self._join(subscription)
        if subscription.complete:
            subscription.end(None)

    def _join(self, subscription: Subscription) -> None:
        self._live.add(subscription)
        self._fallen.discard(subscription)
        self._joined.set()

    def retire(self, subscription: Subscription) -> None:
        """Hand nothing more to ``subscription``; it stays until its reader has the end."""
        self._live.discard(subscription)
        self._fallen.discard(subscription)

    def leave(self, subscription: Subscription) -> None:
        """Forget ``subscription``."""
        self.retire(subscription)
        self.subscriptions.discard(subscription)
        if subscription.task is not None:
            subscription.task.cancel()
        if not self.subscriptions:
            self._task.cancel()
            self._on_idle(self)

    def check_fallen(self) -> None:
        """Entries were stored: let go of who has fallen too far behind, and does not want to be paged."""
        for subscription in list(self._fallen):
            subscription.check_lag(self.channel.next_index)

    # for all who are live: its task

    async def _follow(self) -> None:
        try:
            while await self._follow_on():
                pass
        except (NotFound, Gone):
            pass  # each subscriber reads from its own place, and finds out what that means for it
        except HoldfastError as error:
            _logger.warning("channel.feed_failed", channel=self.channel.id, error=str(error))
            self._failure = error
        self.over = True
        for subscription in list(self._live):
            self._replay(subscription)

    async def _follow_on(self) -> bool:
        """Hand out while anybody is live; False when the channel has ended.

        Entries that were not stored may make the log shorter meanwhile; who has had them looks for himself.
        """
        while not self._live:
            self._joined.clear()
            await self._joined.wait()
        follower, self._follower = self._follower, None
        try:
            async for pieces in follower or self._store.follow(self.channel, self.next_index, _FOLLOW_BYTES):
                data = _joined(pieces)
                first, self.next_index = pieces[0].position, pieces[-1].end
                await self._hand_out(data, first, self.next_index)
                if not self._live:
                    return True
        except UsageError:
            self.next_index = (await self._store.stat(self.channel)).next_index
            for subscription in [one for one in self._live if one.next_index > self.next_index]:
                self._replay(subscription)
            return True
        return False

    async def _hand_out(self, data: bytes, first: int, end: int) -> None:
        live = list(self._live)
        for served, subscription in enumerate(live, 1):
            if subscription in self._live:
                if not subscription.offer(data, first, end):
                    self._replay(subscription)
                if len(live) == 1:
                    subscription.hurry()
            if served % _TURN == 0:
                await asyncio.sleep(0)

    # for who is behind: a task of its own

    def _replay(self, subscription: Subscription) -> None:
        """Let ``subscription`` catch up at its own pace."""
        if subscription in self._live and subscription.impatient:
            self._fallen.add(subscription)
        self._live.discard(subscription)
        subscription.task = self._spawn(self._replaying(subscription), f"subscription-{self.channel.id}")

    async def _replaying(self, subscription: Subscription) -> None:
        """Read the log for it until it is live again, or until the end."""
        try:
            live = await self._catch_up(subscription)
        except ClosedError:
            return  # the reader has left, or the node is going
        except NotFound:
            subscription.end(self._removal())
        except UsageError:
            subscription.end(StorageError("what was to follow could not be stored; subscribe again"))
        except HoldfastError as error:  # Gone, or the engine's trouble
            subscription.end(error)
        else:
            if not live:
                subscription.end(None)

    async def _catch_up(self, subscription: Subscription) -> bool:
        """Whether it is live now; if not, all has been given."""
        if self._failure is not None:
            raise self._failure
        if subscription.complete:
            return False
        follower = self._store.follow(self.channel, subscription.next_index, _FOLLOW_BYTES)
        async for pieces in follower:
            await subscription.give(_joined(pieces), pieces[0].position, pieces[-1].end)
            if subscription.complete:
                return False
            if await self._try_join(subscription, follower):
                return True
            await asyncio.sleep(0)  # what is in memory is read without a wait, and others must have their turn
        return False

    async def _try_join(self, subscription: Subscription, follower: AsyncIterator[list[Packed]]) -> bool:
        """Make ``subscription`` live, if it has all that was handed out and more will be.

        ``follower`` is what it has read with.  If it is the first one, it must have all that can be read now, lest it
        lead the feed through what the others have long had.
        """
        if self._live:
            if self.over or subscription.next_index < self.next_index:
                return False
        else:
            if self.channel.next_index - subscription.next_index > _NEAR_ENTRIES:
                return False
            ahead = await self._store.read(self.channel, subscription.next_index, 1)
            if self.over or ahead or self._live:
                return False
            self._follower, self.next_index = follower, subscription.next_index
        self._join(subscription)
        return True

    def _removal(self) -> ChannelNotFound:
        """What subscribers are told when the channel is gone."""
        reason = f": {self.removed_because}" if self.removed_because else ""
        return ChannelNotFound(f"channel {self.channel.id} was removed{reason}", name=self.channel.id)


def _joined(pieces: list[Packed]) -> bytes:
    return pieces[0].data if len(pieces) == 1 else b"".join([piece.data for piece in pieces])
