"""The token commands as one caller calls them: :class:`TokensApi` over the authority."""

from __future__ import annotations

from .authority import Authority
from .identity import Identity
from .model import MintedToken, TokenInfo, TokenSpec


class TokensService:
    """One caller's side; whether it may has been asked before."""

    def __init__(self, authority: Authority, caller: Identity) -> None:
        self._authority = authority
        self._caller = caller

    async def mint(self, spec: TokenSpec) -> MintedToken:
        return await self._authority.mint(self._caller, spec)

    async def list(self) -> list[TokenInfo]:
        return self._authority.tokens()

    async def revoke(self, token_id: str) -> TokenInfo:
        return await self._authority.revoke(self._caller, token_id)
