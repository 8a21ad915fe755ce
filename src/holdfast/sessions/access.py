"""Who asks, as the node's door introduces it."""

from __future__ import annotations

from typing import Any, Protocol


class Caller(Protocol):
    """Made by the node from what the connection or the token has proven."""

    @property
    def subject(self) -> str:
        """Its name: what its sessions have as owner."""
        ...

    @property
    def identity(self) -> Any:
        """What was proven; only the node looks at it."""
        ...

    @property
    def reaches_all(self) -> bool:
        """Whether other people's sessions exist for it too."""
        ...

    def denied(self, session: str) -> None:
        """It asked for a session that is not its own; for the audit log."""
        ...

    def grant(self) -> dict[str, Any]:
        """What to store of it with a session, so that the node can make it again."""
        ...

    def check(self, provider: str) -> None:
        """PermissionDenied if it may read nothing of ``provider``."""
        ...

    def check_send(self, provider: str) -> None:
        """PermissionDenied if it may send nothing to ``provider``; what exactly is for the provider to say."""
        ...

    def reads_all(self, provider: str) -> bool:
        """Whether it may read every subject of ``provider``; then :meth:`reads` is not asked."""
        ...

    def reads(self, subject: str) -> bool:
        """Whether it may read ``subject``; what it may not is not there for it."""
        ...


class Trusted:
    """The node's owner, and whoever a test trusts: may read everything."""

    __slots__ = ("subject",)

    reaches_all = True

    def __init__(self, subject: str) -> None:
        self.subject = subject

    @property
    def identity(self) -> None:
        """Nothing was proven."""

    def denied(self, session: str) -> None:
        """Nobody notes it."""

    def grant(self) -> dict[str, Any]:
        """Its name."""
        return {"subject": self.subject}

    def check(self, provider: str) -> None:
        """Fine."""

    def check_send(self, provider: str) -> None:
        """Fine, too."""

    def reads_all(self, provider: str) -> bool:
        """Everything."""
        return True

    def reads(self, subject: str) -> bool:
        """Everything."""
        return True


class Stranger(Trusted):
    """Somebody who has sessions of his own, and whom a test lets read everything."""

    __slots__ = ()

    reaches_all = False
