"""Which patterns are followed, and for whom: the first session opens one, the last one closes it.  Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..patterns import provider_of
from .effects import CloseFeed, Effect, OpenFeed
from .state import Feed, Session
from .timers import Timers

if TYPE_CHECKING:
    from collections.abc import Callable

RETRY_S = 5.0
"""A feed that did not open when the node came back is tried again this often."""


class FeedBook:
    """All feeds of a node.  ``running(name)``: whether that provider can open feeds now."""

    def __init__(self, linger_s: float, running: Callable[[str], bool]) -> None:
        self._linger_s = linger_s
        self._running = running
        self._feeds: dict[str, Feed] = {}
        self._timers: Timers[Feed] = Timers(lambda feed: feed.linger_until)
        self.next_deadline = self._timers.next_deadline

    def __len__(self) -> int:
        return len(self._feeds)

    def get(self, pattern: str) -> Feed | None:
        """The feed of ``pattern``, if it is followed, or is to be."""
        return self._feeds.get(pattern)

    def of(self, provider: str) -> list[Feed]:
        """The feeds of one provider."""
        return [feed for feed in self._feeds.values() if provider_of(feed.pattern) == provider]

    def forget(self, pattern: str) -> Feed | None:
        """Take it out; closing it is the caller's affair."""
        return self._feeds.pop(pattern, None)

    def hold(self, session: Session, pattern: str, now: float) -> tuple[Feed, list[Effect]]:
        """Have ``pattern`` followed for ``session``; the feed, and what opens it if it is not open."""
        feed = self._feeds.get(pattern)
        effects: list[Effect] = []
        if feed is None:
            feed = self._feeds[pattern] = Feed(pattern)
            feed.state = "failed"
        feed.sessions[session.id] = session
        feed.linger_until = None
        if feed.state == "failed":
            if self._running(provider_of(pattern)):
                effects = self.open(feed)
            else:
                self.linger(feed, now, RETRY_S)
        return feed, effects

    def open(self, feed: Feed) -> list[Effect]:
        """Open it."""
        feed.state = "opening"
        feed.linger_until = None
        return [OpenFeed(feed.pattern)]

    def release(self, session: Session, patterns: Sequence[str], now: float | None) -> list[Effect]:
        """``session`` needs ``patterns`` no more.  ``now`` None: what nobody needs is closed without a linger."""
        effects: list[Effect] = []
        for pattern in patterns:
            feed = self._feeds.get(pattern)
            if feed is None:
                continue
            feed.sessions.pop(session.id, None)
            if feed.sessions or feed.state == "opening":  # then what to do is decided once it is open
                continue
            if now is None or feed.state == "failed":
                effects += self.drop(feed)
            else:
                self.linger(feed, now)
        return effects

    def linger(self, feed: Feed, now: float, seconds: float | None = None) -> None:
        """Look at it again in ``seconds``, by default those that a feed without sessions is kept."""
        feed.linger_until = now + (self._linger_s if seconds is None else seconds)
        self._timers.add(feed.linger_until, feed)

    def drop(self, feed: Feed) -> list[Effect]:
        """Follow it no more."""
        del self._feeds[feed.pattern]
        return [CloseFeed(feed.pattern)] if feed.state == "open" else []

    def handle_timer(self, now: float) -> list[Effect]:
        """Close what nobody came back to; try again what did not open."""
        effects: list[Effect] = []
        for feed, due in self._timers.due(now):
            if not due or self._feeds.get(feed.pattern) is not feed:
                continue
            feed.linger_until = None
            if not feed.sessions:
                effects += self.drop(feed)
            elif feed.state == "failed" and self._running(provider_of(feed.pattern)):
                effects += self.open(feed)
            elif feed.state == "failed":
                self.linger(feed, now, RETRY_S)
        return effects
