"""The group commands: one definition from which the node's dispatch, the clients' stubs and the docs are made.

The messages of a group are read from its channel, ``groups/<name>``, like any other's.
"""

from __future__ import annotations

from typing import Protocol

from ..rpc.commands import Commands
from .groups import GroupInfo, GroupSent, GroupSnapshot, GroupSpec


class GroupsApi(Protocol):
    """What can be done with groups."""

    async def create(self, spec: GroupSpec, key: bytes = b"") -> GroupInfo:
        """Take part in a group from now on, over restarts too; durable on return.

        ``key``: over UDP, 32 bytes that all of the group share; what was not made with them is not heard, and nobody
        without them can read along.  The node keeps it and tells it nobody.

        Makes the channel ``groups/<name>``, in which every message of the group is appended in causal order, and from
        which every entry of data is sent.  Raises AlreadyExists if this node has a group of that name, UsageError
        naming a field, Unavailable if the address cannot be listened at, LimitExceeded(name="groups_max").
        """
        ...

    async def join(self, name: str) -> GroupInfo:
        """Take part again in a group that was left, from where it was; what was missed comes from the others.

        Idempotent, durable on return.  NotFound; Unavailable if the address cannot be listened at.
        """
        ...

    async def leave(self, name: str) -> GroupInfo:
        """Take no part for now; channel and state stay.  Idempotent, durable on return.  NotFound."""
        ...

    async def set_peers(self, name: str, peers: list[str]) -> GroupInfo:
        """Send to these addresses, and hear these only; durable on return.

        NotFound; UsageError for a bad address, and for a group that is not one of listed peers.
        """
        ...

    async def set_key(self, name: str, key: bytes = b"") -> GroupInfo:
        """Seal what is sent with another key from now on, or with none, and hear only what is; durable on return.

        NotFound; UsageError for what is no key, and for a group over the bus.
        """
        ...

    async def send(self, name: str, content: bytes, ephemeral: bool = False, message_id: str = "") -> GroupSent:
        """Send a message to the group: on disk, in the channel and on its way on return.

        ``message_id``: drawn by the caller, who may then ask again whatever became of the answer; one that is there is
        not sent twice.  It is sent again until somebody has it.  An ephemeral one goes to whoever listens now: it is
        not kept.
        Raises NotFound, ClosedError for a group that was left, UsageError for empty content, LimitExceeded.
        """
        ...

    async def send_stream(
        self, name: str, stream: int, size_bytes: int, ephemeral: bool = False, message_id: str = ""
    ) -> GroupSent:
        """:meth:`send` for content too large for one request: ``size_bytes`` of it come on the caller's ``stream``.

        LimitExceeded for more than ``group_content_bytes_max``; UsageError if the stream ends early.
        """
        ...

    async def status(self, name: str) -> GroupInfo:
        """The group as it stands.  NotFound."""
        ...

    async def list(self) -> list[GroupInfo]:
        """All groups of this node, by name."""
        ...

    async def snapshot(self, name: str, limit: int = 100) -> GroupSnapshot:
        """What is known: the newest ``limit`` messages in the order all peers agree on, and what is waited for.

        NotFound; ClosedError for a group that was left.
        """
        ...

    async def remove(self, name: str, keep_channel: bool = False) -> None:
        """Leave, and forget the group with its state and its channel, unless that is to be kept.  NotFound."""
        ...


COMMANDS = Commands("groups", GroupsApi)
