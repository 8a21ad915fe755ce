"""Tokens as callers speak of them.  Plain frozen classes: they import without cryptography."""

from __future__ import annotations

from dataclasses import dataclass, field

from .identity import Role


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenSpec:
    """What a token is to allow, and whom."""

    subject: str
    """Who will show it: letters, digits, ``_``, ``-``, ``.`` and ``@``."""
    scopes: list[str]
    ttl_s: float = 3600.0
    """How long it is good."""
    job: str = ""
    """The only job it reaches, by name or id; empty: any."""
    channel: str = ""
    """The only channel: ``<process>/<name>``, or a name if ``job`` is given; empty: any."""
    role: Role = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenInfo:
    """A token, but for the token itself, which is kept nowhere."""

    id: str
    subject: str
    scopes: list[str] = field(default_factory=list)
    job: str = ""
    channel: str = ""
    role: Role = ""
    issued_at: float = 0.0
    """Seconds since the Unix epoch, as all times here."""
    expires_at: float = 0.0
    revoked_at: float = 0.0
    """0.0: it was not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MintedToken:
    """A fresh token; what is not kept now is lost."""

    token: str = field(repr=False)
    info: TokenInfo
