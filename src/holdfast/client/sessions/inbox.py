"""What both clients' sessions share: messages out of a stream, each once, whatever breaks in between."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Mapping

from ...ids import new_token
from ...rpc.failures import decode_failure
from ...sessions.model import Message, PatternSpec
from ...sessions.packing import Unpacker
from ...streams.reader import Chunk, Failed, Item

Pattern = str | PatternSpec
Payload = bytes | str


def specs_of(patterns: Iterable[Pattern]) -> list[PatternSpec]:
    """Patterns as they travel; a bare one has the usual policy."""
    return [PatternSpec(pattern=one) if isinstance(one, str) else one for one in patterns]


def payload_of(payload: Payload) -> bytes:
    """Text travels as UTF-8."""
    return payload.encode() if isinstance(payload, str) else bytes(payload)


def headers_of(headers: Mapping[str, str] | None) -> dict[str, str]:
    """As they travel."""
    return dict(headers or {})


def client_name() -> str:
    """Who we are to whom we take a session from, and to ourselves after a cut: unlike any other."""
    return f"{os.uname().nodename}:{os.getpid()}:{new_token(4)}"


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
        self._seen: dict[str, int] = {}
        """Where each durable source goes on after what was taken."""
        self._over: set[str] = set()
        """Those whose end was taken."""

    def __len__(self) -> int:
        return len(self._waiting)

    def attached(self) -> None:
        """A new attachment begins, whatever the one before left unfinished."""
        self.ended = False
        self.received = self.taken = 0
        self._unpacker = Unpacker()
        self._waiting.clear()

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
        """What of ``message`` was not taken before."""
        if not message.durable:
            return message
        seen = self._seen.get(message.subject, -1)
        if message.kind == "ended":
            return None if message.subject in self._over else message
        if message.next_position <= seen:
            return None
        if message.position < seen and len(message.payload) == message.next_position - message.position:
            return message._replace(payload=message.payload[seen - message.position :], position=seen)
        return message

    def take(self) -> Message | None:
        """The next message; None if more has to be received first."""
        if not self._waiting:
            return None
        self.taken, message = self._waiting.popleft()
        if message.kind == "gone":
            self._seen.pop(message.subject, None)
            self._over.discard(message.subject)
        elif message.durable:
            self._seen[message.subject] = message.next_position
            if message.kind == "ended":
                self._over.add(message.subject)
        if not self._waiting:
            self.taken = max(self.taken, self.received)
        return message
