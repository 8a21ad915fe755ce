"""The messages of ``proto/``, in a descriptor pool of their own.

Another package in the same process may bring its own stubs of the same service; the default pool would refuse the
second of two files with one name.  ``store.binpb`` is compiled from ``proto/`` by ``python -m tools.protos``.
"""

from __future__ import annotations

import os
from typing import Any, NamedTuple

from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

STORE_SERVICE = "agntcy.dir.store.v1.StoreService"

_CORE = "agntcy.dir.core.v1."
_STORE = "agntcy.dir.store.v1."


def _load() -> DescriptorPool:
    with open(os.path.join(os.path.dirname(__file__), "store.binpb"), "rb") as file:
        files = FileDescriptorSet.FromString(file.read())
    pool = DescriptorPool()
    for each in files.file:
        pool.AddSerializedFile(each.SerializeToString())
    return pool


POOL = _load()


def _message(name: str) -> Any:
    """The class of a message: protobuf makes it, so its type is not known before."""
    return GetMessageClass(POOL.FindMessageTypeByName(name))


Struct = _message("google.protobuf.Struct")
Empty = _message("google.protobuf.Empty")
Record = _message(_CORE + "Record")
RecordRef = _message(_CORE + "RecordRef")
RecordMeta = _message(_CORE + "RecordMeta")
RecordReferrer = _message(_CORE + "RecordReferrer")
ReferrerRef = _message(_CORE + "ReferrerRef")
PushReferrerRequest = _message(_STORE + "PushReferrerRequest")
PushReferrerResponse = _message(_STORE + "PushReferrerResponse")
PullReferrerRequest = _message(_STORE + "PullReferrerRequest")
PullReferrerResponse = _message(_STORE + "PullReferrerResponse")
DeleteReferrerRequest = _message(_STORE + "DeleteReferrerRequest")
DeleteReferrerResponse = _message(_STORE + "DeleteReferrerResponse")


class Method(NamedTuple):
    """One method of the service; all take a stream."""

    name: str
    request: Any
    response: Any
    streams_back: bool = True

    @property
    def path(self) -> str:
        """As it stands in a call."""
        return f"/{STORE_SERVICE}/{self.name}"


PUSH = Method("Push", Record, RecordRef)
PULL = Method("Pull", RecordRef, Record)
LOOKUP = Method("Lookup", RecordRef, RecordMeta)
DELETE = Method("Delete", RecordRef, Empty, streams_back=False)
PUSH_REFERRER = Method("PushReferrer", PushReferrerRequest, PushReferrerResponse)
PULL_REFERRER = Method("PullReferrer", PullReferrerRequest, PullReferrerResponse)
DELETE_REFERRER = Method("DeleteReferrer", DeleteReferrerRequest, DeleteReferrerResponse)
