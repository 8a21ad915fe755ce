"""The token commands as one caller calls them: :class:`TokensApi` over the authority."""

from __future__ import annotations

from collections.abc import Callable

from .authority import Authority
from .identity import Identity
from .model import LoginLink, MintedToken, TokenInfo, TokenSpec

ENTER = "/v1/enter?code="
"""Where a code is given to the node."""


class TokensService:
    """One caller's side; whether it may has been asked before."""

    def __init__(self, authority: Authority, caller: Identity, login_url: Callable[[], str]) -> None:
        """``login_url`` gives the address browsers log in at; UsageError if there is none."""
        self._authority = authority
        self._caller = caller
        self._login_url = login_url

    async def mint(self, spec: TokenSpec) -> MintedToken:
        return await self._authority.mint(self._caller, spec)

    async def list(self) -> list[TokenInfo]:
        return self._authority.tokens()

    async def revoke(self, token_id: str) -> TokenInfo:
        return await self._authority.revoke(self._caller, token_id)

    async def link(self, token_id: str, to: str = "") -> LoginLink:
        base = self._login_url()
        info, code = self._authority.link(self._caller, token_id, to)
        path = ENTER + code.text
        return LoginLink(url=base + path, path=path, token_id=info.id, expires_at=code.expires_at)
