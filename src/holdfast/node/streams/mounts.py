"""Durable streams in a node: what is mounted among their paths, and callers as the stream commands know them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...durable.store import Mounts
from ...errors import NotFound, PermissionDenied
from ...security.policy import allow, sees
from .channels import ChannelStreams
from .jobs import JobOutputs

if TYPE_CHECKING:
    from ...channels.router import ChannelRouter
    from ...durable.store import StreamStore
    from ...durable.streams import DurableStreams
    from ...engine.base import Log
    from ...jobs.controller import JobController
    from ...security.audit import AuditLog
    from ...security.identity import Identity

_RESERVED = ("jobs", "channels", "__ds")
"""First segments of paths that are not free-standing streams."""


def mount(streams: DurableStreams, jobs: JobController, channels: ChannelRouter, log: Log, audit: AuditLog) -> Mounts:
    """Everything of a node that can be read as a durable stream."""
    mounts = Mounts(streams, _RESERVED)
    mounts.mount("jobs", JobOutputs(jobs, log))
    mounts.mount("channels", ChannelStreams(channels, log, audit))
    return mounts


class PathCaller:
    """A proven identity, as :class:`~holdfast.durable.service.StreamCaller`."""

    def __init__(self, identity: Identity, audit: AuditLog, peer: str = "") -> None:
        self._identity = identity
        self._audit = audit
        self._peer = peer

    def sees(self, path: str) -> bool:
        """Whether a list may hold this stream."""
        return sees(self._identity, "stream", path)

    def check_read(self, path: str) -> None:
        """As the policy says; a refusal is noted in the audit log."""
        try:
            allow(self._identity, "streams.read", path)
        except (NotFound, PermissionDenied) as error:
            self._audit.denied(self._identity, "streams.read", path, str(error), self._peer)
            raise

    def view_of(self, store: StreamStore) -> StreamStore:
        """The store as this caller may see and use it."""
        return store.seen_by(self._identity, self._peer)
