"""The storage primitives every domain is built on, and what each promises.

An engine implements them; the one contract suite in ``tests/contract`` holds every engine to what these docstrings
say.
"""

from .ack import AckLevel
from .blobs import Blob, BlobStat, BlobStore
from .bus import Bus, BusMessage, BusSubscription
from .engine import Engine
from .keyvalue import Change, Item, KeyValue, Synced
from .log import Entry, Hole, Log, LogMode, LogStat, Packed, Piece, Producer, Run

__all__ = [
    "AckLevel",
    "Blob",
    "BlobStat",
    "BlobStore",
    "Bus",
    "BusMessage",
    "BusSubscription",
    "Change",
    "Engine",
    "Entry",
    "Hole",
    "Item",
    "KeyValue",
    "Log",
    "LogMode",
    "LogStat",
    "Packed",
    "Piece",
    "Producer",
    "Run",
    "Synced",
]
