"""The keeper's door: who may come in, and which one connection is the node.

Anyone of this user may knock; only who knows the job's secret gets in; the newest that does is the node.
"""

from __future__ import annotations

import os
import selectors
import socket
from collections.abc import Callable
from typing import Protocol

from ...clock import Clock
from ...errors import BusyError, HoldfastError
from ...limits import LIMITS
from ...paths import make_private_dir
from ...rpc.connection import Connection
from ...rpc.events import Event, Opened, RequestReceived
from ...rpc.handshake.job_link import JobLinkKeeper
from ...rpc.selecting import SelectorConnection, SelectorListener
from ...rpc.states import Role
from .certificate import Certificate

GUESTS_MAX = 8
"""Connections that have not proven themselves; one more, and the oldest of them is cut."""
FEATURES = ("keeper",)


class Host(Protocol):
    """What the door opens to."""

    def node_arrived(self) -> None:
        """There is a node, perhaps instead of another one."""
        ...

    def node_left(self) -> None:
        """There is none any more."""
        ...

    def request_received(self, link: SelectorConnection, request: RequestReceived) -> None:
        """The node calls."""
        ...


class Link:
    """Listens at ``path`` from the start; lets nobody in before ``host`` is set."""

    def __init__(
        self,
        path: str,
        certificate: Certificate,
        selector: selectors.BaseSelector,
        clock: Clock,
        log: Callable[[str], None],
    ) -> None:
        self._certificate = certificate
        self._selector = selector
        self._clock = clock
        self._log = log
        self._limits = LIMITS._replace(handshake_s=certificate.handshake_s)
        self._guests: dict[SelectorConnection, None] = {}
        self._leaving: dict[SelectorConnection, None] = {}
        self.host: Host | None = None
        self.node: SelectorConnection | None = None
        """The proven connection, if there is one."""
        self.path = path
        self._listener = SelectorListener(path, selector, self._accept)

    def renew(self) -> None:
        """Listen at ``path`` anew, in a directory that is made anew too, after both were taken away.

        Raises StorageError, BusyError or UsageError if that cannot be now; then nobody is let in.
        """
        directory = os.path.dirname(self.path)
        make_private_dir(os.path.dirname(directory))
        make_private_dir(directory)
        self._listener.close()
        self._listener = SelectorListener(self.path, self._selector, self._accept)

    def close(self) -> None:
        """Let nobody in any more, and the node go, with a goodbye."""
        self._listener.close()
        for guest in [*self._guests, *self._leaving]:
            guest.abort()
        if self.node is not None:
            self.node.close()

    def next_deadline(self) -> float | None:
        """When :meth:`handle_timer` has something to do."""
        deadlines = [link.next_deadline() for link in self._all()]
        return min((deadline for deadline in deadlines if deadline is not None), default=None)

    def handle_timer(self) -> None:
        """Time has passed, for each connection."""
        for link in self._all():
            link.handle_timer()

    # what connections tell

    def handle_event(self, link: SelectorConnection, event: Event) -> None:
        """Let in who has proven itself; pass on what the node asks."""
        if isinstance(event, RequestReceived):
            if link is self.node and self.host is not None:
                self.host.request_received(link, event)
        elif isinstance(event, Opened):
            self._let_in(link)

    def handle_closed(self, link: SelectorConnection, error: HoldfastError | None) -> None:
        """Forget a connection."""
        self._leaving.pop(link, None)
        if link in self._guests:
            del self._guests[link]
            self._log(f"somebody was not let in: {error}")
        elif link is self.node:
            self.node = None
            self._log(f"the node left: {error or 'in order'}")
            if self.host is not None:
                self.host.node_left()

    def _all(self) -> list[SelectorConnection]:
        node = () if self.node is None else (self.node,)
        return [*node, *self._guests, *self._leaving]

    def _accept(self, sock: socket.socket, uid: int | None) -> None:
        if uid not in (None, 0, os.geteuid()):
            self._log(f"user {uid} was not let in")
            sock.close()
            return
        authenticator = JobLinkKeeper(self._certificate.job, self._certificate.secret, os.urandom)
        core = Connection(Role.SERVER, authenticator, now=self._clock.now(), limits=self._limits, features=FEATURES)
        if len(self._guests) >= GUESTS_MAX:
            next(iter(self._guests)).abort()
        link = SelectorConnection(sock, core, self._selector, self, self._clock)
        self._guests[link] = None
        link.flush()

    def _let_in(self, link: SelectorConnection) -> None:
        del self._guests[link]
        before, self.node = self.node, link
        self._log("a node came" if before is None else "a newer node connection took over")
        if self.host is not None:
            self.host.node_arrived()
        if before is not None:
            self._leaving[before] = None
            before.close(BusyError("a newer connection of the node took over", holder="node"))
