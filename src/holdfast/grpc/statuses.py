"""Our errors as gRPC statuses, and back: the status for everybody, our own code beside it for ourselves."""

from __future__ import annotations

from typing import Any

import grpc

from ..errors import (
    AlreadyExists,
    Conflict,
    CorruptionError,
    DeadlineExceeded,
    Gone,
    HoldfastError,
    InternalError,
    LimitExceeded,
    NotFound,
    PermissionDenied,
    RateLimited,
    Unauthenticated,
    Unavailable,
    UsageError,
    entry_of,
    from_wire,
)

CODE_KEY = "holdfast-code"
"""In the trailing metadata: our error's code."""

_CLASSES: dict[str, type[HoldfastError]] = {
    "INVALID_ARGUMENT": UsageError,
    "NOT_FOUND": NotFound,
    "ALREADY_EXISTS": AlreadyExists,
    "RESOURCE_EXHAUSTED": LimitExceeded,
    "DATA_LOSS": CorruptionError,
    "FAILED_PRECONDITION": Conflict,
    "ABORTED": Conflict,
    "OUT_OF_RANGE": Gone,
    "UNAUTHENTICATED": Unauthenticated,
    "PERMISSION_DENIED": PermissionDenied,
    "DEADLINE_EXCEEDED": DeadlineExceeded,
    "UNAVAILABLE": Unavailable,
}


def status_of(error: HoldfastError) -> tuple[grpc.StatusCode, str, tuple[tuple[str, str], ...]]:
    """Status, message and trailing metadata."""
    entry = entry_of(error)
    return getattr(grpc.StatusCode, entry.grpc), error.message, ((CODE_KEY, entry.rpc),)


def error_of(status: grpc.StatusCode, message: str, trailing: Any) -> HoldfastError:
    """The error that ended a call; a call that ended without one, before its time, is Unavailable."""
    if status is grpc.StatusCode.OK:
        return Unavailable("the server ended the stream before it had answered all")
    code = dict(trailing or ()).get(CODE_KEY)
    if isinstance(code, str):
        return from_wire({"code": code, "message": message})
    return _CLASSES.get(status.name, InternalError)(message or status.name)


def is_of_an_item(error: HoldfastError) -> bool:
    """Whether it says something about what was asked, rather than about the server or who asks."""
    if isinstance(error, RateLimited):  # a limit, too, but of what the caller has under way
        return False
    return isinstance(error, UsageError | NotFound | AlreadyExists | LimitExceeded | Conflict | CorruptionError | Gone)
