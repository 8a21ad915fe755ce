"""The token commands."""

from __future__ import annotations

from typing import Protocol

from ..rpc.commands import Commands
from .model import LoginLink, MintedToken, TokenInfo, TokenSpec


class TokensApi(Protocol):
    """What can be done with tokens; for the owner and for tokens of scope ``admin``."""

    async def mint(self, spec: TokenSpec) -> MintedToken:
        """Make a token; that it was made, not the token, is durable on return.

        UsageError naming a bad field; NotFound for a job that is not there; LimitExceeded (tokens_max).
        """
        ...

    async def list(self) -> list[TokenInfo]:
        """The tokens that were minted and have not been forgotten, oldest first; a job's only if it was revoked."""
        ...

    async def revoke(self, token_id: str) -> TokenInfo:
        """Make the token worthless; its connections are closed.  In force and durable on return; idempotent.

        A job's token has the id ``job-`` and the job's id.  NotFound if there is no such token.
        """
        ...

    async def link(self, token_id: str, to: str = "") -> LoginLink:
        """Make a link that logs one browser in with the rights of the token of that id; good once, ``login_link_s``.

        ``to``: the page of the node's own the browser goes on to, a path such as ``/watch.html?channel=c``.  The
        login ends with the token, or after ``login_s``.  Nothing of the link is stored: it is gone with the node.
        NotFound for the token, UsageError if that has expired or was revoked, for another ``to``, and for a node
        without an HTTP door where one logs in; LimitExceeded (login_links_max).
        """
        ...


COMMANDS = Commands("tokens", TokensApi)
