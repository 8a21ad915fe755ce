"""What both clients' subscriptions share: entries out of a stream of runs, and where to go on after a cut."""

from __future__ import annotations

from collections.abc import Iterator
from math import isfinite
from typing import NamedTuple, TypedDict

from ...channels.model import Order, SlowPolicy
from ...channels.unpacking import Entry, RunReader, entries_of, iter_entries, split_runs
from ...errors import LimitExceeded, ProtocolError, UsageError
from ...rpc.failures import decode_failure
from ...streams.reader import Chunk, Failed, Item

_PAGED_MAX = 1000
"""Entries up to which a read goes by pages."""


class ChannelOptions(TypedDict, total=False):
    """How a channel is made; all of it optional."""

    submitter: str
    """Whose it is; default: whoever makes it."""
    executor: str
    """Who works for the submitter; can be assigned later."""
    retain: bool
    """At ``entries_max`` the oldest entries go, instead of ChannelFull."""
    entries_max: int
    """Entries; as the following 0, the default, means the node's limit."""
    payload_bytes_max: int
    """Payload of one entry, in bytes, its headers included."""
    rate_per_s: float
    """Entries a second; with a rate of its own the channel does not count against its process's."""
    burst: int
    """Entries at once after a pause."""
    missing_ok: bool
    """Take a channel of that name that is there already, as it is."""


class SubscribeOptions(NamedTuple):
    """How to subscribe, in the order of the command's parameters; see ``Channel.subscribe``."""

    policy: SlowPolicy = "paged"
    buffer_entries: int = 0
    buffer_bytes: int = 0
    mine: bool = True
    follow: bool = True
    limit: int = 0

    def left(self, given: int) -> SubscribeOptions:
        """What is left to ask for after ``given`` entries.

        The node counts what it looks at: where it leaves our own out, how many there were is for us to count.
        """
        return self._replace(limit=self.limit - given if self.mine else 0) if self.limit else self

    def wanted(self, entries: list[Entry], given: int) -> list[Entry]:
        """Those of ``entries`` that are still wanted after ``given`` of them."""
        return entries[: self.limit - given] if self.limit else entries

    def satisfied(self, given: int) -> bool:
        """Whether that is nothing."""
        return 0 < self.limit <= given


class Arrivals:
    """Entries that have arrived and not been taken yet.  Decoded a run at a time, when their turn comes."""

    __slots__ = ("_entries", "_runs", "after", "ended")

    def __init__(self, after: int | None) -> None:
        self._runs = RunReader()
        self._entries: Iterator[list[Entry]] = iter(())
        self.after = after
        """The index of the last entry taken: where to go on; None: it is not known where the channel begins."""
        self.ended = False

    def opened(self, first_index: int) -> None:
        """A stream begins that gives ``first_index`` first, whatever the one before left unfinished."""
        self._runs = RunReader()
        self._entries = iter(())
        self.after = first_index - 1

    def receive(self, item: Item) -> None:
        """What the stream gave; takes it as ended at its end.  Raises what the node ended it with instead.

        DisconnectedError is a cut, to be outlived; ProtocolError for anything that makes no sense.
        """
        if isinstance(item, Chunk):
            self._entries = map(entries_of, split_runs(self._runs.feed(bytes(item.data))))
        elif isinstance(item, Failed):
            raise decode_failure(item.error, self.after or 0)
        elif self._runs.buffered_bytes:
            raise ProtocolError("the stream of entries ended within one")
        else:
            self.ended = True

    def take(self) -> list[Entry]:
        """The entries of the next run, at least one; empty if more has to be received first."""
        for entries in self._entries:
            self.after = entries[-1].index
            return entries
        return []


class Paging:
    """One read, page by page.  :attr:`params` are those of the next ``ChannelsApi.read``, after the channel."""

    __slots__ = ("_after", "_last", "_limit", "_order", "_since", "done", "found")

    def __init__(self, after: int | None, limit: int, last: int, since: float | None, order: Order) -> None:
        if since is not None and not isfinite(since):
            raise UsageError(f"since: {since} is not a time in seconds since the epoch", field="since")
        self._after = after
        self._limit = min(limit, last) if limit > 0 and last > 0 else limit or max(last, 0)
        self._last = last
        self._since = since
        self._order = order
        self.found: list[Entry] = []
        self.done = False

    @property
    def params(self) -> tuple[int | None, int, float | None, int, Order]:
        """What to ask for."""
        return self._after, self.limit_left, self._since, self._last, self._order

    @property
    def limit_left(self) -> int:
        """How many more are wanted; 0: all."""
        return self._limit - len(self.found) if self._limit > 0 else self._limit

    @property
    def wants_stream(self) -> bool:
        """Whether all of a channel is wanted, or much of it: a stream gives that faster than pages."""
        many = self._limit == 0 or self._limit > _PAGED_MAX
        return many and self._order == "index" and self._since is None and not self._last

    def take(self, page: bytes) -> None:
        """The node's answer: a page; an empty one is the end."""
        entries = list(iter_entries(page))
        self.found += entries
        self.done = not entries or len(self.found) >= self._limit > 0
        if entries:
            self._after = (self._after or 0) + len(entries) if self._order == "sender" else entries[-1].index
            self._last, self._since = 0, None

    def can_stream(self, error: LimitExceeded) -> bool:
        """Whether the node meant that the next entry is too large for a page, and a stream will do."""
        return error.name == "frame_bytes_max" and self._order == "index"

    @property
    def counts_back(self) -> bool:
        """Whether the stream's beginning depends on where the channel ends: :meth:`begin_back` is needed."""
        return self._last > 0

    def begin_back(self, last_index: int) -> None:
        """The channel's newest entry has the index ``last_index``."""
        self._after = max(self._after or 0, last_index - self._last)
        self._last = 0

    @property
    def after(self) -> int | None:
        """After which index the rest begins."""
        return self._after

    @property
    def stream_limit(self) -> int:
        """How many entries it gives; 0: all."""
        return self.limit_left if self._since is None else 0

    def take_rest(self, entries: list[Entry]) -> None:
        """Some of the rest, from a stream."""
        since = self._since
        found = entries if since is None else [entry for entry in entries if entry.timestamp >= since]
        self.found += found[: self.limit_left] if self._limit > 0 else found
