"""The classes: one per situation, each with fields and advice on trying again."""

from __future__ import annotations

from typing import Any, ClassVar


class HoldfastError(Exception):
    """Base of every error Holdfast raises on purpose.

    ``fields`` names the attributes that travel with the error over RPC, in the order of the
    constructor's arguments; ``message`` is for people and may change between releases.
    """

    fields: ClassVar[tuple[str, ...]] = ()

    def __init__(self, message: str = "") -> None:
        super().__init__(message)
        self.message = message

    def details(self) -> dict[str, Any]:
        """The typed fields, as they travel on the wire."""
        return {name: getattr(self, name) for name in self.fields}

    def __str__(self) -> str:
        return self.message


class UsageError(HoldfastError, ValueError):
    """The caller broke the contract; ``field`` names the argument.  Never worth retrying."""

    fields = ("field",)

    def __init__(self, message: str = "", field: str = "") -> None:
        super().__init__(message)
        self.field = field


class ProtocolError(HoldfastError):
    """The peer broke the contract at byte ``offset`` of the connection; ``reason`` is a stable word."""

    fields = ("reason", "offset")

    def __init__(self, message: str = "", reason: str = "malformed", offset: int = 0) -> None:
        super().__init__(message)
        self.reason = reason
        self.offset = offset


class VersionMismatch(ProtocolError):
    """The two ends share no protocol version; upgrade the older one."""

    def __init__(self, message: str = "", reason: str = "version", offset: int = 0) -> None:
        super().__init__(message, reason, offset)


class ClosedError(HoldfastError):
    """This end was closed by us; the operation cannot be done any more."""


class ChannelClosed(ClosedError):
    """The channel is closed for good; what it holds can be read until its retention ends."""


class SessionClosed(ClosedError):
    """The session was closed, or was idle for too long; its cursors are forgotten."""


class DisconnectedError(HoldfastError, ConnectionError):
    """The link is cut; what it carried goes on.  Resume from ``resume_offset`` where one is given.

    Says nothing about the stream or the job: a cut is never a finish.
    """

    fields = ("resume_offset",)

    def __init__(self, message: str = "", resume_offset: int | None = None) -> None:
        super().__init__(message)
        self.resume_offset = resume_offset


class Unavailable(HoldfastError, ConnectionError):
    """No node answers at ``address``; start one, or try again after ``retry_after_s``."""

    fields = ("address", "retry_after_s")

    def __init__(self, message: str = "", address: str = "", retry_after_s: float = 0.0) -> None:
        super().__init__(message)
        self.address = address
        self.retry_after_s = retry_after_s


class BusyError(HoldfastError):
    """``holder`` has what was asked for; wait for its release, or steal."""

    fields = ("holder",)

    def __init__(self, message: str = "", holder: str = "") -> None:
        super().__init__(message)
        self.holder = holder


class ClientAlreadyAttached(BusyError):
    """The session has a client, ``holder``; wait until it detaches, or steal the session from it."""


class SessionTaken(BusyError):
    """Another client, ``holder``, has attached to the session in our place; it goes on there."""


class ClientNotAttached(HoldfastError):
    """The session has no client, or not this one any more; attach first."""


class LimitExceeded(HoldfastError):
    """A named limit, and its value, were hit; ask for less, or later."""

    fields: ClassVar[tuple[str, ...]] = ("name", "limit", "value")

    def __init__(self, message: str = "", name: str = "", limit: float = 0, value: float = 0) -> None:
        super().__init__(message or f"{name}: {value} is over the limit of {limit}")
        self.name = name
        self.limit = limit
        self.value = value


class RateLimited(LimitExceeded):
    """Too many in too short a time; try again after ``retry_after_s``."""

    fields = ("name", "limit", "value", "retry_after_s")

    def __init__(
        self, message: str = "", name: str = "", limit: float = 0, value: float = 0, retry_after_s: float = 0.0
    ) -> None:
        super().__init__(message, name, limit, value)
        self.retry_after_s = retry_after_s


class SlowConsumer(HoldfastError):
    """A reader fell ``behind_bytes`` behind and was let go; attach again from ``last_position``."""

    fields = ("last_position", "behind_bytes")

    def __init__(self, message: str = "", last_position: int = 0, behind_bytes: int = 0) -> None:
        super().__init__(message)
        self.last_position = last_position
        self.behind_bytes = behind_bytes


class SubscriberTooSlow(SlowConsumer):
    """A subscriber with the policy ``disconnect`` fell behind its buffer; subscribe again after ``last_position``."""


class MessageTooLarge(LimitExceeded):
    """An entry's payload is over the channel's limit; nothing of it was stored."""


class ChannelFull(LimitExceeded):
    """The channel has as many entries as it may; make another, or one that drops its oldest."""


class TooManyChannels(LimitExceeded):
    """The process, or the node, has as many channels as it may."""


class RecordStreamError(HoldfastError):
    """A stream of records ended early: of ``taken`` items ``answered`` have their result; ``__cause__`` says why."""

    fields = ("answered", "taken")

    def __init__(self, message: str = "", answered: int = 0, taken: int = 0) -> None:
        super().__init__(message or f"the stream ended after {answered} of {taken} items")
        self.answered = answered
        self.taken = taken


class NotFound(HoldfastError, LookupError):
    """There is no ``kind`` of the name ``name``, or the caller may not know of it."""

    fields = ("kind", "name")

    def __init__(self, message: str = "", kind: str = "", name: str = "") -> None:
        super().__init__(message or f"no {kind} {name!r}")
        self.kind = kind
        self.name = name


class ChannelNotFound(NotFound):
    """There is no channel ``name``, or the caller may not know of it: both get this same answer."""

    def __init__(self, message: str = "", kind: str = "channel", name: str = "") -> None:
        super().__init__(message, kind, name)


class SessionNotFound(NotFound):
    """There is no session ``name``, or it is somebody else's: both get this same answer."""

    def __init__(self, message: str = "", kind: str = "session", name: str = "") -> None:
        super().__init__(message, kind, name)


class AlreadyExists(HoldfastError, LookupError):
    """The ``kind`` named ``name`` is there already; ``holder`` is the id of what has it."""

    fields = ("kind", "name", "holder")

    def __init__(self, message: str = "", kind: str = "", name: str = "", holder: str = "") -> None:
        super().__init__(message or f"{kind} name {name!r} is in use by {holder}")
        self.kind = kind
        self.name = name
        self.holder = holder


class ChannelExists(AlreadyExists):
    """The process has a channel of the name already; ``name`` is the whole id."""

    def __init__(self, message: str = "", kind: str = "channel", name: str = "", holder: str = "") -> None:
        super().__init__(message or f"channel {name!r} exists already", kind, name, holder)


class Gone(HoldfastError, LookupError):
    """The position asked for has been trimmed away; the oldest kept one is ``oldest``."""

    fields = ("oldest",)

    def __init__(self, message: str = "", oldest: int = 0) -> None:
        super().__init__(message or f"trimmed away; the oldest kept position is {oldest}")
        self.oldest = oldest


class StreamReplaced(Gone):
    """The durable stream that was read was removed, and another one made under its path; begin anew."""


class Conflict(HoldfastError, LookupError):
    """``expected`` is not what is there: ``actual`` is."""

    fields = ("expected", "actual")

    def __init__(self, message: str = "", expected: Any = None, actual: Any = None) -> None:
        super().__init__(message or f"expected {expected}, found {actual}")
        self.expected = expected
        self.actual = actual


class SequenceConflict(Conflict):
    """The sender has used the sequence ``expected`` for another entry: that at the index ``actual``."""


class Duplicate(HoldfastError, LookupError):
    """A producer's append is there already, so nothing was appended: whoever tries again may take it as success.

    ``sequence`` is the last one accepted from the producer, ``position`` the tail of the log.
    """

    fields = ("sequence", "position")

    def __init__(self, message: str = "", sequence: int = 0, position: int = 0) -> None:
        super().__init__(message or f"appended before; the last sequence is {sequence}")
        self.sequence = sequence
        self.position = position


class SequenceGap(Conflict):
    """A producer's append came before one it has to follow: ``expected`` is the sequence that is missing."""

    fields = ("expected", "received")

    def __init__(self, message: str = "", expected: int = 0, received: int = 0) -> None:
        super().__init__(message or f"expected sequence {expected}, received {received}", expected, received)
        self.received = received


class Fenced(HoldfastError, PermissionError):
    """Another instance of the same producer took over, with a higher ``epoch``; this one has to stop."""

    fields = ("epoch",)

    def __init__(self, message: str = "", epoch: int = 0) -> None:
        super().__init__(message or f"fenced off: the producer is at epoch {epoch}")
        self.epoch = epoch


class Unauthenticated(HoldfastError, PermissionError):
    """Who is calling could not be proven; come with a new token."""


class PermissionDenied(HoldfastError, PermissionError):
    """The caller is known and may not do this."""


class DeadlineExceeded(HoldfastError, TimeoutError):
    """``after_s`` seconds passed in ``phase``; ``safe_to_retry`` says whether nothing can have happened."""

    fields = ("phase", "after_s", "safe_to_retry")

    def __init__(
        self, message: str = "", phase: str = "call", after_s: float = 0.0, safe_to_retry: bool = False
    ) -> None:
        super().__init__(message or f"{phase}: no answer within {after_s:g} s")
        self.phase = phase
        self.after_s = after_s
        self.safe_to_retry = safe_to_retry


class StorageError(HoldfastError, OSError):
    """The engine could not do it; an operator must look (disk full, not writable, failing)."""


class CorruptionError(StorageError):
    """What is stored at ``where`` is not what was written."""

    fields = ("where", "expected", "got")

    def __init__(self, message: str = "", where: str = "", expected: str = "", got: str = "") -> None:
        super().__init__(message or f"{where}: expected {expected}, got {got}")
        self.where = where
        self.expected = expected
        self.got = got


class CommandNotFound(HoldfastError, FileNotFoundError):
    """The command to run is not there; no job was left behind."""

    fields = ("command",)

    def __init__(self, message: str = "", command: str = "") -> None:
        super().__init__(message or f"{command}: command not found")
        self.command = command


class CommandNotExecutable(HoldfastError, PermissionError):
    """The command to run is there and cannot be executed; no job was left behind."""

    fields = ("command",)

    def __init__(self, message: str = "", command: str = "") -> None:
        super().__init__(message or f"{command}: cannot be executed")
        self.command = command


class InternalError(HoldfastError):
    """A mistake of ours; the node's log has the trace under ``reference``."""

    fields = ("reference",)

    def __init__(self, message: str = "", reference: str = "") -> None:
        super().__init__(message)
        self.reference = reference
