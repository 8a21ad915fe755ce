"""Who comes in over RPC: the owner on the unix socket, a token's bearer anywhere; whoever does not is noted."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import PermissionDenied, Unauthenticated
from ..rpc.handshake.authenticators import BearerVerifier, LocalOwner, OneOf
from ..rpc.handshake.greeting import AuthBody, Authenticator
from .authority import Authority
from .identity import Identity, owner


class Door(OneOf):
    """Accepts callers of one connection by one of ``choices``; ``peer`` says where they call from."""

    def __init__(self, choices: Sequence[Authenticator], authority: Authority, peer: str) -> None:
        super().__init__(choices)
        self._authority = authority
        self.peer = peer

    def receive(self, body: AuthBody) -> AuthBody | None:
        """As OneOf; who is turned away is noted in the audit log."""
        try:
            return super().receive(body)
        except (Unauthenticated, PermissionDenied) as error:
            if not isinstance(self.chosen, BearerVerifier):  # a bad token has been noted where it was looked at
                self._authority.audit.denied(None, "connect", "", str(error), self.peer)
            raise

    @property
    def caller(self) -> Identity:
        """Who came in; only once proven."""
        chosen = self.chosen
        if isinstance(chosen, BearerVerifier) and isinstance(chosen.principal, Identity):
            return chosen.principal
        assert isinstance(chosen, LocalOwner), "nobody came in yet"
        assert chosen.proven, "nobody came in yet"
        return owner(chosen.owner_uid)


def unix_door(authority: Authority, owner_uid: int, peer_uid: int | None) -> Door:
    """For the unix socket: the owner, or somebody who is content with less."""
    peer = f"uid {peer_uid}"
    choices: list[Authenticator] = [LocalOwner(owner_uid, peer_uid), _bearer(authority, peer)]
    return Door(choices, authority, peer)


def tcp_door(authority: Authority, peer: str) -> Door:
    """For TCP: nobody without a token."""
    return Door([_bearer(authority, peer)], authority, peer)


def _bearer(authority: Authority, peer: str) -> BearerVerifier:
    return BearerVerifier(lambda token: authority.authenticate(token, peer))
