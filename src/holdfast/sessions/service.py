"""The session commands as one connection calls them: :class:`SessionsApi` over the actor."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import LimitExceeded
from .api import DEFAULT_IDLE
from .delivery.outflow import Carrier
from .model import (
    AttachStart,
    Change,
    Message,
    PatternSpec,
    ProviderInfo,
    Published,
    Removal,
    SessionInfo,
    SessionStats,
    SubjectInfo,
)

if TYPE_CHECKING:
    from ..limits import Limits
    from ..rpc.aio.connection import AsyncConnection
    from .access import Caller
    from .actor import Sessions


class SessionsService:
    """One caller's side.  What it attached to is detached with its connection, by itself."""

    def __init__(self, sessions: Sessions, caller: Caller, connection: AsyncConnection, limits: Limits) -> None:
        self._sessions = sessions
        self._caller = caller
        self._connection = connection
        self._limits = limits

    async def new(self, patterns: list[PatternSpec] = [], idle_after: float = DEFAULT_IDLE) -> SessionInfo:  # noqa: B006
        return await self._sessions.new(self._caller, patterns, idle_after)

    async def attach(
        self, session: str, stream: int, steal: bool = False, client: str = "", acknowledges: bool = True
    ) -> AttachStart:
        carrier = Carrier(self._connection, stream, acknowledges)
        found = await self._sessions.attach(self._caller, session, carrier, client=client, steal=steal)
        why = self._sessions.recovery(found.session)
        return AttachStart(attachment=found.attachment, version=found.version, recovered=not why, recovered_why=why)

    async def detach(self, session: str, attachment: int = 0) -> SessionInfo:
        return await self._sessions.detach(self._caller, session, attachment)

    async def configure(
        self, session: str, patterns: list[PatternSpec], dry_run: bool = False, expected_version: int = 0
    ) -> Change:
        return await self._sessions.configure(
            self._caller, session, patterns, dry_run=dry_run, expected_version=expected_version
        )

    async def ack(self, session: str, attachment: int, count: int) -> None:
        await self._sessions.ack(self._caller, session, attachment, count)

    async def close(self, session: str, reason: str = "") -> None:
        await self._sessions.end(self._caller, session, reason)

    async def info(self, session: str) -> SessionInfo:
        return self._sessions.info(self._caller, session)

    async def publish(
        self,
        subject: str,
        payload: bytes,
        headers: dict[str, str] = {},  # noqa: B006
        sequence: int = 0,
    ) -> Published:
        limit = self._limits.session_message_bytes_max
        if len(payload) > limit:
            raise LimitExceeded(name="session_message_bytes_max", limit=limit, value=len(payload))
        message = Message(subject, payload, headers, position=sequence or -1)
        return Published(position=await self._sessions.publish(self._caller, message))

    async def subjects(self, pattern: str) -> list[SubjectInfo]:
        return list(await self._sessions.subjects(self._caller, pattern))

    async def providers(self) -> list[ProviderInfo]:
        return self._sessions.providers()

    async def add_provider(self, name: str, kind: str, options: dict[str, str] = {}) -> ProviderInfo:  # noqa: B006
        return await self._sessions.add_provider(name, kind, options)

    async def remove_provider(self, name: str, reason: str = "") -> Removal:
        return await self._sessions.remove_provider(name, reason)

    async def stats(self) -> SessionStats:
        return self._sessions.stats()

    async def list(self, after: str = "") -> list[SessionInfo]:
        return self._sessions.list(self._caller, after)
