"""Tokens, as both SDKs show them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from ..security.api import TokensApi
from ..security.identity import Role
from ..security.model import LoginLink, MintedToken, TokenInfo, TokenSpec

if TYPE_CHECKING:
    from .link import Link
    from .sync_link import SyncLink


def _spec(subject: str, scopes: Iterable[str], ttl_s: float, job: str, channel: str, role: Role) -> TokenSpec:
    return TokenSpec(subject=subject, scopes=list(scopes), ttl_s=ttl_s, job=job, channel=channel, role=role)


class Tokens:
    """The tokens of a node; for its owner, and with a token of scope ``admin``."""

    def __init__(self, link: Link) -> None:
        self._link = link

    async def mint(
        self,
        subject: str,
        scopes: Iterable[str],
        *,
        ttl_s: float = 3600.0,
        job: str = "",
        channel: str = "",
        role: Role = "",
    ) -> MintedToken:
        """Make a token for ``subject``, good for ``ttl_s`` seconds; keep it now, the node does not.

        With ``job`` (a name or id) or ``channel`` (``PROCESS/NAME``, or a name of the job's) nothing else exists for
        it; a ``reader`` writes nothing.  Raises UsageError, NotFound for the job, PermissionDenied, LimitExceeded.
        """
        spec = _spec(subject, scopes, ttl_s, job, channel, role)
        return await self._link.do(TokensApi.mint, spec)

    async def list(self) -> list[TokenInfo]:
        """What is known of the tokens, oldest first."""
        return await self._link.ask(TokensApi.list)

    async def revoke(self, token_id: str) -> TokenInfo:
        """Make the token of that id worthless, at once, and close its connections.  Idempotent.  NotFound."""
        return await self._link.ask(TokensApi.revoke, token_id)

    async def link(self, token_id: str, to: str = "") -> LoginLink:
        """Make a link that logs one browser in with the rights of the token of that id: good once, for minutes.

        ``to``: the page of the node's own (``serve --http-root``) the browser goes on to.  Raises NotFound,
        UsageError for a token that is good no more and for a node where nobody logs in, LimitExceeded.
        """
        return await self._link.do(TokensApi.link, token_id, to)


class SyncTokens:
    """The blocking twin of :class:`Tokens`."""

    def __init__(self, node: SyncLink) -> None:
        self._node = node

    def mint(
        self,
        subject: str,
        scopes: Iterable[str],
        *,
        ttl_s: float = 3600.0,
        job: str = "",
        channel: str = "",
        role: Role = "",
    ) -> MintedToken:
        """As :meth:`Tokens.mint`."""
        spec = _spec(subject, scopes, ttl_s, job, channel, role)
        return self._node.do(TokensApi.mint, spec)

    def list(self) -> list[TokenInfo]:
        """What is known of the tokens, oldest first."""
        return self._node.ask(TokensApi.list)

    def revoke(self, token_id: str) -> TokenInfo:
        """As :meth:`Tokens.revoke`."""
        return self._node.ask(TokensApi.revoke, token_id)

    def link(self, token_id: str, to: str = "") -> LoginLink:
        """As :meth:`Tokens.link`."""
        return self._node.do(TokensApi.link, token_id, to)
