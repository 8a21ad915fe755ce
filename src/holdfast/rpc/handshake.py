"""Who is at the other end: authenticators, sans-I/O, one per way of proving it.

The dialing end's first AUTH names its ``method``; each further AUTH answers the one before.  An accepting end is open
once its authenticator is ``proven`` and says so with READY; a dialing end takes READY only when its own is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from ..errors import PermissionDenied, ProtocolError, Unauthenticated
from .proofs import PROOF_BYTES, hmac_sha256, same

NONCE_BYTES = 32
"""Fresh random bytes from each end, so that an old proof is worth nothing."""
SECRET_BYTES = 32
"""A job's secret."""

_LABEL = b"holdfast job-link 1"

AuthBody = dict[str, Any]


class Authenticator(Protocol):
    """One end's part of proving who is there.  Used for one connection, then dropped."""

    @property
    def method(self) -> str:
        """The name of this way of proving, as AUTH carries it."""
        ...

    @property
    def proven(self) -> bool:
        """Whether the peer has proven all that this end asks of it."""
        ...

    @property
    def identity(self) -> str:
        """Who the peer is, once proven; empty at a dialing end."""
        ...

    def first(self) -> AuthBody | None:
        """The AUTH body a dialing end opens with; None at an accepting end."""
        ...

    def receive(self, body: AuthBody) -> AuthBody | None:
        """Take the peer's AUTH; the body to answer with, if any.

        Raises Unauthenticated or PermissionDenied, which end the connection, and ProtocolError for a bad body.
        """
        ...


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
        _expect_method(self.method, body)
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
        _expect_method(self.method, body)
        self.principal = self._verify(_text_field(body, "token"))
        return None


class JobLinkNode:
    """The node's end of the link to the keeper of ``job_id``; mutual, by the job's ``secret``, which never travels.

    ``random(n)`` gives n fresh random bytes.
    """

    method = "job-link"
    identity = ""

    def __init__(self, job_id: str, secret: bytes, random: Callable[[int], bytes]) -> None:
        _check_secret(secret)
        self._job_id = job_id
        self._secret = secret
        self._nonce = random(NONCE_BYTES)
        self.proven = False

    def first(self) -> AuthBody | None:
        """Name the job and the role, and challenge the keeper."""
        return {"method": self.method, "job": self._job_id, "role": "node", "nonce": self._nonce.hex()}

    def receive(self, body: AuthBody) -> AuthBody | None:
        """Check the keeper's proof and give ours; Unauthenticated if it does not know the secret."""
        if self.proven:
            raise ProtocolError("AUTH after the keeper's proof", "wrong-state")
        keeper_nonce = _hex_field(body, "nonce", NONCE_BYTES)
        nonces = self._nonce + keeper_nonce
        _check_proof(body, self._secret, "keeper", self._job_id, nonces)
        self.proven = True
        return {"proof": _proof(self._secret, "node", self._job_id, nonces).hex()}


class JobLinkKeeper:
    """The keeper's end of the link from the node that owns ``job_id``; see :class:`JobLinkNode`."""

    method = "job-link"

    def __init__(self, job_id: str, secret: bytes, random: Callable[[int], bytes]) -> None:
        _check_secret(secret)
        self._job_id = job_id
        self._secret = secret
        self._nonce = random(NONCE_BYTES)
        self._nonces = b""
        self.proven = False
        self.identity = ""

    def first(self) -> AuthBody | None:
        """An accepting end waits."""
        return None

    def receive(self, body: AuthBody) -> AuthBody | None:
        """First the challenge, then the node's proof; Unauthenticated for another job or secret."""
        if not self._nonces:
            return self._receive_challenge(body)
        if self.proven:
            raise ProtocolError("AUTH after the node's proof", "wrong-state")
        _check_proof(body, self._secret, "node", self._job_id, self._nonces)
        self.proven = True
        self.identity = f"node:{self._job_id}"
        return None

    def _receive_challenge(self, body: AuthBody) -> AuthBody:
        _expect_method(self.method, body)
        if not same(_text_field(body, "job").encode(), self._job_id.encode()):
            raise Unauthenticated("job link: this is the keeper of another job")
        if _text_field(body, "role") != "node":
            raise Unauthenticated("job link: only the role node is known here")
        self._nonces = _hex_field(body, "nonce", NONCE_BYTES) + self._nonce
        proof = _proof(self._secret, "keeper", self._job_id, self._nonces)
        return {"nonce": self._nonce.hex(), "proof": proof.hex()}


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
            self._chosen = self._choices.get(_text_field(body, "method"))
            if self._chosen is None:
                _expect_method(self.method, body)
        assert self._chosen is not None
        return self._chosen.receive(body)


def _proof(secret: bytes, role: str, job_id: str, nonces: bytes) -> bytes:
    """What only a holder of the secret can say, in this role, for this job, on this connection."""
    return hmac_sha256(secret, b"\0".join((_LABEL, role.encode(), job_id.encode())) + nonces)


def _check_proof(body: AuthBody, secret: bytes, role: str, job_id: str, nonces: bytes) -> None:
    if not same(_hex_field(body, "proof", PROOF_BYTES), _proof(secret, role, job_id, nonces)):
        raise Unauthenticated(f"job link: the {role} does not know the secret of job {job_id}")


def _check_secret(secret: bytes) -> None:
    assert len(secret) == SECRET_BYTES, "a job's secret has 32 bytes"


def _expect_method(method: str, body: AuthBody) -> None:
    named = _text_field(body, "method")
    if named != method:
        hint = ": show a token" if method == "bearer" else ""
        raise Unauthenticated(f"authentication by {named!r} is not offered here, only by {method}{hint}")


def _text_field(body: AuthBody, name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str):
        raise ProtocolError(f"AUTH: {name} must be a string")
    return value


def _hex_field(body: AuthBody, name: str, size: int) -> bytes:
    try:
        value = bytes.fromhex(_text_field(body, name))
    except ValueError as error:
        raise ProtocolError(f"AUTH: {name} must be hexadecimal") from error
    if len(value) != size:
        raise ProtocolError(f"AUTH: {name} must have {size} bytes, not {len(value)}")
    return value
