"""What a connection tells its shell: frozen, in the past tense.  A shell ignores the ones it does not know."""

from typing import Any, NamedTuple  # annotations are types here: as texts each would be compiled

from ..errors import HoldfastError


class Reply(NamedTuple):
    """What a call is answered with: a JSON value, and raw bytes beside it."""

    result: Any
    attachment: bytes = b""


class Opened(NamedTuple):
    """Both ends are proven.  ``identity`` is the client's, at either end: who called, as the server sees it."""

    identity: str
    features: frozenset[str]
    version: tuple[int, int]


class RequestReceived(NamedTuple):
    """The peer calls; answer with ``respond`` or ``respond_error``.  ``deadline`` is on this end's clock."""

    number: int
    method: str
    params: dict[str, Any]
    attachment: bytes
    deadline: float | None


class CallCancelled(NamedTuple):
    """The peer no longer wants the answer to its call; an answer given later is dropped."""

    number: int


class ResponseReceived(NamedTuple):
    """Our call was answered."""

    number: int
    result: Any
    attachment: bytes


class ErrorReceived(NamedTuple):
    """Our call failed: the peer answered with an error, or its deadline passed here."""

    number: int
    error: HoldfastError


class EventReceived(NamedTuple):
    """The peer pushed something on our open call ``number``, or, with 0, to the whole connection."""

    number: int
    name: str
    body: Any
    attachment: bytes


class StreamReadable(NamedTuple):
    """The reader of ``stream`` has something new to give."""

    stream: int


class StreamWritable(NamedTuple):
    """The sender or writer of ``stream`` moved: room came back, it ended, or the reader cancelled."""

    stream: int


class Stalled(NamedTuple):
    """Something is outstanding and the peer has shown no progress for ``stall_s`` seconds."""


class Recovered(NamedTuple):
    """A stalled connection moved again."""


class ClosedByPeer(NamedTuple):
    """The peer said goodbye.  The last event; every outstanding call is lost, streams are cut, not ended.

    ``error`` is its reason, None for an orderly end; dial again after ``retry_after_s`` at the earliest.
    """

    error: HoldfastError | None
    retry_after_s: float


class Failed(NamedTuple):
    """The connection is over without a goodbye from the peer: the last event, as for ClosedByPeer.

    ``error``: ProtocolError (the peer broke the contract), DisconnectedError (cut), DeadlineExceeded (handshake),
    Unauthenticated or PermissionDenied (the peer was not let in), LimitExceeded.
    """

    error: HoldfastError


Event = (
    Opened
    | RequestReceived
    | CallCancelled
    | ResponseReceived
    | ErrorReceived
    | EventReceived
    | StreamReadable
    | StreamWritable
    | Stalled
    | Recovered
    | ClosedByPeer
    | Failed
)
