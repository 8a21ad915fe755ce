"""A node's groups, as everyone who speaks of them sees them.

Plain frozen classes: they import without msgspec and without the protocol, and every field has a type that JSON can
carry.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

GroupState = Literal["active", "left", "failed"]
"""``left``: it takes no part for now, and keeps what it has.  ``failed``: it could not, for the reason in ``error``."""

SyncState = Literal["", "synced", "missing", "lost"]
"""``synced``: nothing is waited for.  ``missing``: messages others refer to are.  ``lost``: some were given up."""

GROUPS_PROCESS = "groups"
"""The channels of groups are those of this process."""
ID_HEADER = "group-id"
"""Header of a channel's entry that came from the group: the message's id.  Entries appended to the channel directly
have none of these headers."""
LAMPORT_HEADER = "group-time"
"""The message's Lamport time; with the id, the order that all peers agree on."""
SENDER_HEADER = "group-sender"
"""The participant it is of, if that cannot be the sender of an entry."""
LOST_HEADER = "group-lost"
"""How many messages before it were given up, if any were."""


def group_channel(group: str) -> str:
    """The id of the channel that holds a group's messages."""
    return f"{GROUPS_PROCESS}/{group}"


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupSpec:
    """A group, and how this node takes part.  One of ``multicast``, ``listen`` and ``bus`` says over what."""

    name: str
    """What the group is called by all of its participants, and its channel here."""
    me: str
    """This node's participant; unique in the group."""
    multicast: str = ""
    """IPv4 multicast address and port, ``239.192.7.3:7946``: everyone who listens there takes part."""
    listen: str = ""
    """Address and port to listen at; port 0: a free one.  Then ``peers`` are the others."""
    peers: list[str] = field(default_factory=list)
    """Addresses and ports of the others; nobody else is heard."""
    bus: bool = False
    """Over the engine's bus, to other nodes of the same cluster."""
    interface: str = ""
    """IPv4 address of the interface for multicast; empty: the system's choice."""
    ttl: int = 1
    """How many routers a multicast datagram may pass, itself included."""
    profile: str = "lan"
    """Timers and sizes: ``lan``, ``wan``, ``interop`` or ``interop-nim``; the same for all of a group."""
    dialect: Literal["spec", "nim"] = "spec"
    """The wire; the same for all of a group."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupPeer:
    """Another participant that was heard."""

    name: str
    lamport: int = 0
    """Of its newest message."""
    last_seen: float = 0.0
    """Seconds since the Unix epoch."""
    behind: int = 0
    """Messages of ours that it may not have yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupInfo:
    """A group as it stands at this node.  Counts are since the node took part."""

    spec: GroupSpec
    state: GroupState = "active"
    error: str = ""
    channel: str = ""
    """The channel that holds its messages."""
    address: str = ""
    """Where it listens, if it does."""
    sealed: bool = False
    """Whether what it sends is sealed with a key."""
    created_at: float = 0.0
    """Seconds since the Unix epoch."""
    sync: SyncState = ""
    lamport: int = 0
    history: int = 0
    """Messages kept for others that miss them."""
    outgoing: int = 0
    """Messages of ours that nobody has acknowledged yet."""
    incoming: int = 0
    """Messages that wait for those they come after."""
    missing: int = 0
    lost: int = 0
    sent: int = 0
    delivered: int = 0
    duplicates: int = 0
    acknowledged: int = 0
    repaired: int = 0
    malformed: int = 0
    refused: int = 0
    unsaved: int = 0
    skipped: int = 0
    """Messages that the channel's limits keep out, and entries of the channel too large for a message."""
    datagrams_sent: int = 0
    datagrams_received: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0
    dropped: int = 0
    namesake: int = 0
    """Messages under our own name that we did not have: of an earlier life that kept no state, or of somebody else
    who has our name."""
    unverified: int = 0
    """Datagrams that were not sealed with the group's key, or came before."""
    peers: list[GroupPeer] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupSent:
    """A message on its way: stored here, and in the channel."""

    id: str
    index: int = 0
    """Its index in the channel; 0: it is ephemeral."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedMessage:
    """One message of the order that all peers agree on."""

    id: str
    sender: str
    lamport: int
    content_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupSnapshot:
    """What a participant knows: the newest messages in the agreed order, and what it waits for."""

    name: str
    lamport: int = 0
    log: list[LoggedMessage] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    """Ids of messages others refer to, that were not received yet."""
