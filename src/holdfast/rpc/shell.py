"""What the shells of a connection have in common, whether they wait on an event loop or in their calls."""

from __future__ import annotations

from ..errors import ClosedError, DisconnectedError, HoldfastError
from .connection import Connection
from .states import Link


class Shell:
    """How a connection stands, and what those are told who come when it is over."""

    def __init__(self, core: Connection) -> None:
        self.core = core
        self.retry_after_s = 0.0
        """How long the peer asked us to stay away when it said goodbye."""
        self._reason: HoldfastError | None = None

    @property
    def identity(self) -> str:
        """Who called, as the accepting end proved it; empty until open."""
        return self.core.identity

    @property
    def link(self) -> Link:
        """How the link stands, computed from what the peer acknowledged as far as it was heard."""
        return Link.CLOSED if self._reason is not None else self.core.link

    @property
    def closed_by(self) -> HoldfastError | None:
        """Why the connection is over; None while it is not."""
        return self._reason

    def check_usable(self) -> None:
        """ClosedError or DisconnectedError if the connection is over."""
        if self._reason is not None:
            raise self.cut_error()

    def cut_error(self, resume_offset: int | None = None) -> HoldfastError:
        """A fresh error for whoever waits on a connection that is over."""
        reason = self._reason
        if isinstance(reason, ClosedError):
            return ClosedError(reason.message)
        error = DisconnectedError(reason.message if reason else "", resume_offset)
        error.__cause__ = reason
        return error
