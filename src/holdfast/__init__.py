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
    from . import sync
    from .channels.model import ChannelInfo, ChannelLimits, ChannelStats, SenderInfo
    from .channels.unpacking import Entry
    from .client.aio import Node, connect
    from .client.channels.aio import Channel, Channels
    from .client.channels.appending import Appended, BatchAppended, Refused
    from .client.channels.subscription import Subscription
    from .client.channels.sync import SyncChannel, SyncChannels
    from .client.channels.sync_subscription import SyncSubscription
    from .client.current import CurrentJob, current_job
    from .client.groups import Groups, NodeGroup, SyncGroups, SyncNodeGroup
    from .client.jobs.aio import Job, JobOutput, Jobs
    from .client.jobs.output import OutputChunk
    from .client.jobs.sync import SyncJob, SyncJobs
    from .client.jobs.sync_output import SyncOutput
    from .client.records.aio import Records
    from .client.records.artifacts import Artifacts
    from .client.records.feed import RecordFeed
    from .client.records.functions import delete_stream, lookup_stream, pull_stream, push_stream
    from .client.records.options import RecordStreamOptions
    from .client.records.sync import SyncRecords
    from .client.records.sync_artifacts import SyncArtifacts
    from .client.records.sync_feed import SyncRecordFeed
    from .client.sessions.aio import Session, Sessions
    from .client.sessions.sync import SyncSession, SyncSessions
    from .client.streams.aio import Stream, StreamProducer, Streams
    from .client.streams.pieces import StreamChunk
    from .client.streams.reading import StreamReading
    from .client.streams.sync import SyncStream, SyncStreamProducer, SyncStreams
    from .client.streams.sync_reading import SyncStreamReading
    from .client.sync import SyncNode, connect_sync
    from .client.sync_current import SyncCurrentJob, current_job_sync
    from .durable.model import ProducerMark, StreamAppended, StreamInfo
    from .errors import (
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
    from .jobs.model import InputReceipt, JobInfo, JobSpec, Usage
    from .records.model import (
        Artifact,
        DeleteResult,
        GcReport,
        LookupResult,
        PullResult,
        PushResult,
        RecordMeta,
        RecordRef,
        Referrer,
        Sealed,
    )
    from .records.streaming.breaker import CircuitBreaker
    from .records.streaming.metrics import StreamMetrics
    from .records.streaming.policy import Retry
    from .sessions.model import Message, PatternSpec, SessionInfo
    from .status.model import NodeInfo
    from .sync.groups import GroupInfo, GroupPeer, GroupSent, GroupSnapshot, GroupSpec

_HOMES = {
    "channels.model": ("ChannelInfo", "ChannelLimits", "ChannelStats", "SenderInfo"),
    "channels.unpacking": ("Entry",),
    "client.aio": ("Node", "connect"),
    "client.channels.appending": ("Appended", "BatchAppended", "Refused"),
    "client.channels.aio": ("Channel", "Channels"),
    "client.current": ("CurrentJob", "current_job"),
    "client.groups": ("Groups", "NodeGroup", "SyncGroups", "SyncNodeGroup"),
    "client.jobs.aio": ("Job", "JobOutput", "Jobs"),
    "client.jobs.output": ("OutputChunk",),
    "client.sessions.aio": ("Session", "Sessions"),
    "client.streams.aio": ("Stream", "StreamProducer", "Streams"),
    "client.streams.pieces": ("StreamChunk",),
    "client.streams.reading": ("StreamReading",),
    "client.channels.subscription": ("Subscription",),
    "client.jobs.sync": ("SyncJob", "SyncJobs"),
    "client.sync": ("SyncNode", "connect_sync"),
    "client.channels.sync": ("SyncChannel", "SyncChannels"),
    "client.sync_current": ("SyncCurrentJob", "current_job_sync"),
    "client.jobs.sync_output": ("SyncOutput",),
    "client.sessions.sync": ("SyncSession", "SyncSessions"),
    "client.streams.sync": ("SyncStream", "SyncStreamProducer", "SyncStreams"),
    "client.streams.sync_reading": ("SyncStreamReading",),
    "client.channels.sync_subscription": ("SyncSubscription",),
    "durable.model": ("ProducerMark", "StreamAppended", "StreamInfo"),
    "errors": (
        "AlreadyExists",
        "BusyError",
        "ChannelClosed",
        "ChannelExists",
        "ChannelFull",
        "ChannelNotFound",
        "ClientAlreadyAttached",
        "ClientNotAttached",
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
        "MessageTooLarge",
        "NotFound",
        "PermissionDenied",
        "ProtocolError",
        "RateLimited",
        "RecordStreamError",
        "SequenceConflict",
        "SessionClosed",
        "SessionNotFound",
        "SessionTaken",
        "SlowConsumer",
        "StorageError",
        "StreamReplaced",
        "SubscriberTooSlow",
        "TooManyChannels",
        "Unauthenticated",
        "Unavailable",
        "UsageError",
        "VersionMismatch",
    ),
    "jobs.model": ("InputReceipt", "JobInfo", "JobSpec", "Usage"),
    "sessions.model": ("Message", "PatternSpec", "SessionInfo"),
    "status.model": ("NodeInfo",),
    "sync.groups": ("GroupInfo", "GroupPeer", "GroupSent", "GroupSnapshot", "GroupSpec"),
    "client.records.artifacts": ("Artifacts",),
    "client.records.functions": ("delete_stream", "lookup_stream", "pull_stream", "push_stream"),
    "client.records.aio": ("Records",),
    "client.records.feed": ("RecordFeed",),
    "client.records.options": ("RecordStreamOptions",),
    "client.records.sync_artifacts": ("SyncArtifacts",),
    "client.records.sync": ("SyncRecords",),
    "client.records.sync_feed": ("SyncRecordFeed",),
    "records.model": (
        "Artifact",
        "DeleteResult",
        "GcReport",
        "LookupResult",
        "PullResult",
        "PushResult",
        "RecordMeta",
        "RecordRef",
        "Referrer",
        "Sealed",
    ),
    "records.streaming.breaker": ("CircuitBreaker",),
    "records.streaming.metrics": ("StreamMetrics",),
    "records.streaming.policy": ("Retry",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "AlreadyExists",
    "Appended",
    "Artifact",
    "Artifacts",
    "BatchAppended",
    "BusyError",
    "Channel",
    "ChannelClosed",
    "ChannelExists",
    "ChannelFull",
    "ChannelInfo",
    "ChannelLimits",
    "ChannelNotFound",
    "ChannelStats",
    "Channels",
    "CircuitBreaker",
    "ClientAlreadyAttached",
    "ClientNotAttached",
    "ClosedError",
    "CommandNotExecutable",
    "CommandNotFound",
    "Conflict",
    "CorruptionError",
    "CurrentJob",
    "DeadlineExceeded",
    "DeleteResult",
    "DisconnectedError",
    "Entry",
    "GcReport",
    "Gone",
    "GroupInfo",
    "GroupPeer",
    "GroupSent",
    "GroupSnapshot",
    "GroupSpec",
    "Groups",
    "HoldfastError",
    "InputReceipt",
    "InternalError",
    "Job",
    "JobInfo",
    "JobOutput",
    "JobSpec",
    "Jobs",
    "LimitExceeded",
    "LookupResult",
    "Message",
    "MessageTooLarge",
    "Node",
    "NodeGroup",
    "NodeInfo",
    "NotFound",
    "OutputChunk",
    "PatternSpec",
    "PermissionDenied",
    "ProducerMark",
    "ProtocolError",
    "PullResult",
    "PushResult",
    "RateLimited",
    "RecordFeed",
    "RecordMeta",
    "RecordRef",
    "RecordStreamError",
    "RecordStreamOptions",
    "Records",
    "Referrer",
    "Refused",
    "Retry",
    "Sealed",
    "SenderInfo",
    "SequenceConflict",
    "Session",
    "SessionClosed",
    "SessionInfo",
    "SessionNotFound",
    "SessionTaken",
    "Sessions",
    "SlowConsumer",
    "StorageError",
    "Stream",
    "StreamAppended",
    "StreamChunk",
    "StreamInfo",
    "StreamMetrics",
    "StreamProducer",
    "StreamReading",
    "StreamReplaced",
    "Streams",
    "SubscriberTooSlow",
    "Subscription",
    "SyncArtifacts",
    "SyncChannel",
    "SyncChannels",
    "SyncCurrentJob",
    "SyncGroups",
    "SyncJob",
    "SyncJobs",
    "SyncNode",
    "SyncNodeGroup",
    "SyncOutput",
    "SyncRecordFeed",
    "SyncRecords",
    "SyncSession",
    "SyncSessions",
    "SyncStream",
    "SyncStreamProducer",
    "SyncStreamReading",
    "SyncStreams",
    "SyncSubscription",
    "TooManyChannels",
    "Unauthenticated",
    "Unavailable",
    "Usage",
    "UsageError",
    "VersionMismatch",
    "__version__",
    "connect",
    "connect_sync",
    "current_job",
    "current_job_sync",
    "delete_stream",
    "lookup_stream",
    "pull_stream",
    "push_stream",
    "sync",
]


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name == "sync":  # a library of its own; importing it sets the attribute
        return import_module("holdfast.sync")
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module 'holdfast' has no attribute {name!r}")
    value = getattr(import_module(f"holdfast.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
