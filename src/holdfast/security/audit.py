"""The audit log: who was denied what, and which tokens were made and revoked.  One JSON object a line, no secrets.

Lines are appended whole to a file that is the owner's alone.  A full file becomes ``audit.log.1``, and the one before
it goes.  Who floods it with denials, or with logins, fills no disk: beyond a rate they are counted, and the next denial
says how many.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import structlog

from ..errors import StorageError

if TYPE_CHECKING:
    from ..clock import Clock
    from ..limits import Limits
    from .identity import Identity

_log = structlog.get_logger("holdfast.audit")

_TEXT_MAX = 200
"""Characters kept of what a stranger may choose."""


class AuditLog:
    """Writes ``audit.log`` in ``directory``.  Each line is one short write, on the caller's thread."""

    def __init__(self, directory: str, *, clock: Clock, limits: Limits) -> None:
        self._path = os.path.join(directory, "audit.log")
        self._clock = clock
        self._bytes_max = limits.audit_bytes_max
        self._rate = limits.audit_denials_per_s_max
        self._fd = -1
        self._size = 0
        self._second = 0
        self._in_second = 0
        self._left_out = 0

    def open(self) -> None:
        """Open or make the file.  StorageError if that fails."""
        try:
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            self._fd = os.open(self._path, flags, 0o600)
            os.fchmod(self._fd, 0o600)
            self._size = os.fstat(self._fd).st_size
        except OSError as error:
            raise StorageError(f"cannot use {self._path}: {error.strerror}") from error

    def close(self) -> None:
        """Let go of the file; idempotent."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def denied(self, identity: Identity | None, action: str, resource: str, reason: str, peer: str = "") -> None:
        """``identity`` (None: nobody was proven) asked for ``action`` on ``resource`` and was refused."""
        if self._too_many():
            return
        fields = {"action": action, "resource": resource, "reason": reason, "peer": peer}
        if self._left_out:
            fields["left_out"] = str(self._left_out)
            self._left_out = 0
        self._write("denied", identity, fields)

    def minted(self, by: Identity, made: Identity) -> None:
        """``by`` made a token that makes its bearer ``made``."""
        fields = {"token": made.token_id, "subject": made.subject, "scope": " ".join(sorted(made.scopes))}
        bounds = {"job": made.job, "channel": made.channel, "role": made.role}
        self._write("token.minted", by, {**fields, **bounds}, expires_at=made.expires_at)

    def revoked(self, by: Identity, token_id: str) -> None:
        """``by`` revoked a token."""
        self._write("token.revoked", by, {"token": token_id})

    def linked(self, by: Identity, bearer: Identity) -> None:
        """``by`` made a link that lets one browser in as ``bearer``."""
        if not self._too_many():
            self._write("login.linked", by, {"token": bearer.token_id, "subject": bearer.subject})

    def logged_in(self, who: Identity, peer: str) -> None:
        """A browser used its link."""
        if not self._too_many():
            self._write("login.entered", who, {"peer": peer}, expires_at=who.expires_at)

    def logged_out(self, who: Identity, peer: str) -> None:
        """A browser gave its login up."""
        if not self._too_many():
            self._write("login.left", who, {"peer": peer})

    def _too_many(self) -> bool:
        second = int(self._clock.now())
        if second != self._second:
            self._second, self._in_second = second, 0
        self._in_second += 1
        if self._in_second <= self._rate:
            return False
        self._left_out += 1
        return True

    def _write(self, event: str, by: Identity | None, texts: dict[str, str], **numbers: float) -> None:
        told: dict[str, Any] = {name: text[:_TEXT_MAX] for name, text in texts.items() if text}
        told.update(numbers)
        told["by"] = by.subject[:_TEXT_MAX] if by is not None else ""
        if by is not None and by.token_id:
            told["by_token"] = by.token_id[:_TEXT_MAX]
        (_log.warning if event == "denied" else _log.info)(f"audit.{event}", **told)
        self._append(json.dumps({"time": round(self._clock.wall(), 3), "event": event, **told}).encode() + b"\n")

    def _append(self, line: bytes) -> None:
        try:
            if self._size and self._size + len(line) > self._bytes_max:
                self._rotate()
            self._size += os.write(self._fd, line)
        except (OSError, StorageError) as error:  # a full disk must not turn a refusal into something else
            _log.error("audit.not_written", error=str(error))

    def _rotate(self) -> None:
        os.rename(self._path, f"{self._path}.1")
        self.close()
        self.open()
