"""The four streams of records as functions of a node, as in ``async for result in push_stream(node, records)``."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Unpack

from ...records.model import DeleteResult, LookupResult, PullResult, PushResult
from .kinds import RecordInput, RefInput
from .options import RecordStreamOptions
from .stream import Items

if TYPE_CHECKING:
    from ..aio import Node


def push_stream(
    node: Node, records: Items[RecordInput], **options: Unpack[RecordStreamOptions]
) -> AsyncGenerator[PushResult, None]:
    """Store records on ``node``: see :meth:`holdfast.Records.push_stream`."""
    return node.records.push_stream(records, **options)


def pull_stream(
    node: Node, refs: Items[RefInput], **options: Unpack[RecordStreamOptions]
) -> AsyncGenerator[PullResult, None]:
    """Read records of ``node``: see :meth:`holdfast.Records.pull_stream`."""
    return node.records.pull_stream(refs, **options)


def lookup_stream(
    node: Node, refs: Items[RefInput], **options: Unpack[RecordStreamOptions]
) -> AsyncGenerator[LookupResult, None]:
    """Read what ``node`` knows of records: see :meth:`holdfast.Records.lookup_stream`."""
    return node.records.lookup_stream(refs, **options)


def delete_stream(
    node: Node, refs: Items[RefInput], **options: Unpack[RecordStreamOptions]
) -> AsyncGenerator[DeleteResult, None]:
    """Remove records of ``node``: see :meth:`holdfast.Records.delete_stream`."""
    return node.records.delete_stream(refs, **options)
