"""Providers started and stopped, and feeds opened and closed, as the manager's core decided."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import TYPE_CHECKING, Any

from ...errors import ClosedError, HoldfastError
from ..patterns import provider_of
from ..router import LiveFeed
from .guarding import foreign, forgotten, outcome, quietly

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..core.effects import CloseFeed, OpenFeed, StartProvider, StopProvider
    from ..core.manager import Manager
    from ..providers.base import Provider
    from .mailbox import Mailbox

Work = Callable[[], Coroutine[Any, Any, None]]


class Feeder:
    """The providers of a node, and what is followed of them."""

    def __init__(self, core: Manager, mailbox: Mailbox, wall: Callable[[], float]) -> None:
        self.providers: dict[str, Provider] = {}
        self._core = core
        self._post = mailbox.post
        self._spawn = mailbox.spawn
        self._wall = wall
        self._feeds: dict[str, LiveFeed] = {}
        self._work: dict[str, asyncio.Task[None]] = {}
        """The newest work on each pattern that is not done: opening and closing one never overtake each other."""

    async def close(self) -> None:
        """Let go of every feed and provider."""
        for feed in self._feeds.values():
            if feed.stream is not None:
                await quietly(feed.stream.close(), "feed", feed.pattern)
        for name, provider in self.providers.items():
            await quietly(provider.stop(), "provider", name)

    def keeps(self, pattern: str) -> bool:
        """Whether its messages are kept by somebody, while nobody follows them."""
        provider = self.providers.get(provider_of(pattern))
        return provider is not None and provider.durable(pattern)

    # providers

    def start_provider(self, effect: StartProvider) -> None:
        """See :class:`StartProvider`."""
        self._spawn(self._starting(effect.name, self.providers[effect.name]), f"provider-{effect.name}")

    async def _starting(self, name: str, provider: Provider) -> None:
        error = await outcome(provider.start(), f"provider {name}")
        if error is not None:
            self.providers.pop(name, None)
        self._post(lambda _now: self._core.receive_provider_started(name, error))

    def stop_provider(self, effect: StopProvider) -> None:
        """See :class:`StopProvider`."""
        for pattern in effect.feeds:
            opening = self._work.get(pattern)
            if opening is not None and self.feed(pattern).stream is None:
                opening.cancel()
        closing = [self._close(pattern) for pattern in effect.feeds]
        self._spawn(self._stopping(effect.name, closing), f"provider-{effect.name}")

    async def _stopping(self, name: str, closing: Sequence[asyncio.Task[None] | None]) -> None:
        await asyncio.gather(*(task for task in closing if task is not None), return_exceptions=True)
        provider = self.providers.pop(name)
        await quietly(provider.stop(), "provider", name)
        await forgotten(provider, name)
        self._post(lambda _now: self._core.receive_provider_stopped(name))

    # feeds

    def feed(self, pattern: str) -> LiveFeed:
        """The feed of ``pattern``, open or not."""
        feed = self._feeds.get(pattern)
        if feed is None:
            feed = self._feeds[pattern] = LiveFeed(pattern, self._wall, self._feed_failed)
        return feed

    def _feed_failed(self, feed: LiveFeed, reason: str) -> None:
        if self._feeds.get(feed.pattern) is feed:
            self._post(lambda now: self._core.receive_feed_failed(feed.pattern, reason, now))

    def open_feed(self, effect: OpenFeed) -> None:
        """See :class:`OpenFeed`."""
        self._begin(effect.pattern, partial(self._opening, self.feed(effect.pattern)))

    async def _opening(self, feed: LiveFeed) -> None:
        pattern = feed.pattern
        provider = self.providers.get(provider_of(pattern))
        error: HoldfastError | None = None
        if provider is None:
            error = ClosedError(f"{pattern}: its provider is gone")
        else:
            feed.provider = provider
            try:
                feed.stream = await provider.open(pattern, feed)
            except HoldfastError as caught:
                error = caught
            except Exception as caught:  # noqa: BLE001 - a provider may be anybody's
                error = foreign(caught, pattern)
        if error is not None:
            feed.provider = None
        self._post(lambda now: self._core.receive_feed_opened(pattern, error, now))

    def close_feed(self, effect: CloseFeed) -> None:
        """See :class:`CloseFeed`."""
        self._close(effect.pattern)

    def _close(self, pattern: str) -> asyncio.Task[None] | None:
        feed = self._feeds.pop(pattern, None)
        return None if feed is None else self._begin(pattern, partial(self._closing, feed))

    async def _closing(self, feed: LiveFeed) -> None:
        feed.provider = None
        if feed.stream is not None:
            await quietly(feed.stream.close(), "feed", feed.pattern)

    def _begin(self, pattern: str, work: Work) -> asyncio.Task[None]:
        task = self._spawn(_after(self._work.get(pattern), work), f"feed-{pattern}")
        self._work[pattern] = task

        def done(_: object) -> None:
            if self._work.get(pattern) is task:
                del self._work[pattern]

        task.add_done_callback(done)
        return task


async def _after(before: asyncio.Task[None] | None, work: Work) -> None:
    """``work`` is not begun before: a coroutine that is never awaited is a warning."""
    if before is not None:
        await asyncio.wait([before])
    await work()
