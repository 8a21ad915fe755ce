"""What is stored of a channel beside its entries: the ``meta`` of its log."""

from __future__ import annotations

from sys import intern
from typing import Any

import msgspec

from ...engine.base import Producer
from ...engine.stored import Stored
from ..model import ChannelLimits, QuestionPolicy

PREFIX = "channels/"

NO_LIMITS = ChannelLimits()


class Question(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An input asked for and not answered yet."""

    index: int
    sequence: int
    sender: str
    policy: QuestionPolicy = "wait"
    expires_at: float = 0.0
    """Seconds since the Unix epoch; 0.0: never."""


class ChannelRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One channel, as stored; process and name are in the log's name, positions are the log's own."""

    submitter: str
    executor: str = ""
    retain: bool = False
    limits: ChannelLimits = NO_LIMITS
    created_at: float = 0.0
    closed_at: float = 0.0
    questions: tuple[Question, ...] = ()
    order: str | None = None
    """The last writers' order (``Stream-Seq``) that came with an append."""
    closed_by: Producer | None = None
    """The producer whose append closed it."""

    def changed(self, **fields: Any) -> ChannelRecord:
        """The same record with some fields replaced."""
        return msgspec.structs.replace(self, **fields)


_encoder = msgspec.json.Encoder()
_stored = Stored(ChannelRecord, "a channel's record")


def log_name(process: str, name: str) -> str:
    """The name of the log that is the channel."""
    return f"{PREFIX}{process}/{name}"


def encode_record(record: ChannelRecord) -> bytes:
    """As stored."""
    return _encoder.encode(record)


def decode_record(log: str, meta: bytes) -> ChannelRecord:
    """From what is stored with the log of that name.  CorruptionError if it is no channel."""
    record = _stored.read(meta, f"log {log!r}")
    return record.changed(submitter=intern(record.submitter), executor=intern(record.executor))
