"""The node's authority over its tokens: mints, knows, revokes, and writes down that it did."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from ..errors import LimitExceeded, NotFound, Unauthenticated, UsageError
from ..ids import check_name, is_id, new_id
from .audit import AuditLog
from .identity import ROLES, SCOPES, Identity
from .keys import NodeKey, load_key
from .logins import Code, Logins
from .model import MintedToken, TokenInfo, TokenSpec
from .store import TokenStore
from .tokens import check_times, encode_token, read_token

if TYPE_CHECKING:
    from ..clock import Clock
    from ..engine.base import KeyValue
    from ..limits import Limits

_JOB_PREFIX = "job-"
"""Of the ids of jobs' tokens."""
_JOB_TTL_S = 10 * 365 * 86_400
"""A job's token is good for longer than any job: nobody could give a running command another one."""
_JOB_SCOPES = frozenset({"channels:read", "channels:write"})
_OURS = frozenset({"node", "holdfast"})
"""Names under which the node itself acts and speaks."""
_FORGET_S = 7 * 86_400.0
"""Expired tokens are listed for this long."""


class Authority:
    """One per node.  ``resolve_job(name or id)`` gives a job's id or raises NotFound."""

    def __init__(
        self, kv: KeyValue, state_dir: str, *, resolve_job: Callable[[str], str], clock: Clock, limits: Limits
    ) -> None:
        self.audit = AuditLog(state_dir, clock=clock, limits=limits)
        self._store = TokenStore(kv)
        self._keys_dir = os.path.join(state_dir, "keys")
        self._resolve_job = resolve_job
        self._clock = clock
        self._limits = limits
        self._key: NodeKey
        self.logins = Logins(kv, self.audit, self._store.is_revoked, clock=clock, limits=limits)
        """Browsers, which come with a cookie."""
        self.on_revoked: Callable[[str], None] = lambda _token_id: None
        """Told the id of each token that is revoked."""

    async def open(self) -> None:
        """Load or make the key and read what was revoked.  StorageError, CorruptionError.  Blocks for the key."""
        import jwt as _jwt  # noqa: F401 - 60 ms that the first job to start need not wait for

        self._key = load_key(self._keys_dir)
        self.audit.open()
        await self._store.load()
        await self._store.forget(self._clock.wall() - _FORGET_S)
        await self.logins.load()

    @property
    def node_id(self) -> str:
        """Names the node in its tokens."""
        return self._key.node_id

    def close(self) -> None:
        """Let go of the audit log; idempotent."""
        self.audit.close()

    def authenticate(self, token: str, peer: str = "") -> Identity:
        """Whose ``token`` it is.  Unauthenticated, and noted, if it is not good (any more)."""
        whose: Identity | None = None
        try:
            whose, issued_at = read_token(self._key, token)
            check_times(whose, issued_at, self._clock.wall())
            if self._store.is_revoked(whose.token_id):
                raise Unauthenticated("the token was revoked")
        except Unauthenticated as error:
            self.audit.denied(whose, "authenticate", "", str(error), peer)
            raise
        return whose

    def check_in_force(self, identity: Identity) -> None:
        """Unauthenticated if the token, or the login, that made it so has expired or was revoked since."""
        if identity.expires_at and self._clock.wall() >= identity.expires_at:
            raise Unauthenticated("the token has expired")
        if self._store.is_revoked(identity.token_id):
            raise Unauthenticated("the token was revoked")
        if identity.login:
            self.logins.check_in_force(identity.login)

    async def mint(self, by: Identity, spec: TokenSpec) -> MintedToken:
        """See :meth:`TokensApi.mint`."""
        await self._store.forget(self._clock.wall() - _FORGET_S)
        if len(self._store) >= self._limits.tokens_max:
            raise LimitExceeded(name="tokens_max", limit=self._limits.tokens_max, value=len(self._store) + 1)
        issued_at = int(self._clock.wall())
        identity = self._identity(spec, issued_at)
        info = TokenInfo(
            id=identity.token_id,
            subject=identity.subject,
            scopes=sorted(identity.scopes),
            job=identity.job,
            channel=identity.channel,
            role=identity.role,
            issued_at=float(issued_at),
            expires_at=identity.expires_at,
        )
        await self._store.put(info)
        self.audit.minted(by, identity)
        return MintedToken(token=encode_token(self._key, identity, issued_at), info=info)

    def mint_for_job(self, job_id: str) -> str:
        """The token of a job's command: it speaks in the job's own channels, as executor.  Not listed; revocable."""
        issued_at = int(self._clock.wall())
        identity = Identity(
            f"job:{job_id}",
            _JOB_SCOPES,
            job=job_id,
            role="executor",
            token_id=_JOB_PREFIX + job_id,
            expires_at=float(issued_at + _JOB_TTL_S),
        )
        self.audit.minted(Identity("node"), identity)
        return encode_token(self._key, identity, issued_at)

    def tokens(self) -> list[TokenInfo]:
        """What is known of minted tokens, oldest first."""
        return self._store.all()

    def link(self, by: Identity, token_id: str, page: str) -> tuple[TokenInfo, Code]:
        """See :meth:`TokensApi.link`."""
        info = self._store.get(token_id)
        if info is None:
            check_token_id(token_id)
            raise NotFound(kind="token", name=token_id)
        if info.revoked_at or self._clock.wall() >= info.expires_at:
            what = "was revoked" if info.revoked_at else "has expired"
            raise UsageError(f"token_id: the token {what}; nobody can log in with it", field="token_id")
        bearer = Identity(
            subject=info.subject,
            scopes=frozenset(info.scopes),
            job=info.job,
            channel=info.channel,
            role=info.role,
            token_id=info.id,
            expires_at=info.expires_at,
        )
        return info, self.logins.link(by, bearer, page)

    async def revoke(self, by: Identity, token_id: str) -> TokenInfo:
        """See :meth:`TokensApi.revoke`."""
        info = self._store.get(token_id) or self._of_job(token_id)
        if info.revoked_at:
            return info
        info = replace(info, revoked_at=self._clock.wall())
        self.audit.revoked(by, token_id)
        try:
            await self._store.put(info)
        finally:
            self.on_revoked(token_id)
        await self.logins.end_of_token(token_id)
        return info

    def _of_job(self, token_id: str) -> TokenInfo:
        job_id = check_token_id(token_id)
        if not token_id.startswith(_JOB_PREFIX):
            raise NotFound(kind="token", name=token_id)
        expires_at = self._clock.wall() + _JOB_TTL_S
        return TokenInfo(id=token_id, subject=f"job:{job_id}", job=job_id, role="executor", expires_at=expires_at)

    def _identity(self, spec: TokenSpec, issued_at: int) -> Identity:
        check_name(spec.subject.replace("@", "."), "subject")
        if spec.subject in _OURS:
            raise UsageError(f"subject: {spec.subject!r} is the node itself", field="subject")
        unknown = sorted(set(spec.scopes) - set(SCOPES))
        if unknown or not spec.scopes:
            what = f"{unknown[0]!r} is none" if unknown else "at least one is needed"
            raise UsageError(f"scopes: {what}; there are {', '.join(SCOPES)}", field="scopes")
        if spec.role not in ROLES:
            raise UsageError(f"role: {spec.role!r} is not submitter, executor or reader", field="role")
        if not (1 <= spec.ttl_s <= self._limits.token_ttl_s_max and math.isfinite(spec.ttl_s)):
            limit_s = self._limits.token_ttl_s_max
            raise UsageError(f"ttl_s: {spec.ttl_s} is not between 1 and token_ttl_s_max = {limit_s:.0f}", field="ttl_s")
        job = self._resolve_job(spec.job) if spec.job else ""
        return Identity(
            spec.subject,
            frozenset(spec.scopes),
            job=job,
            channel=_channel(job, spec.channel),
            role=spec.role,
            token_id=new_id(),
            expires_at=float(issued_at + math.ceil(spec.ttl_s)),
        )


def check_token_id(token_id: str) -> str:
    """``token_id`` without a job's prefix; UsageError if it is none."""
    bare = token_id.removeprefix(_JOB_PREFIX)
    if not is_id(bare):  # a token given instead of its id must not come back in an error
        raise UsageError("token_id: that is not a token's id", field="token_id")
    return bare


def _channel(job: str, channel: str) -> str:
    """``<process>/<name>``; UsageError if it is none, or not the job's."""
    if not channel:
        return ""
    process, slash, name = channel.rpartition("/")
    if not slash and not job:
        raise UsageError(f"channel: {channel!r} needs its process, PROCESS/NAME, or a job", field="channel")
    if slash and job and process != job:
        raise UsageError(f"channel: {channel!r} is not one of job {job}", field="channel")
    return f"{check_name(process or job, 'channel')}/{check_name(name, 'channel')}"
