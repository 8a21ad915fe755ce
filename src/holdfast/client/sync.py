"""The blocking SDK: a real client over blocking sockets, with no event loop and no threads."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar, Unpack

from ..clock import RealClock
from ..errors import ClosedError, DisconnectedError, Unauthenticated, Unavailable
from ..ids import new_token, random_fraction
from ..jobs.api import JobsApi
from ..jobs.model import InputReceipt, JobInfo
from ..limits import LIMITS
from ..rpc.backoff import Backoff
from ..rpc.blocking import BlockingConnection
from ..rpc.commands import invoke_blocking
from ..rpc.handshake import Authenticator
from .autostart import start_node
from .credentials import GetToken, Target, target
from .jobs.spec import JobOptions, make_spec

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Literal

    from ..status.model import NodeInfo
    from .channels.sync import SyncChannel, SyncChannels
    from .groups import SyncGroups
    from .jobs.sync_output import SyncOutput
    from .records.sync import SyncRecords
    from .sessions.inbox import Pattern, Payload
    from .sessions.sync import SyncSession, SyncSessions
    from .streams.sync import SyncStreams
    from .tokens import SyncTokens

T = TypeVar("T")


class SyncNode:
    """A node, reached over blocking sockets; made by :func:`connect_sync`.  Not thread-safe: one a thread.

    A cut link is dialled again by the next call.  A call that was under way when the link broke raises
    DisconnectedError, unless it changes nothing: then it is made again.
    """

    def __init__(self, target: Target, *, autostart: bool, reconnect_s: float) -> None:
        self._target = target
        self._autostart = autostart and target.own and target.address.scheme == "unix"
        self._reconnect_s = reconnect_s
        self._connection: BlockingConnection | None = None
        self._closed = False
        self._refused = False
        self._clock = RealClock()
        self._backoff = Backoff(random_fraction, LIMITS)
        self._channels: SyncChannels | None = None
        self._records: SyncRecords | None = None
        self._streams: SyncStreams | None = None
        self.jobs = SyncJobs(self)

    def __enter__(self) -> Self:
        self.connection()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Hang up; jobs run on.  Idempotent."""
        self._closed = True
        if self._connection is not None:
            self._connection.close()

    @property
    def channels(self) -> SyncChannels:
        """The node's channels."""
        if self._channels is None:
            from .channels.sync import SyncChannels  # commands that need none do not pay for them

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
        ack: Literal["auto", "manual"] = "auto",
        client: str = "",
    ) -> SyncSession:
        """A session to use with ``with`` and ``for``: made anew, or the one of ``id`` taken up again.

        As ``session`` of the async node.
        """
        from .sessions.sync import SyncSession

        return SyncSession(
            self, patterns, id=id, idle_after=idle_after, steal=steal, manual=ack == "manual", client=client
        )

    def publish(
        self, subject: str, payload: Payload = b"", *, headers: Mapping[str, str] | None = None, sequence: int = 0
    ) -> int:
        """Send a message to a subject: of the bus, a job's input, a channel; its position there, -1 for a feed."""
        return self.sessions.publish(subject, payload, headers=headers, sequence=sequence)

    def info(self) -> NodeInfo:
        """Who answers: version, process, places, counts."""
        from ..status.api import StatusApi  # few commands ask

        return self.again(lambda: invoke_blocking(self.connection(), StatusApi.info))

    def stop(self) -> NodeInfo:
        """Have the node end; jobs run on.  Answers who will have ended, before it has.  For its owner only."""
        from ..status.api import StatusApi  # few commands ask

        return self.once(lambda: invoke_blocking(self.connection(), StatusApi.stop))

    def connection(self) -> BlockingConnection:
        """The open connection, dialled if there is none.

        Starts a node if none answers and ``autostart`` was asked for.  Unavailable if there is none to be had.
        """
        if self._closed:
            raise ClosedError("this client was closed")
        if self._connection is not None and self._connection.closed_by is not None:
            self._refused = self._refused or isinstance(self._connection.closed_by, Unauthenticated)
            self._connection.close()
            self._connection = None
        if self._connection is None:
            self._connection = self._dial_or_start()
        return self._connection

    def once(self, ask: Callable[[], T]) -> T:
        """``ask()``; once more only if the token was refused, for then nothing has been done."""
        try:
            return ask()
        except Unauthenticated:
            if self._connection is None or not self._target.credentials.renewable:
                raise
            self._await_end(self._connection)
            return ask()

    def _await_end(self, connection: BlockingConnection) -> None:
        """The node says goodbye to a token it has refused; so that streams know a cut from our own close."""
        until = self._clock.now() + LIMITS.goodbye_s
        while connection.closed_by is None and self._clock.now() < until:
            connection.pump(until - self._clock.now())
        connection.close()
        self._refused = True

    def again(self, ask: Callable[[], T]) -> T:
        """``ask()``; once more over new connections, for ``reconnect_s`` at most, while the link is cut.

        For questions only: whatever changes something must not be asked twice.
        """
        until = self._clock.now() + self._reconnect_s
        while True:
            try:
                result = self.once(ask)
            except (DisconnectedError, Unavailable):
                now = self._clock.now()
                delay_s = self._backoff.next_delay_s(now)
                if now + delay_s > until:
                    raise
                time.sleep(delay_s)
            else:
                self._backoff.data_flowed()
                return result

    def _dial_or_start(self) -> BlockingConnection:
        try:
            return self._dial()
        except Unavailable:
            if not self._autostart:
                raise
        start_node(self._target.places)
        return self._dial()

    def _dial(self) -> BlockingConnection:
        credentials = self._target.credentials
        refused, self._refused = self._refused, False
        try:
            connection = self._dial_as(credentials.authenticator_now(refused=refused))
        except Unauthenticated:
            if refused or not credentials.renewable:
                raise
            connection = self._dial_as(credentials.authenticator_now(refused=True))
        self._backoff.opened(self._clock.now())
        return connection

    def _dial_as(self, authenticator: Authenticator) -> BlockingConnection:
        address = self._target.address
        if address.scheme == "unix":
            return BlockingConnection.dial_unix(address.path, authenticator, clock=self._clock, limits=LIMITS)
        from ..rpc.blocking_tcp import dial_tcp

        return dial_tcp(address, authenticator, ca_file=self._target.ca_file, clock=self._clock, limits=LIMITS)


class SyncJobs:
    """The jobs of a node."""

    def __init__(self, node: SyncNode) -> None:
        self._node = node

    def start(self, command: Sequence[str], **options: Unpack[JobOptions]) -> SyncJob:
        """As :meth:`holdfast.Jobs.start`; blocks until the command runs."""
        spec = make_spec(command, **options)
        info = self._node.once(lambda: invoke_blocking(self._node.connection(), JobsApi.start, spec))
        return SyncJob(self._node, info)

    def get(self, job: str) -> SyncJob:
        """The job of that name, id or unique beginning of an id.  NotFound if there is none."""
        return SyncJob(self._node, self._node.again(lambda: invoke_blocking(self._node.connection(), JobsApi.get, job)))

    def list(self) -> list[SyncJob]:
        """All jobs the node knows, oldest first."""
        infos = self._node.again(lambda: invoke_blocking(self._node.connection(), JobsApi.list))
        return [SyncJob(self._node, info) for info in infos]


class SyncJob:
    """One job.  ``info`` is what was last heard of it; :meth:`refresh` asks again."""

    def __init__(self, node: SyncNode, info: JobInfo) -> None:
        self._node = node
        self.info = info
        self._session = new_token(8)
        self._sequence = 0

    @property
    def id(self) -> str:
        """The job's id; never changes."""
        return self.info.id

    @property
    def name(self) -> str:
        """The job's name, or an empty string."""
        return self.info.name

    def refresh(self) -> JobInfo:
        """The job as it stands now."""
        self.info = self._node.again(lambda: invoke_blocking(self._node.connection(), JobsApi.get, self.id))
        return self.info

    def channel(self, name: str) -> SyncChannel:
        """The job's channel ``name``, without asking whether it is there."""
        return self._node.channels.channel(f"{self.id}/{name}")

    def output(self, from_offset: int = 0, *, follow: bool = True) -> SyncOutput:
        """The output from an offset on; as :meth:`holdfast.Job.output`, each step blocking."""
        from .jobs.sync_output import SyncOutput  # and streams with it, which most commands do without

        return SyncOutput(self._node, self.id, from_offset, follow=follow)

    def send(self, data: bytes | str, *, eof: bool = False) -> InputReceipt:
        """Give input to the command, in order with this object's other sends; then end-of-file if ``eof``.

        DisconnectedError if the link broke meanwhile: it may or may not have been applied.
        """
        body = data.encode() if isinstance(data, str) else data
        self._sequence += 1
        given = (self.id, body, self._session, self._sequence, eof)
        return self._node.once(lambda: invoke_blocking(self._node.connection(), JobsApi.send, *given))

    def signal(self, signal: str) -> None:
        """Send a signal, by name or number, to the command's process group."""
        self.info = self._node.once(lambda: invoke_blocking(self._node.connection(), JobsApi.signal, self.id, signal))

    def resize(self, rows: int, columns: int) -> None:
        """Set the size of the command's terminal."""
        self._node.once(lambda: invoke_blocking(self._node.connection(), JobsApi.resize, self.id, rows, columns))

    def wait(self, timeout_s: float | None = None) -> JobInfo:
        """Block until the job has ended and its output is complete; DeadlineExceeded after ``timeout_s``."""
        until = None if timeout_s is None else time.monotonic() + timeout_s

        def ask() -> JobInfo:
            left_s = None if until is None else max(0.0, until - time.monotonic())
            return invoke_blocking(self._node.connection(), JobsApi.wait, self.id, left_s)

        self.info = self._node.again(ask)
        return self.info

    def stop(self, grace_s: float = 10.0) -> JobInfo:
        """TERM, ``grace_s`` seconds, KILL; blocks until the job has ended.  Idempotent."""
        self.info = self._node.again(lambda: invoke_blocking(self._node.connection(), JobsApi.stop, self.id, grace_s))
        return self.info

    def remove(self, *, force: bool = False) -> None:
        """Forget the job and its output.  BusyError while it runs, unless ``force``."""
        self._node.once(lambda: invoke_blocking(self._node.connection(), JobsApi.remove, self.id, force))


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
