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


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginLink:
    """A way in for a browser, good once and not for long."""

    url: str = field(repr=False)
    """For the browser's address line, where the node serves HTTP itself."""
    path: str = field(repr=False)
    """The same below whatever other address the node is reached by."""
    token_id: str = ""
    """The token whose rights the browser gets."""
    expires_at: float = 0.0
    """When the link is worthless, used or not."""
