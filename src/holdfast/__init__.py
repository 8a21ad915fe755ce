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
    from .client.appending import Appended, BatchAppended, Refused
    from .client.artifacts import Artifacts
    from .client.channels import Channel, Channels
    from .client.current import CurrentJob, current_job
    from .client.groups import Groups, NodeGroup, SyncGroups, SyncNodeGroup
    from .client.jobs import Job, JobOutput, Jobs
    from .client.output import OutputChunk
    from .client.record_functions import delete_stream, lookup_stream, pull_stream, push_stream
    from .client.records import Records
    from .client.records_feed import RecordFeed
    from .client.records_options import RecordStreamOptions
    from .client.sessions import Session, Sessions
    from .client.streams import Stream, StreamProducer, Streams
    from .client.streams_pieces import StreamChunk
    from .client.streams_reading import StreamReading
    from .client.subscription import Subscription
    from .client.sync import SyncJob, SyncJobs, SyncNode, connect_sync
    from .client.sync_artifacts import SyncArtifacts
    from .client.sync_channels import SyncChannel, SyncChannels
    from .client.sync_current import SyncCurrentJob, current_job_sync
    from .client.sync_output import SyncOutput
    from .client.sync_records import SyncRecords
    from .client.sync_records_feed import SyncRecordFeed
    from .client.sync_sessions import SyncSession, SyncSessions
    from .client.sync_streams import SyncStream, SyncStreamProducer, SyncStreams
    from .client.sync_streams_reading import SyncStreamReading
    from .client.sync_subscription import SyncSubscription
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
    "client.appending": ("Appended", "BatchAppended", "Refused"),
    "client.channels": ("Channel", "Channels"),
    "client.current": ("CurrentJob", "current_job"),
    "client.groups": ("Groups", "NodeGroup", "SyncGroups", "SyncNodeGroup"),
    "client.jobs": ("Job", "JobOutput", "Jobs"),
    "client.output": ("OutputChunk",),
    "client.sessions": ("Session", "Sessions"),
    "client.streams": ("Stream", "StreamProducer", "Streams"),
    "client.streams_pieces": ("StreamChunk",),
    "client.streams_reading": ("StreamReading",),
    "client.subscription": ("Subscription",),
    "client.sync": ("SyncJob", "SyncJobs", "SyncNode", "connect_sync"),
    "client.sync_channels": ("SyncChannel", "SyncChannels"),
    "client.sync_current": ("SyncCurrentJob", "current_job_sync"),
    "client.sync_output": ("SyncOutput",),
    "client.sync_sessions": ("SyncSession", "SyncSessions"),
    "client.sync_streams": ("SyncStream", "SyncStreamProducer", "SyncStreams"),
    "client.sync_streams_reading": ("SyncStreamReading",),
    "client.sync_subscription": ("SyncSubscription",),
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
    "client.artifacts": ("Artifacts",),
    "client.record_functions": ("delete_stream", "lookup_stream", "pull_stream", "push_stream"),
    "client.records": ("Records",),
    "client.records_feed": ("RecordFeed",),
    "client.records_options": ("RecordStreamOptions",),
    "client.sync_artifacts": ("SyncArtifacts",),
    "client.sync_records": ("SyncRecords",),
    "client.sync_records_feed": ("SyncRecordFeed",),
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
