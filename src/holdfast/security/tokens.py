"""Tokens: JWTs (RFC 7519) that the node signs with EdDSA (RFC 8037), and takes from nobody else.

A claim this release does not know may be a restriction of a newer one; such a token is refused, not half understood.
"""

from __future__ import annotations

from typing import Any

from ..errors import Unauthenticated
from ..limits import LIMITS
from .identity import ROLES, SCOPES, Identity
from .keys import NodeKey

ALGORITHM = "EdDSA"
_REQUIRED = frozenset({"iss", "sub", "scope", "iat", "exp", "jti"})
_OPTIONAL = frozenset({"job", "channel", "role"})
_TIME_MAX = 1 << 53
"""Seconds a float still counts one by one."""
_CLOCK_SKEW_S = 60.0
"""How far in the future a token may have been issued: the node's clock may have been set back."""


def encode_token(key: NodeKey, identity: Identity, issued_at: int) -> str:
    """The token that makes its bearer ``identity`` until ``identity.expires_at``."""
    import jwt

    assert not identity.local, "no token makes its bearer the owner"
    claims: dict[str, Any] = {
        "iss": key.node_id,
        "sub": identity.subject,
        "scope": " ".join(sorted(identity.scopes)),
        "iat": issued_at,
        "exp": int(identity.expires_at),
        "jti": identity.token_id,
    }
    claims.update({name: value for name in _OPTIONAL if (value := getattr(identity, name))})
    return jwt.encode(claims, key.private, algorithm=ALGORITHM)


def decode_token(key: NodeKey, token: str, wall: float) -> Identity:
    """Who the bearer of ``token`` is at ``wall``, in seconds since the epoch.

    Unauthenticated for anything but a token of this node that is in force; the text never holds any of it.
    Whether it was revoked is not looked at.
    """
    identity, issued_at = read_token(key, token)
    check_times(identity, issued_at, wall)
    return identity


def check_times(identity: Identity, issued_at: float, wall: float) -> None:
    """Unauthenticated if a token with these times is not in force at ``wall``."""
    if wall >= identity.expires_at:
        raise Unauthenticated("the token has expired")
    if issued_at > wall + _CLOCK_SKEW_S:
        raise Unauthenticated("the token is not in force yet")


def read_token(key: NodeKey, token: str) -> tuple[Identity, float]:
    """Whom ``token`` was made for, in force or not, and when.  Unauthenticated if it is not one of this node's."""
    import jwt

    if len(token) > LIMITS.token_bytes_max:
        raise Unauthenticated(
            f"the token is longer than any of this node's (token_bytes_max = {LIMITS.token_bytes_max})"
        )
    try:
        claims = jwt.decode(
            token,
            key.public,
            algorithms=[ALGORITHM],
            issuer=key.node_id,
            options={"require": sorted(_REQUIRED), "verify_exp": False, "verify_iat": False, "verify_nbf": False},
        )
    except (jwt.PyJWTError, ValueError, TypeError, RecursionError):  # what strangers send may break a parser anywhere
        raise Unauthenticated("the token is not one of this node's") from None
    return _identity(claims), float(claims["iat"])


def _identity(claims: dict[str, Any]) -> Identity:
    unknown = set(claims) - _REQUIRED - _OPTIONAL
    texts = {name: claims.get(name, "") for name in ("sub", "scope", "jti", *_OPTIONAL)}
    times = all(type(claims[name]) is int and 0 <= claims[name] < _TIME_MAX for name in ("iat", "exp"))
    if unknown or not times or not all(isinstance(text, str) for text in texts.values()):
        raise Unauthenticated("the token holds what this node does not understand")
    scopes = frozenset(texts["scope"].split())
    if scopes - set(SCOPES) or texts["role"] not in ROLES or not (texts["sub"] and texts["jti"]):
        raise Unauthenticated("the token holds what this node does not understand")
    return Identity(
        subject=texts["sub"],
        scopes=scopes,
        job=texts["job"],
        channel=texts["channel"],
        role=texts["role"],
        token_id=texts["jti"],
        expires_at=float(claims["exp"]),
    )
