"""What both clients' sessions share: messages out of a stream, each once, whatever breaks in between."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Literal

from ...errors import UsageError
from ...ids import new_token
from ...rpc.failures import decode_failure
from ...sessions.model import Message, PatternSpec
from ...sessions.packing import Unpacker
from ...streams.reader import Chunk, Failed, Item

Pattern = str | PatternSpec
Payload = bytes | str
AckMode = Literal["auto", "manual", "never"]
"""``auto``: a message counts as dealt with when the next one is asked for, or the session is left without an error.
``manual``: when ``ack`` says so; at most ``session_unacknowledged_max`` messages of durable sources come ahead of it.
``never``: it all comes again to whoever attaches next."""


def specs_of(patterns: Iterable[Pattern]) -> list[PatternSpec]:
    """Patterns as they travel; a bare one has the usual policy.  UsageError for one that is not in a list."""
    if isinstance(patterns, str | PatternSpec):
        raise UsageError(f"patterns: a list of patterns was expected, not {patterns!r} alone", field="patterns")
    return [PatternSpec(pattern=one) if isinstance(one, str) else one for one in patterns]


def payload_of(payload: Payload) -> bytes:
    """Text travels as UTF-8.  UsageError for what is neither text nor bytes."""
    if not isinstance(payload, str | bytes | bytearray | memoryview):
        raise UsageError(f"payload: text or bytes were expected, not {type(payload).__name__}", field="payload")
    return payload.encode() if isinstance(payload, str) else bytes(payload)


def headers_of(headers: Mapping[str, str] | None) -> dict[str, str]:
    """As they travel."""
    return dict(headers or {})


def check_acknowledges(mode: AckMode) -> None:
    """UsageError for a session that was attached never to acknowledge anything."""
    if mode == "never":
        raise UsageError("ack: this session was attached with ack='never'", field="ack")


def client_name() -> str:
    """Who we are to whom we take a session from, and to ourselves after a cut: unlike any other."""
    return f"{os.uname().nodename}:{os.getpid()}:{new_token(4)}"


class _Places:
    """Where durable sources go on.  What is said of one that is gone, or was made anew, is not of the next one."""

    def __init__(self, next_positions: Mapping[str, int] | None = None, ended: Iterable[str] = ()) -> None:
        self._next = dict(next_positions or {})
        self._ended = set(ended)

    def copy(self) -> _Places:
        """The same, to be changed by itself."""
        return _Places(self._next, self._ended)

    def note(self, message: Message) -> None:
        """``message`` is dealt with."""
        subject = message.subject
        if message.durable:
            self._next[subject] = message.next_position
            if message.kind == "ended":
                self._ended.add(subject)
        elif message.kind in ("gone", "gap"):
            self._forget(subject)
        elif message.kind == "unbound":
            for one in message.detail.get("subjects", ()):
                self._forget(one)

    def _forget(self, subject: str) -> None:
        self._next.pop(subject, None)
        self._ended.discard(subject)

    def rest_of(self, message: Message) -> Message | None:
        """What of ``message`` was not dealt with; None: all was."""
        if not message.durable:
            return message
        if message.kind == "ended":
            return None if message.subject in self._ended else message
        seen = self._next.get(message.subject, -1)
        if message.next_position <= seen:
            return None
        if message.position < seen and len(message.payload) == message.next_position - message.position:
            return message._replace(payload=message.payload[seen - message.position :], position=seen)
        return message


class Inbox:
    """Messages that have arrived and were not taken yet.

    After a cut the node begins with what was not acknowledged; what was taken before is left out, so a message, or a
    byte of a job's output, is given once in the life of this object.
    """

    def __init__(self) -> None:
        self.ended = False
        """We were detached: nothing more comes."""
        self.received = 0
        """Messages of this attachment that have arrived."""
        self.taken = 0
        """How many of them were taken, or left out: what can be acknowledged."""
        self._unpacker = Unpacker()
        self._waiting: deque[tuple[int, Message]] = deque()
        self._taken = _Places()
        """Where each durable source goes on after what was taken."""
        self._arrived = _Places()
        """Where each goes on after what has arrived."""

    def __len__(self) -> int:
        return len(self._waiting)

    def attached(self) -> None:
        """A new attachment begins, whatever the one before left unfinished."""
        self.ended = False
        self.received = self.taken = 0
        self._unpacker = Unpacker()
        self._waiting.clear()
        self._arrived = self._taken.copy()

    def receive(self, item: Item) -> None:
        """What the stream gave; raises what the node ended it with.  DisconnectedError is a cut, to be outlived."""
        if isinstance(item, Chunk):
            for message in self._unpacker.take(bytes(item.data)):
                self.received += 1
                fresh = self._fresh(message)
                if fresh is not None:
                    self._waiting.append((self.received, fresh))
            if not self._waiting:
                self.taken = self.received
        elif isinstance(item, Failed):
            raise decode_failure(item.error)
        else:
            self.ended = True

    def _fresh(self, message: Message) -> Message | None:
        """What of ``message`` has not arrived before."""
        fresh = self._arrived.rest_of(message)
        if fresh is not None:
            self._arrived.note(fresh)
        return fresh

    def take(self) -> Message | None:
        """The next message; None if more has to be received first."""
        if not self._waiting:
            return None
        self.taken, message = self._waiting.popleft()
        self._taken.note(message)
        if not self._waiting:
            self.taken = max(self.taken, self.received)
        return message
