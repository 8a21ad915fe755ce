"""What the node keeps of its tokens: that they were made, and that they were revoked.  Never a token."""

from __future__ import annotations

import msgspec

from ..engine.base import KeyValue
from ..engine.stored import Stored
from .model import TokenInfo

_PREFIX = "tokens/"


class TokenStore:
    """Token metadata in the engine, all of it in memory too: it is asked on every new connection."""

    def __init__(self, kv: KeyValue) -> None:
        self._kv = kv
        self._infos: dict[str, TokenInfo] = {}
        self._revoked: set[str] = set()
        self._encoder = msgspec.json.Encoder()
        self._stored = Stored(TokenInfo, "a token's record")

    def __len__(self) -> int:
        return len(self._infos)

    async def load(self) -> None:
        """Read all of it.  CorruptionError for what cannot be read: a revocation may be in it."""
        for item in await self._kv.list(_PREFIX):
            self._keep(self._stored.read(item.value, item.key))

    def get(self, token_id: str) -> TokenInfo | None:
        """What is known of a token."""
        return self._infos.get(token_id)

    def all(self) -> list[TokenInfo]:
        """All of them, oldest first."""
        return sorted(self._infos.values(), key=lambda info: (info.issued_at, info.id))

    def is_revoked(self, token_id: str) -> bool:
        """Whether the token was revoked."""
        return token_id in self._revoked

    async def put(self, info: TokenInfo) -> None:
        """Keep ``info``, durable on return; a revocation is in force at once, even if it cannot be stored."""
        if info.revoked_at:
            self._keep(info)
        await self._kv.put(_PREFIX + info.id, self._encoder.encode(info))
        self._keep(info)

    async def forget(self, expired_before: float) -> None:
        """Drop what expired before that time; revoked or not, such a token is worthless."""
        for info in [info for info in self._infos.values() if info.expires_at < expired_before]:
            await self._kv.delete(_PREFIX + info.id)
            del self._infos[info.id]
            self._revoked.discard(info.id)

    def _keep(self, info: TokenInfo) -> None:
        self._infos[info.id] = info
        if info.revoked_at:
            self._revoked.add(info.id)
