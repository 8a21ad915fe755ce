"""What each error is called on the wire, at every door and in the shell; errors to wire bodies and back."""

from __future__ import annotations

from typing import Any

from .classes import (
    AlreadyExists,
    BusyError,
    ChannelClosed,
    ChannelExists,
    ChannelFull,
    ChannelNotFound,
    ClientAlreadyAttached,
    ClientNotAttached,
    ClosedError,
    CommandNotExecutable,
    CommandNotFound,
    Conflict,
    CorruptionError,
    DeadlineExceeded,
    DisconnectedError,
    Duplicate,
    Fenced,
    Gone,
    HoldfastError,
    InternalError,
    LimitExceeded,
    MessageTooLarge,
    NotFound,
    PermissionDenied,
    ProtocolError,
    RateLimited,
    RecordStreamError,
    SequenceConflict,
    SequenceGap,
    SessionClosed,
    SessionNotFound,
    SessionTaken,
    SlowConsumer,
    StorageError,
    StreamReplaced,
    SubscriberTooSlow,
    TooManyChannels,
    Unauthenticated,
    Unavailable,
    UsageError,
    VersionMismatch,
)


class ErrorEntry:
    """One line of the registry.  No NamedTuple: making that class costs as much as importing all of the errors."""

    __slots__ = ("cls", "code", "exit", "grpc", "http", "retry", "rpc")

    def __init__(
        self, code: str, cls: type[HoldfastError], rpc: str, http: int, grpc: str, exit: int, retry: str
    ) -> None:
        self.code = code
        self.cls = cls
        self.rpc = rpc
        self.http = http
        self.grpc = grpc
        self.exit = exit
        self.retry = retry


EXIT_TIMED_OUT = 124
EXIT_OUR_ERROR = 125
EXIT_NOT_EXECUTABLE = 126
EXIT_NOT_FOUND_COMMAND = 127
EXIT_NOT_FOUND = 3
EXIT_HELD = 4
EXIT_DENIED = 5
EXIT_GONE = 6
EXIT_LINK_LOST = 75

REGISTRY: tuple[ErrorEntry, ...] = (
    ErrorEntry("HF-101", UsageError, "usage", 400, "INVALID_ARGUMENT", 125, "never"),
    ErrorEntry("HF-102", ProtocolError, "protocol", 400, "INTERNAL", 125, "not on this connection"),
    ErrorEntry("HF-103", VersionMismatch, "version_mismatch", 505, "FAILED_PRECONDITION", 125, "after an upgrade"),
    ErrorEntry("HF-104", ClosedError, "closed", 409, "FAILED_PRECONDITION", 125, "no"),
    ErrorEntry("HF-105", ChannelClosed, "channel_closed", 409, "FAILED_PRECONDITION", 125, "no"),
    ErrorEntry("HF-106", SessionClosed, "session_closed", 409, "FAILED_PRECONDITION", 125, "no: make another"),
    ErrorEntry("HF-201", DisconnectedError, "disconnected", 503, "UNAVAILABLE", 75, "resume from resume_offset"),
    ErrorEntry("HF-202", Unavailable, "unavailable", 503, "UNAVAILABLE", 75, "after retry_after_s"),
    ErrorEntry("HF-203", BusyError, "busy", 409, "ABORTED", 4, "after release, or steal"),
    ErrorEntry("HF-204", LimitExceeded, "limit_exceeded", 413, "RESOURCE_EXHAUSTED", 125, "smaller, or later"),
    ErrorEntry("HF-205", RateLimited, "rate_limited", 429, "RESOURCE_EXHAUSTED", 125, "after retry_after_s"),
    ErrorEntry("HF-206", SlowConsumer, "slow_consumer", 409, "ABORTED", 125, "attach from last_position"),
    ErrorEntry("HF-207", SubscriberTooSlow, "subscriber_too_slow", 409, "ABORTED", 125, "from last_position"),
    ErrorEntry("HF-208", MessageTooLarge, "message_too_large", 413, "RESOURCE_EXHAUSTED", 125, "smaller"),
    ErrorEntry("HF-209", ChannelFull, "channel_full", 507, "RESOURCE_EXHAUSTED", 125, "no"),
    ErrorEntry("HF-210", TooManyChannels, "too_many_channels", 429, "RESOURCE_EXHAUSTED", 125, "when some are gone"),
    ErrorEntry("HF-211", ClientAlreadyAttached, "client_attached", 409, "ABORTED", 4, "after detach, or steal"),
    ErrorEntry("HF-212", SessionTaken, "session_taken", 409, "ABORTED", 4, "steal it back"),
    ErrorEntry("HF-213", ClientNotAttached, "client_not_attached", 409, "FAILED_PRECONDITION", 125, "attach first"),
    ErrorEntry("HF-214", RecordStreamError, "record_stream", 503, "ABORTED", 75, "what was not answered"),
    ErrorEntry("HF-301", NotFound, "not_found", 404, "NOT_FOUND", 3, "no"),
    ErrorEntry("HF-302", AlreadyExists, "already_exists", 409, "ALREADY_EXISTS", 4, "with another name"),
    ErrorEntry("HF-303", Gone, "gone", 410, "OUT_OF_RANGE", 6, "from oldest"),
    ErrorEntry("HF-304", Conflict, "conflict", 409, "ABORTED", 4, "from actual"),
    ErrorEntry("HF-305", Duplicate, "duplicate", 409, "ALREADY_EXISTS", 4, "no: it is there"),
    ErrorEntry("HF-306", SequenceGap, "sequence_gap", 409, "ABORTED", 4, "after expected"),
    ErrorEntry("HF-307", Fenced, "fenced", 403, "PERMISSION_DENIED", 5, "with a higher epoch"),
    ErrorEntry("HF-308", StreamReplaced, "stream_replaced", 410, "OUT_OF_RANGE", 6, "anew, from oldest"),
    ErrorEntry("HF-311", ChannelNotFound, "channel_not_found", 404, "NOT_FOUND", 3, "no"),
    ErrorEntry("HF-312", ChannelExists, "channel_exists", 409, "ALREADY_EXISTS", 4, "with another name"),
    ErrorEntry("HF-313", SequenceConflict, "sequence_conflict", 409, "ABORTED", 4, "with another sequence"),
    ErrorEntry("HF-314", SessionNotFound, "session_not_found", 404, "NOT_FOUND", 3, "no"),
    ErrorEntry("HF-401", Unauthenticated, "unauthenticated", 401, "UNAUTHENTICATED", 5, "with a new token"),
    ErrorEntry("HF-402", PermissionDenied, "permission_denied", 403, "PERMISSION_DENIED", 5, "with another token"),
    ErrorEntry("HF-501", DeadlineExceeded, "deadline_exceeded", 504, "DEADLINE_EXCEEDED", 124, "if safe_to_retry"),
    ErrorEntry("HF-601", StorageError, "storage", 507, "UNAVAILABLE", 125, "after an operator looked"),
    ErrorEntry("HF-602", CorruptionError, "corruption", 500, "DATA_LOSS", 125, "no: restore a backup"),
    ErrorEntry("HF-701", CommandNotFound, "command_not_found", 422, "FAILED_PRECONDITION", 127, "no"),
    ErrorEntry("HF-702", CommandNotExecutable, "command_not_executable", 422, "FAILED_PRECONDITION", 126, "no"),
    ErrorEntry("HF-901", InternalError, "internal", 500, "INTERNAL", 125, "no: report it"),
)

_BY_RPC = {entry.rpc: entry for entry in REGISTRY}
_BY_CLASS = {entry.cls: entry for entry in REGISTRY}


def entry_of(error: BaseException) -> ErrorEntry:
    """The registry line of ``error``, of its nearest registered base, else that of InternalError."""
    for cls in type(error).__mro__:
        found = _BY_CLASS.get(cls)
        if found is not None:
            return found
    return _BY_CLASS[InternalError]


def exit_code_of(error: BaseException) -> int:
    """The exit code a command gives when ``error`` ends it."""
    return entry_of(error).exit


def to_wire(error: HoldfastError) -> dict[str, Any]:
    """``{"code", "message", "details"}``, as an RPC error body carries it."""
    return {"code": entry_of(error).rpc, "message": error.message, "details": error.details()}


def from_wire(body: dict[str, Any]) -> HoldfastError:
    """The error that ``body`` describes.

    An unknown code, from a newer peer, gives InternalError; unknown detail fields are ignored and
    missing ones keep their defaults, so either side may be one version ahead.
    """
    entry = _BY_RPC.get(str(body.get("code", "")))
    message = str(body.get("message", ""))
    details = body.get("details")
    if entry is None:
        return InternalError(f"{body.get('code')}: {message}")
    known = {k: v for k, v in details.items() if k in entry.cls.fields} if isinstance(details, dict) else {}
    return entry.cls(message, **known)
