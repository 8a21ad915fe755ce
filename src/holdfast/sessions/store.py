"""Sessions in the engine: one key for each, one for each of its cursors, one for each provider that was added."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from ..errors import CorruptionError
from .model import PatternSpec
from .outlet import Position

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ..engine.base import Engine
    from .state import Session

SESSIONS = "sessions/"
CURSORS = "session-cursors/"
PROVIDERS = "session-providers/"

Work = Callable[[], Coroutine[Any, Any, None]]


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
_sessions = msgspec.json.Decoder(StoredSession)
_providers = msgspec.json.Decoder(StoredProvider)


class SessionStore:
    """Everything is durable on return.  What is asked about one session happens in the order it was asked."""

    def __init__(self, engine: Engine) -> None:
        self._kv = engine.kv
        self._last: dict[str, asyncio.Task[None]] = {}
        """The newest work on each session that is not done."""

    async def load_all(self) -> Loaded:
        """All there is; cursors without their session are removed.  CorruptionError for what cannot be read."""
        sessions = {
            item.key.removeprefix(SESSIONS): _decode(_sessions, item.key, item.value)
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
            item.key.removeprefix(PROVIDERS): _decode(_providers, item.key, item.value)
            for item in await self._kv.list(PROVIDERS)
        }
        return Loaded(sessions, cursors, providers)

    def save(
        self,
        session: Session,
        patterns: Sequence[PatternSpec],
        version: int,
        cursors: Mapping[str, Position],
    ) -> asyncio.Task[None]:
        """Store the session, and ``cursors`` before it."""
        stored = StoredSession(session.caller.grant(), session.idle_after, session.created_at, version, list(patterns))
        return self._next(session.id, partial(self._save, session.id, stored, cursors))

    async def _save(self, session_id: str, stored: StoredSession, cursors: Mapping[str, Position]) -> None:
        await self.move(session_id, cursors)
        await self._kv.put(SESSIONS + session_id, _encoder.encode(stored))

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

    def forget_cursors(self, session_id: str, subjects: Sequence[str]) -> asyncio.Task[None]:
        """These sources are gone."""
        return self._next(session_id, partial(self._forget_cursors, session_id, subjects))

    async def _forget_cursors(self, session_id: str, subjects: Sequence[str]) -> None:
        await asyncio.gather(*(self._kv.delete(f"{CURSORS}{session_id}/{subject}") for subject in subjects))

    def forget(self, session_id: str, subjects: Sequence[str]) -> asyncio.Task[None]:
        """Remove it, and its cursors of ``subjects``; one that is stored later goes at the next :meth:`load_all`."""
        return self._next(session_id, partial(self._forget, session_id, subjects))

    async def _forget(self, session_id: str, subjects: Sequence[str]) -> None:
        await self._kv.delete(SESSIONS + session_id)
        await self._forget_cursors(session_id, subjects)

    def _next(self, session_id: str, work: Work) -> asyncio.Task[None]:
        """Do ``work`` after what is under way for the session."""
        task = asyncio.create_task(_after(self._last.get(session_id), work), name=f"session-store-{session_id}")
        self._last[session_id] = task
        task.add_done_callback(lambda _: self._done(session_id, task))
        return task

    def _done(self, session_id: str, task: asyncio.Task[None]) -> None:
        if self._last.get(session_id) is task:
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


async def _after(before: asyncio.Task[None] | None, work: Work) -> None:
    """``work`` is not begun before: a coroutine that is never awaited is a warning."""
    if before is not None:
        await asyncio.wait([before])
    await work()


def _decode(decoder: Any, key: str, value: bytes) -> Any:
    try:
        return decoder.decode(value)
    except msgspec.MsgspecError as error:
        raise CorruptionError(where=key, expected="what sessions store", got=str(error)) from error


def _text(position: Position) -> bytes:
    return b"%d%s" % (position.next, b"e" if position.ended else b"")


def _position(key: str, value: bytes) -> Position:
    try:
        return Position(int(value.removesuffix(b"e")), value.endswith(b"e"))
    except ValueError as error:
        raise CorruptionError(where=key, expected="a cursor", got=repr(value)) from error
