"""How browsers get in: a link that is good once, and the login that comes of it.

A browser's EventSource can send no token, and a token has no business in a URL.  So a one-time code goes there, for a
few minutes; it is exchanged for a cookie that names a login kept here.  Of codes and cookies the node keeps only
hashes.  A login has the rights of its token and ends with it, when it expires or is revoked.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from ..engine.stored import Stored
from ..errors import LimitExceeded, Unauthenticated, UsageError
from .identity import Identity, Role

if TYPE_CHECKING:
    from ..clock import Clock
    from ..engine.base import KeyValue
    from ..limits import Limits
    from .audit import AuditLog

_PREFIX = "logins/"
_SECRET_BYTES = 32
_PAGE_CHARACTERS_MAX = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """A browser's login, as it is stored; its key is the hash of the cookie."""

    subject: str
    scopes: list[str]
    token_id: str
    made_at: float
    expires_at: float
    job: str = ""
    channel: str = ""
    role: Role = ""


class Code(NamedTuple):
    """A fresh one-time code."""

    text: str
    expires_at: float


class Entered(NamedTuple):
    """What a code was exchanged for."""

    cookie: str
    max_age_s: int
    identity: Identity
    page: str
    """Where the browser goes on to; empty: nowhere in particular."""


class _Waiting(NamedTuple):
    identity: Identity
    page: str
    until: float
    """On the clock that never goes back."""


class Logins:
    """All codes and logins of a node.  ``is_revoked(token id)`` says whether a token is worthless."""

    def __init__(
        self, kv: KeyValue, audit: AuditLog, is_revoked: Callable[[str], bool], *, clock: Clock, limits: Limits
    ) -> None:
        self._kv = kv
        self._audit = audit
        self._is_revoked = is_revoked
        self._clock = clock
        self._limits = limits
        self._codes: dict[str, _Waiting] = {}
        self._logins: dict[str, Login] = {}
        self._encoder = msgspec.json.Encoder()
        self._stored = Stored(Login, "a login's record")

    async def load(self) -> None:
        """Read the logins; those that are over are dropped.  CorruptionError for what cannot be read."""
        for item in await self._kv.list(_PREFIX):
            self._logins[item.key.removeprefix(_PREFIX)] = self._stored.read(item.value, item.key)
        await self._drop([key for key, login in self._logins.items() if self._is_over(login)])

    def __len__(self) -> int:
        return len(self._logins)

    # links

    def link(self, by: Identity, bearer: Identity, page: str) -> Code:
        """A code, made for ``by``, that lets one browser in as ``bearer``; not stored.

        A token has ``logins_per_token_max`` at once; one more makes the oldest worthless.  UsageError for a ``page``
        that is no path of ours, LimitExceeded (login_links_max).
        """
        assert bearer.token_id, "only who has a token can be let in"
        check_page(page)
        now = self._clock.now()
        self._codes = {key: waiting for key, waiting in self._codes.items() if waiting.until > now}
        own = [key for key, waiting in self._codes.items() if waiting.identity.token_id == bearer.token_id]
        for key in own[: max(0, len(own) + 1 - self._limits.logins_per_token_max)]:
            del self._codes[key]  # one token's bearer cannot take all there are
        if len(self._codes) >= self._limits.login_links_max:
            limit = self._limits.login_links_max
            raise LimitExceeded(name="login_links_max", limit=limit, value=len(self._codes) + 1)
        text = secrets.token_urlsafe(_SECRET_BYTES)
        self._codes[_hash(text)] = _Waiting(bearer, page, now + self._limits.login_link_s)
        self._audit.linked(by, bearer)
        return Code(text, self._clock.wall() + self._limits.login_link_s)

    def look(self, code: str) -> Identity:
        """Whom ``code`` would let in; it stays good.  Unauthenticated if it was used, or is too old, or is none."""
        return self._find(code).identity

    def _find(self, code: str) -> _Waiting:
        waiting = self._codes.get(_hash(code))
        if waiting is None or waiting.until <= self._clock.now():
            raise Unauthenticated("the link was used already, or is too old")
        self._check_token(waiting.identity)
        return waiting

    def _check_token(self, identity: Identity) -> None:
        if self._is_revoked(identity.token_id):
            raise Unauthenticated("the token was revoked")
        if self._clock.wall() >= identity.expires_at:
            raise Unauthenticated("the token has expired")

    async def enter(self, code: str, peer: str = "") -> Entered:
        """Exchange ``code``, which is worthless from now on, for a login; durable on return.

        Unauthenticated, and noted, if it is not good (any more).
        """
        try:
            waiting = self._find(code)
        except Unauthenticated as error:
            self._audit.denied(None, "login", "", str(error), peer)
            raise
        del self._codes[_hash(code)]  # before anything else can happen
        await self._make_room(waiting.identity.token_id)
        cookie = secrets.token_urlsafe(_SECRET_BYTES)
        login = self._login_of(waiting.identity)
        key = _hash(cookie)
        await self._kv.put(_PREFIX + key, self._encoder.encode(login))
        if self._is_over(login):  # revoked while it was stored
            await self._kv.delete(_PREFIX + key)
            raise Unauthenticated("the login has ended already")
        self._logins[key] = login
        identity = _identity_of(key, login)
        self._audit.logged_in(identity, peer)
        return Entered(cookie, int(login.expires_at - login.made_at), identity, waiting.page)

    def _login_of(self, identity: Identity) -> Login:
        now = self._clock.wall()
        return Login(
            subject=identity.subject,
            scopes=sorted(identity.scopes),
            token_id=identity.token_id,
            made_at=now,
            expires_at=min(identity.expires_at, now + self._limits.login_s),
            job=identity.job,
            channel=identity.channel,
            role=identity.role,
        )

    async def _make_room(self, token_id: str) -> None:
        await self._drop([key for key, login in self._logins.items() if self._is_over(login)])
        own = sorted(
            (key for key, login in self._logins.items() if login.token_id == token_id),
            key=lambda key: self._logins[key].made_at,
        )
        await self._drop(own[: max(0, len(own) + 1 - self._limits.logins_per_token_max)])
        if len(self._logins) >= self._limits.logins_max:
            raise LimitExceeded(name="logins_max", limit=self._limits.logins_max, value=len(self._logins) + 1)

    # logins

    def identify(self, cookie: str) -> Identity:
        """Who has ``cookie``.  Unauthenticated if its login is over, or there never was one."""
        key = _hash(cookie)
        login = self._logins.get(key)
        if login is None or self._is_over(login):
            raise Unauthenticated("the login has ended; a new link is needed")
        return _identity_of(key, login)

    def check_in_force(self, key: str) -> None:
        """Unauthenticated once the login that an identity names is over."""
        login = self._logins.get(key)
        if login is None or self._is_over(login):
            raise Unauthenticated("the login has ended; a new link is needed")

    async def leave(self, who: Identity, peer: str = "") -> None:
        """End the login that ``who`` came with; idempotent."""
        if who.login in self._logins:
            self._audit.logged_out(who, peer)
        await self._drop([who.login])

    async def end_of_token(self, token_id: str) -> None:
        """Forget all codes and logins of a token, which was revoked."""
        self._codes = {key: one for key, one in self._codes.items() if one.identity.token_id != token_id}
        await self._drop([key for key, login in self._logins.items() if login.token_id == token_id])

    def _is_over(self, login: Login) -> bool:
        return self._clock.wall() >= login.expires_at or self._is_revoked(login.token_id)

    async def _drop(self, keys: list[str]) -> None:
        for key in keys:
            self._logins.pop(key, None)  # in force at once, even if it cannot be stored
            await self._kv.delete(_PREFIX + key)


def check_page(page: str) -> str:
    """``page`` itself if it is empty or a path below this node; UsageError for what could lead anywhere else."""
    lone = page[:1] == "/" and page[1:2] not in ("/", "\\")
    plain = page.isascii() and page.isprintable() and not set(page) & set(' "<>\\^`{|}')
    if page and not (lone and plain and len(page) <= _PAGE_CHARACTERS_MAX):
        raise UsageError(f"to: {page[:80]!r} is not a path such as /watch.html", field="to")
    return page


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode(errors="replace")).hexdigest()


def _identity_of(key: str, login: Login) -> Identity:
    return Identity(
        subject=login.subject,
        scopes=frozenset(login.scopes),
        job=login.job,
        channel=login.channel,
        role=login.role,
        token_id=login.token_id,
        expires_at=login.expires_at,
        login=key,
    )
