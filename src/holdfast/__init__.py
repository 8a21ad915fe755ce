"""Holdfast: start it, walk away, come back; nothing was lost.

::

    import holdfast

    async with holdfast.connect() as node:
        job = await node.jobs.start(["python", "train.py"], name="train")
        async for chunk in job.output():
            print(chunk.data.decode(), end="")
        print((await job.wait()).exit_code)

:func:`connect_sync` is the blocking twin.  Names are imported when first used, so that a short command does
not pay for what it does not need.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._version import __version__

if TYPE_CHECKING:
    from .client.aio import Node, connect
    from .client.jobs import Job, JobOutput, Jobs
    from .client.output import OutputChunk
    from .client.sync import SyncJob, SyncJobs, SyncNode, SyncOutput, connect_sync
    from .errors import (
        AlreadyExists,
        BusyError,
        ClosedError,
        CommandNotExecutable,
        CommandNotFound,
        Conflict,
        CorruptionError,
        DeadlineExceeded,
        DisconnectedError,
        Gone,
        HoldfastError,
        InternalError,
        LimitExceeded,
        NotFound,
        PermissionDenied,
        ProtocolError,
        RateLimited,
        SlowConsumer,
        StorageError,
        Unauthenticated,
        Unavailable,
        UsageError,
        VersionMismatch,
    )
    from .jobs.model import InputReceipt, JobInfo, JobSpec, Usage
    from .status.model import NodeInfo

_HOMES = {
    "client.aio": ("Node", "connect"),
    "client.jobs": ("Job", "JobOutput", "Jobs"),
    "client.output": ("OutputChunk",),
    "client.sync": ("SyncJob", "SyncJobs", "SyncNode", "SyncOutput", "connect_sync"),
    "errors": (
        "AlreadyExists",
        "BusyError",
        "ClosedError",
        "CommandNotExecutable",
        "CommandNotFound",
        "Conflict",
        "CorruptionError",
        "DeadlineExceeded",
        "DisconnectedError",
        "Gone",
        "HoldfastError",
        "InternalError",
        "LimitExceeded",
        "NotFound",
        "PermissionDenied",
        "ProtocolError",
        "RateLimited",
        "SlowConsumer",
        "StorageError",
        "Unauthenticated",
        "Unavailable",
        "UsageError",
        "VersionMismatch",
    ),
    "jobs.model": ("InputReceipt", "JobInfo", "JobSpec", "Usage"),
    "status.model": ("NodeInfo",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "AlreadyExists",
    "BusyError",
    "ClosedError",
    "CommandNotExecutable",
    "CommandNotFound",
    "Conflict",
    "CorruptionError",
    "DeadlineExceeded",
    "DisconnectedError",
    "Gone",
    "HoldfastError",
    "InputReceipt",
    "InternalError",
    "Job",
    "JobInfo",
    "JobOutput",
    "JobSpec",
    "Jobs",
    "LimitExceeded",
    "Node",
    "NodeInfo",
    "NotFound",
    "OutputChunk",
    "PermissionDenied",
    "ProtocolError",
    "RateLimited",
    "SlowConsumer",
    "StorageError",
    "SyncJob",
    "SyncJobs",
    "SyncNode",
    "SyncOutput",
    "Unauthenticated",
    "Unavailable",
    "Usage",
    "UsageError",
    "VersionMismatch",
    "__version__",
    "connect",
    "connect_sync",
]


def __getattr__(name: str) -> Any:
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module 'holdfast' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f"holdfast.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
