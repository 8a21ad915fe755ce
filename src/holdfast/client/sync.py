"""The blocking SDK: a real client over blocking sockets, with no event loop and no threads."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Self

from .credentials import GetToken, Target, target
from .sync_link import SyncLink

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ..status.model import NodeInfo
    from .channels.sync import SyncChannels
    from .groups import SyncGroups
    from .jobs.sync import SyncJobs
    from .records.sync import SyncRecords
    from .sessions.inbox import AckMode, Pattern, Payload
    from .sessions.sync import SyncSession, SyncSessions
    from .streams.sync import SyncStreams
    from .tokens import SyncTokens


class SyncNode(SyncLink):
    """A node, reached over blocking sockets; made by :func:`connect_sync`.  Not thread-safe: one a thread.

    A cut link is dialled again by the next call.  A call that was under way when the link broke raises
    DisconnectedError, unless it changes nothing: then it is made again.
    """

    def __init__(self, target: Target, *, autostart: bool, reconnect_s: float) -> None:
        super().__init__(target, autostart=autostart, reconnect_s=reconnect_s)
        self._channels: SyncChannels | None = None
        self._records: SyncRecords | None = None
        self._streams: SyncStreams | None = None
        self._jobs: SyncJobs | None = None

    def __enter__(self) -> Self:
        self.connection()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def jobs(self) -> SyncJobs:
        """The node's jobs."""
        if self._jobs is None:
            from .jobs.sync import SyncJobs  # commands that need none do not pay for them

            self._jobs = SyncJobs(self, lambda: self.channels)
        return self._jobs

    @property
    def channels(self) -> SyncChannels:
        """The node's channels."""
        if self._channels is None:
            from .channels.sync import SyncChannels

            self._channels = SyncChannels(self)
        return self._channels

    @property
    def streams(self) -> SyncStreams:
        """The node's durable streams."""
        if self._streams is None:
            from .streams.sync import SyncStreams

            self._streams = SyncStreams(self)
        return self._streams

    @property
    def records(self) -> SyncRecords:
        """The node's records."""
        if self._records is None:
            from .records.sync import SyncRecords

            self._records = SyncRecords(self)
        return self._records

    @property
    def groups(self) -> SyncGroups:
        """The groups that the node takes part in."""
        from .groups import SyncGroups

        return SyncGroups(self, self.channels)

    @property
    def tokens(self) -> SyncTokens:
        """The node's tokens; for its owner, and with a token of scope ``admin``."""
        from .tokens import SyncTokens

        return SyncTokens(self)

    @property
    def sessions(self) -> SyncSessions:
        """The node's sessions and providers."""
        from .sessions.sync import SyncSessions

        return SyncSessions(self)

    def session(
        self,
        patterns: Iterable[Pattern] | None = None,
        *,
        id: str = "",
        idle_after: float = 3_600.0,
        steal: bool = False,
        ack: AckMode = "auto",
        client: str = "",
    ) -> SyncSession:
        """A session to use with ``with`` and ``for``: made anew, or the one of ``id`` taken up again.

        As ``session`` of the async node.
        """
        from .sessions.sync import SyncSession

        return SyncSession(self, patterns, id=id, idle_after=idle_after, steal=steal, ack=ack, client=client)

    def publish(
        self, subject: str, payload: Payload = b"", *, headers: Mapping[str, str] | None = None, sequence: int = 0
    ) -> int:
        """Send a message to a subject: of the bus, a job's input, a channel; its position there, -1 for a feed."""
        return self.sessions.publish(subject, payload, headers=headers, sequence=sequence)

    def info(self) -> NodeInfo:
        """Who answers: version, process, places, counts."""
        from ..status.api import StatusApi  # few commands ask

        return self.ask(StatusApi.info)

    def stop(self) -> NodeInfo:
        """Have the node end; jobs run on.  Answers who will have ended, before it has.  For its owner only."""
        from ..status.api import StatusApi  # few commands ask

        return self.do(StatusApi.stop)


def connect_sync(
    url: str | None = None,
    *,
    token: str | None = None,
    token_callback: GetToken | None = None,
    ca_file: str | None = None,
    autostart: bool = True,
    reconnect_s: float = 60.0,
) -> SyncNode:
    """A blocking connection to the node at ``url`` (default: ``HOLDFAST_URL``, else the user's own node).

    Use as a context manager.  The arguments mean what they mean to :func:`holdfast.connect`; ``token_callback`` gives
    the token at once.  Raises as that does.
    """
    found = target(url, token=token, token_callback=token_callback, ca_file=ca_file)
    return SyncNode(found, autostart=autostart, reconnect_s=reconnect_s)
