"""What a group's protocol speaks of: messages, what is known of them, and how a channel stands.

Plain classes that import nothing but the standard library.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

Dialect = Literal["spec", "nim"]
"""Which of the two public wires: ``spec`` (the specification, npm ``@waku/sds``) or ``nim`` (nim-sds).

They do not understand each other, so it is chosen once for a group.
"""

Kind = Literal["content", "sync", "ephemeral"]
"""``content``: kept, ordered, acknowledged.  ``sync``: no content, tells what its sender has.  ``ephemeral``:
unordered, never kept."""

PacketKind = Literal["sync", "resend", "repair"]
"""Why a packet goes out: to tell what we have, nobody has acknowledged it, or somebody asked for it."""

State = Literal["synced", "missing", "lost"]
"""``synced``: nothing is waited for.  ``missing``: dependencies are.  ``lost``: none is waited for any more, but some
were given up."""


class HistoryEntry(NamedTuple):
    """A message as others refer to it."""

    message_id: str
    retrieval_hint: bytes = b""
    """Where it may be found, in the words of whoever stores it; empty: unknown."""
    sender_id: str = ""
    """Empty: unknown."""


class Message:
    """One message of a channel, as it travels.  Treat as immutable.

    ``lamport`` is None for ephemeral messages.  ``unknown`` holds the fields of later versions exactly as they came;
    they go out again when the message is rebroadcast.
    """

    __slots__ = (
        "_refers_to",
        "bloom",
        "causal",
        "channel",
        "content",
        "lamport",
        "message_id",
        "repairs",
        "sender_id",
        "unknown",
    )

    def __init__(
        self,
        message_id: str,
        channel: str,
        lamport: int | None,
        content: bytes = b"",
        sender_id: str = "",
        causal: tuple[HistoryEntry, ...] = (),
        bloom: bytes = b"",
        repairs: tuple[HistoryEntry, ...] = (),
        unknown: bytes = b"",
    ) -> None:
        self.message_id = message_id
        self.channel = channel
        self.lamport = lamport
        self.content = content
        self.sender_id = sender_id
        self.causal = causal
        self.bloom = bloom
        self.repairs = repairs
        self.unknown = unknown
        self._refers_to: frozenset[str] | None = None

    @property
    def refers_to(self) -> frozenset[str]:
        """The ids of its causal history."""
        found = self._refers_to
        if found is None:
            found = self._refers_to = frozenset([entry[0] for entry in self.causal])
        return found

    @property
    def kind(self) -> Kind:
        """What its timestamp and content make it."""
        if self.lamport is None:
            return "ephemeral"
        return "content" if self.content else "sync"

    def without_state(self) -> Message:
        """The message without what its sender had and missed at that moment, which can be a hundred times its size."""
        if not self.bloom and not self.repairs:
            return self
        return Message(
            self.message_id,
            self.channel,
            self.lamport,
            self.content,
            self.sender_id,
            self.causal,
            unknown=self.unknown,
        )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Message):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in self.__slots__ if name[0] != "_")

    __hash__ = None  # type: ignore[assignment]  # compared by fields in tests; never a key

    def __repr__(self) -> str:
        return f"Message({self.message_id!r}, {self.channel!r}, {self.lamport}, {len(self.content)} bytes)"


class Unwrapped(NamedTuple):
    """What came of a packet."""

    content: bytes
    """As received; empty for sync messages.  It is *delivered* by a MessageReady event, maybe later, and once."""
    missing: tuple[HistoryEntry, ...]
    """What it depends on and we do not have; without any, it was delivered if it was new."""
    channel: str
    message_id: str
    sender_id: str
    kind: Kind
    duplicate: bool = False
    """We had it already, or sent it ourselves."""


class Packet(NamedTuple):
    """Bytes to broadcast to the group."""

    channel: str
    data: bytes
    kind: PacketKind
    message_id: str


class PeerStatus(NamedTuple):
    """What we know of another participant."""

    sender_id: str
    lamport: int
    """Of the newest message received from it."""
    last_seen: float
    """When that was, on the scale of ``now``."""
    unacknowledged: int
    """Messages of ours that are younger than the newest one it was seen to have: how far it may be behind."""


class ChannelStatus(NamedTuple):
    """How one channel stands."""

    channel: str
    state: State
    lamport: int
    history: int
    """Messages kept."""
    outgoing: int
    """Messages of ours that nobody acknowledged yet."""
    incoming: int
    """Messages that wait for what they depend on."""
    missing: int
    """Messages waited for."""
    lost: int
    """Messages given up since the channel was made; those that came after all are not counted."""
    repair_requests: int
    """Messages we are going to ask the group for."""
    repair_responses: int
    """Messages we are going to send again because somebody asked."""
    unsaved: int
    """History changes that are not stored yet."""
    peers: tuple[PeerStatus, ...]


SCHEMA_VERSION: Final = 1
"""Of the snapshots; another one is refused."""
