"""Causal reliability for groups of peers over a network that loses, repeats and reorders: a library of its own.

Peers broadcast; nobody is the server.  Whatever one sends is delivered to all others, once, and after everything its
sender had when it was sent.  :class:`Group` does it with asyncio over a transport; :class:`SyncPeer` is the protocol
alone, without I/O, clock or chance:

>>> from holdfast.sync import SyncPeer
>>> alice, bob = SyncPeer("alice"), SyncPeer("bob")
>>> for peer in (alice, bob):
...     made = peer.ensure("ops", now=0.0)
>>> lost = alice.wrap("ops", b"drain node 3", now=1.0)       # the network eats this one
>>> heard = alice.wrap("ops", b"node 3 is empty", now=2.0)
>>> len(bob.unwrap(heard, now=2.0).missing)                  # bob knows that something came before it
1
>>> bob.events()[0].missing[0].sender_id
'alice'
>>> now = 2.0
>>> while bob.status("ops").state != "synced":               # so he asks, and gets it
...     now += 0.05
...     for one, other in ((bob, alice), (alice, bob)):
...         one.handle_timer(now)
...         for packet in one.packets():
...             answer = other.unwrap(packet.data, now)
>>> [event.content for event in bob.events()]
[b'drain node 3', b'node 3 is empty']

What is stored, and where, is the shell's business: see :mod:`holdfast.sync.persistence`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .events import (
        DependenciesMissing,
        EphemeralReceived,
        Event,
        MessageAcknowledged,
        MessagePossiblyAcknowledged,
        MessageReady,
        MessagesIrretrievable,
        MessagesLost,
        MessageUnacknowledged,
        RepairReady,
        RetrievalHintWanted,
        SaveFailed,
        SyncDue,
    )
    from .group import Group, GroupMessage, GroupStatus
    from .keys import key_text, new_key, parse_key, read_key
    from .model import ChannelStatus, HistoryEntry, Message, Packet, PeerStatus, Unwrapped
    from .peer import SyncPeer
    from .persistence.base import ChannelData, HistoryUpdate, Persistence, StoredMessage, Write
    from .persistence.engine import EnginePersistence
    from .persistence.memory import MemoryPersistence
    from .persistence.noop import NoPersistence
    from .profiles import INTEROP, INTEROP_NIM, LAN, PROFILES, WAN, Profile
    from .saver import Saver
    from .transports.base import Transport
    from .transports.memory import MemoryNetwork
    from .transports.udp import Udp

_HOMES = {
    "events": (
        "DependenciesMissing",
        "EphemeralReceived",
        "Event",
        "MessageAcknowledged",
        "MessagePossiblyAcknowledged",
        "MessageReady",
        "MessageUnacknowledged",
        "MessagesIrretrievable",
        "MessagesLost",
        "RepairReady",
        "RetrievalHintWanted",
        "SaveFailed",
        "SyncDue",
    ),
    "group": ("Group", "GroupMessage", "GroupStatus"),
    "keys": ("key_text", "new_key", "parse_key", "read_key"),
    "model": ("ChannelStatus", "HistoryEntry", "Message", "Packet", "PeerStatus", "Unwrapped"),
    "peer": ("SyncPeer",),
    "persistence.base": ("ChannelData", "HistoryUpdate", "Persistence", "StoredMessage", "Write"),
    "persistence.engine": ("EnginePersistence",),
    "persistence.memory": ("MemoryPersistence",),
    "persistence.noop": ("NoPersistence",),
    "profiles": ("INTEROP", "INTEROP_NIM", "LAN", "PROFILES", "WAN", "Profile"),
    "saver": ("Saver",),
    "transports.base": ("Transport",),
    "transports.memory": ("MemoryNetwork",),
    "transports.udp": ("Udp",),
}
"""Imported when they are asked for: a command that knows no group does without all of them."""

__all__ = [
    "INTEROP",
    "INTEROP_NIM",
    "LAN",
    "PROFILES",
    "WAN",
    "ChannelData",
    "ChannelStatus",
    "DependenciesMissing",
    "EnginePersistence",
    "EphemeralReceived",
    "Event",
    "Group",
    "GroupMessage",
    "GroupStatus",
    "HistoryEntry",
    "HistoryUpdate",
    "MemoryNetwork",
    "MemoryPersistence",
    "Message",
    "MessageAcknowledged",
    "MessagePossiblyAcknowledged",
    "MessageReady",
    "MessageUnacknowledged",
    "MessagesIrretrievable",
    "MessagesLost",
    "NoPersistence",
    "Packet",
    "PeerStatus",
    "Persistence",
    "Profile",
    "RepairReady",
    "RetrievalHintWanted",
    "SaveFailed",
    "Saver",
    "StoredMessage",
    "SyncDue",
    "SyncPeer",
    "Transport",
    "Udp",
    "Unwrapped",
    "Write",
    "key_text",
    "new_key",
    "parse_key",
    "read_key",
]


def __getattr__(name: str) -> Any:
    from importlib import import_module

    for home, names in _HOMES.items():
        if name in names:
            value = getattr(import_module(f"{__name__}.{home}"), name)
            globals()[name] = value
            return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
