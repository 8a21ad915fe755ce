"""Sessions in the engine: one key for each, one for each of its cursors, one for each provider that was added."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from ..engine.stored import Stored
from ..errors import CorruptionError
from .delivery.reading import Position
from .model import PatternSpec

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from ..engine.base import Engine
    from .core.state import Session

SESSIONS = "sessions/"
CURSORS = "session-cursors/"
PROVIDERS = "session-providers/"


class StoredSession(msgspec.Struct, frozen=True):
    """A session, under ``sessions/<id>``."""

    grant: dict[str, Any]
    """Whose it is, in the node's words."""
    idle_after: float
    created_at: float
    version: int
    patterns: list[PatternSpec]


class StoredProvider(msgspec.Struct, frozen=True):
    """A provider that somebody added, under ``session-providers/<name>``."""

    kind: str
    options: dict[str, str]


class Loaded(NamedTuple):
    """What was stored."""

    sessions: dict[str, StoredSession]
    cursors: dict[str, dict[str, Position]]
    providers: dict[str, StoredProvider]


_encoder = msgspec.json.Encoder()
_sessions = Stored(StoredSession, "a session")
_providers = Stored(StoredProvider, "a provider")


class SessionStore:
    """Everything is durable on return.  What is asked about one session happens in the order it was asked."""

    def __init__(self, engine: Engine) -> None:
        self._kv = engine.kv
        self._last: dict[str, asyncio.Future[None]] = {}
        """The end of the newest work on each session."""

    async def load_all(self) -> Loaded:
        """All there is; cursors without their session are removed.  CorruptionError for what cannot be read."""
        sessions = {
            item.key.removeprefix(SESSIONS): _sessions.read(item.value, item.key)
            for item in await self._kv.list(SESSIONS)
        }
        cursors: dict[str, dict[str, Position]] = {}
        for item in await self._kv.list(CURSORS):
            session_id, _, subject = item.key.removeprefix(CURSORS).partition("/")
            if session_id in sessions:
                cursors.setdefault(session_id, {})[subject] = _position(item.key, item.value)
            else:
                await self._kv.delete(item.key)
        providers = {
            item.key.removeprefix(PROVIDERS): _providers.read(item.value, item.key)
            for item in await self._kv.list(PROVIDERS)
        }
        return Loaded(sessions, cursors, providers)

    async def save(
        self, session: Session, patterns: Sequence[PatternSpec], version: int, cursors: Mapping[str, Position]
    ) -> None:
        """Store the session, and ``cursors`` before it."""
        stored = StoredSession(session.caller.grant(), session.idle_after, session.created_at, version, list(patterns))
        async with self._turn(session.id):
            await self.move(session.id, cursors)
            await self._kv.put(SESSIONS + session.id, _encoder.encode(stored))

    async def move(self, session_id: str, cursors: Mapping[str, Position]) -> None:
        """Store how far the session is."""
        if len(cursors) == 1:
            for subject, position in cursors.items():
                await self._kv.put(f"{CURSORS}{session_id}/{subject}", _text(position))
        elif cursors:
            puts = [
                self._kv.put(f"{CURSORS}{session_id}/{subject}", _text(position))
                for subject, position in cursors.items()
            ]
            await asyncio.gather(*puts)

    async def forget_cursors(self, session_id: str, subjects: Sequence[str]) -> None:
        """These sources are gone."""
        async with self._turn(session_id):
            await self._forget_cursors(session_id, subjects)

    async def _forget_cursors(self, session_id: str, subjects: Sequence[str]) -> None:
        if subjects:
            await asyncio.gather(*(self._kv.delete(f"{CURSORS}{session_id}/{subject}") for subject in subjects))

    async def forget(self, session_id: str, subjects: Sequence[str]) -> None:
        """Remove it, and its cursors of ``subjects``; one that is stored later goes at the next :meth:`load_all`."""
        async with self._turn(session_id):
            await self._kv.delete(SESSIONS + session_id)
            await self._forget_cursors(session_id, subjects)

    @asynccontextmanager
    async def _turn(self, session_id: str) -> AsyncIterator[None]:
        """After whatever is under way for the session, and before what comes."""
        before = self._last.get(session_id)
        over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._last[session_id] = over
        try:
            if before is not None:
                await asyncio.wait([before])
            yield
        finally:
            over.set_result(None)
            if self._last.get(session_id) is over:
                del self._last[session_id]

    async def settle(self) -> None:
        """Wait for what is under way."""
        while self._last:
            await asyncio.wait(self._last.values())

    async def put_provider(self, name: str, kind: str, options: Mapping[str, str]) -> None:
        """Have the provider come back with the node."""
        await self._kv.put(PROVIDERS + name, _encoder.encode(StoredProvider(kind, dict(options))))

    async def forget_provider(self, name: str) -> None:
        """It does not come back."""
        await self._kv.delete(PROVIDERS + name)


def _text(position: Position) -> bytes:
    return b"%d%s" % (position.next, b"e" if position.ended else b"")


def _position(key: str, value: bytes) -> Position:
    try:
        return Position(int(value.removesuffix(b"e")), value.endswith(b"e"))
    except ValueError as error:
        raise CorruptionError(where=key, expected="a cursor", got=repr(value)) from error
