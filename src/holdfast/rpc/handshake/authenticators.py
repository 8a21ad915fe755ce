"""Who calls a node: its owner on the same machine, the bearer of a token, or whichever of the two."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from ...errors import PermissionDenied, ProtocolError
from ..bodies import text_field
from .greeting import AuthBody, Authenticator, expect_method


class LocalClient:
    """Dials a unix socket: the kernel tells the other end who we are, file permissions tell us who it is."""

    method = "local"
    proven = True
    identity = ""

    def first(self) -> AuthBody | None:
        """The whole proof is the method's name."""
        return {"method": self.method}

    def receive(self, body: AuthBody) -> AuthBody | None:
        """Nothing is ever asked of a local client."""
        raise ProtocolError(f"AUTH {sorted(body)} was not asked for", "wrong-state")


class LocalOwner:
    """Accepts on a unix socket whoever runs as ``owner_uid``; ``peer_uid`` is what the kernel says, None if unknown."""

    method = "local"

    def __init__(self, owner_uid: int, peer_uid: int | None) -> None:
        self.owner_uid = owner_uid
        self._peer_uid = peer_uid
        self.proven = False
        self.identity = ""

    def first(self) -> AuthBody | None:
        """An accepting end waits."""
        return None

    def receive(self, body: AuthBody) -> AuthBody | None:
        """Let the owner in; PermissionDenied for anyone else, Unauthenticated for another method."""
        expect_method(self.method, body)
        if self._peer_uid is None:
            raise PermissionDenied("the system does not say which user is calling")
        if self._peer_uid != self.owner_uid:
            raise PermissionDenied(f"user {self._peer_uid} may not use a node of user {self.owner_uid}")
        self.identity = f"local:{self._peer_uid}"
        self.proven = True
        return None


class BearerClient:
    """Shows a token, which says who we are and what we may; who the node is, TLS or the socket's directory has told.

    ``token`` is the token, or gives it when the connection begins.
    """

    method = "bearer"
    proven = True
    identity = ""

    def __init__(self, token: str | Callable[[], str]) -> None:
        self._token = token

    def first(self) -> AuthBody | None:
        """The method's name and the token."""
        token = self._token if isinstance(self._token, str) else self._token()
        return {"method": self.method, "token": token}

    def receive(self, body: AuthBody) -> AuthBody | None:
        """Nothing is ever asked of a bearer."""
        raise ProtocolError(f"AUTH {sorted(body)} was not asked for", "wrong-state")


class Principal(Protocol):
    """Who a token was made out to."""

    @property
    def name(self) -> str:
        """As READY tells it to the caller."""
        ...


class BearerVerifier:
    """Accepts whoever shows a token that ``verify`` knows; it gives the token's owner or raises Unauthenticated."""

    method = "bearer"

    def __init__(self, verify: Callable[[str], Principal]) -> None:
        self._verify = verify
        self.principal: Principal | None = None
        """Who it was, once proven."""

    @property
    def proven(self) -> bool:
        """Whether a valid token was shown."""
        return self.principal is not None

    @property
    def identity(self) -> str:
        """The name in the token."""
        return "" if self.principal is None else self.principal.name

    def first(self) -> AuthBody | None:
        """An accepting end waits."""
        return None

    def receive(self, body: AuthBody) -> AuthBody | None:
        """Let the token's owner in; Unauthenticated for another method or a token that is not good."""
        expect_method(self.method, body)
        self.principal = self._verify(text_field(body, "token", "AUTH"))
        return None


class OneOf:
    """Accepts by whichever of several ways the dialing end's first AUTH names."""

    def __init__(self, choices: Sequence[Authenticator]) -> None:
        self._choices = {choice.method: choice for choice in choices}
        self._chosen: Authenticator | None = None

    @property
    def method(self) -> str:
        """The chosen way, or all of them."""
        return self._chosen.method if self._chosen else " or ".join(self._choices)

    @property
    def proven(self) -> bool:
        """Whether the chosen way has been gone to its end."""
        return self._chosen is not None and self._chosen.proven

    @property
    def identity(self) -> str:
        """Who the chosen way proved."""
        return self._chosen.identity if self._chosen else ""

    @property
    def chosen(self) -> Authenticator | None:
        """The way the dialing end chose; None before it has."""
        return self._chosen

    def first(self) -> AuthBody | None:
        """An accepting end waits."""
        return None

    def receive(self, body: AuthBody) -> AuthBody | None:
        """Choose by the first AUTH, then pass on; Unauthenticated for a way that is not offered."""
        if self._chosen is None:
            self._chosen = self._choices.get(text_field(body, "method", "AUTH"))
            if self._chosen is None:
                expect_method(self.method, body)
        assert self._chosen is not None
        return self._chosen.receive(body)
