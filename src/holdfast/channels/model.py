"""What a channel is, as everyone who speaks of channels sees it.

Plain frozen classes: they import without msgspec, and every field has a type that JSON can carry.  Entries are
not here: they travel packed (``packing``, ``unpacking``).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

ChannelState = Literal["open", "closed"]
"""``closed``: read-only for good; gone after its retention."""

SlowPolicy = Literal["paged", "disconnect"]
"""What becomes of a subscriber that falls behind its buffer.  ``paged``: it reads the log until it has caught up, and
misses nothing.  ``disconnect``: it is let go with SubscriberTooSlow, which says where to go on."""

Order = Literal["index", "sender"]
"""``index``: as appended.  ``sender``: by sender, then sequence, ties by time."""

Ack = Literal["disk", "os", "memory"]
"""When an append counts as done: fsynced, handed to the operating system, or visible to readers only."""

QuestionPolicy = Literal["wait", "deny", "default"]
"""What becomes of an input asked for that nobody gives in time: go on waiting, denied, or the default is taken."""

NODE_SENDER = "holdfast"
"""The sender of receipts and of answers to questions that expired; nobody else may use the name."""


def channel_id(process: str, name: str) -> str:
    """The id of the channel ``name`` of ``process``."""
    return f"{process}/{name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelLimits:
    """A channel's own limits; 0 means the node's."""

    entries_max: int = 0
    """Entries; then ChannelFull, or the oldest go with ``retain``."""
    payload_bytes_max: int = 0
    """Payload of one entry, its headers and other fields included."""
    rate_per_s: float = 0.0
    """Entries a second; with a rate of its own the channel does not count against its process's."""
    burst: int = 0
    """Entries at once after a pause."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SenderInfo:
    """What one sender has appended."""

    sender: str
    last_sequence: int
    """The highest sequence it has used; the next one is free."""
    last_index: int
    """The index of its newest entry."""
    ended: Literal["", "end", "error"] = ""
    """Its stream is complete: its newest entry that is no control message was an end or an error."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelInfo:
    """A channel as it stands."""

    id: str
    process: str
    name: str
    state: ChannelState = "open"
    submitter: str = ""
    executor: str = ""
    """Empty: not assigned yet."""
    retain: bool = False
    """At its limit of entries the oldest go; without, it is full."""
    limits: ChannelLimits = field(default_factory=ChannelLimits)
    """As in force now, the node's filled in."""
    last_index: int = 0
    """The index of the newest entry; 0: there is none."""
    oldest_index: int = 1
    """The index of the oldest entry kept."""
    dropped: int = 0
    """Entries that ``retain`` has let go."""
    entries: int = 0
    """Entries kept."""
    stored_bytes: int = 0
    """What they take, packed."""
    subscribers: int = 0
    lag_entries: int = 0
    """Entries that the slowest subscriber has not read yet."""
    lag_bytes: int = 0
    """What of them is on its way to it; the rest waits in the log."""
    created_at: float = 0.0
    """Seconds since the Unix epoch, as all times here; 0.0: not yet."""
    closed_at: float = 0.0
    expires_at: float = 0.0
    """When a closed channel goes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one draft of a batch that was not simply appended."""

    position: int
    """Its place in the batch, from 0."""
    index: int = 0
    """It was there before, at this index; 0: it was refused."""
    error: dict[str, Any] | None = None
    """Why it was refused, as errors travel (``errors.from_wire``)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AppendResult:
    """Where a batch went.

    Its drafts have the indexes ``first_index`` to ``last_index`` in their order, those in ``others`` left out.
    """

    first_index: int = 0
    """0: nothing was appended."""
    last_index: int = 0
    others: list[Outcome] = field(default_factory=list)
    """Drafts that were there before, or refused."""
    last_sequence: int = 0
    """The sender's highest sequence after it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscribeStart:
    """Where a subscription begins."""

    first_index: int
    """The index of the first entry it can give; after every earlier one was given."""
    last_index: int
    """The newest entry at this moment."""
    oldest_index: int
    closed: bool = False
    """The channel is closed: the stream ends after ``last_index``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelStats:
    """A node's channels in figures."""

    channels: int = 0
    processes: int = 0
    open: int = 0
    closed: int = 0
    subscribers: int = 0
    entries_appended: int = 0
    """Since the node started, as all counts below."""
    entries_refused: int = 0
    entries_repeated: int = 0
    """Idempotent repeats."""
    rate_limited: int = 0
    denied: int = 0
    subscribers_too_slow: int = 0
