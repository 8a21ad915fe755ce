"""Groups of a node, as both SDKs show them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Literal, TypedDict, Unpack

from ..errors import LimitExceeded
from ..ids import new_token
from ..limits import LIMITS
from ..rpc.commands import INLINE_BYTES_MAX
from ..sync.api import GroupsApi
from ..sync.groups import GroupInfo, GroupSent, GroupSnapshot, GroupSpec, group_channel
from .sync_link import SyncLink

if TYPE_CHECKING:
    from .channels.aio import Channel, Channels
    from .channels.sync import SyncChannel, SyncChannels
    from .link import Link


class GroupOptions(TypedDict, total=False):
    """Over what a group talks, one of ``multicast``, ``listen`` and ``bus``, and how; see :class:`GroupSpec`."""

    multicast: str
    listen: str
    peers: Sequence[str]
    bus: bool
    interface: str
    ttl: int
    profile: str
    dialect: Literal["spec", "nim"]
    key: bytes
    """Over UDP: 32 bytes that all of the group share; see :mod:`holdfast.sync.keys`."""


def make_spec(name: str, me: str, options: GroupOptions) -> GroupSpec:
    """What a node is asked to take part in."""
    peers = list(options.get("peers", ()))
    rest = {name: value for name, value in options.items() if name not in {"peers", "key"}}
    return replace(GroupSpec(name=name, me=me, peers=peers), **rest)  # type: ignore[arg-type]  # a TypedDict's values


def _body(content: bytes | str) -> bytes:
    """What travels; LimitExceeded before it fills a request for nothing."""
    body = content.encode() if isinstance(content, str) else content
    if len(body) > LIMITS.group_content_bytes_max:
        raise LimitExceeded(
            f"content: {len(body)} bytes, over the limit group_content_bytes_max = {LIMITS.group_content_bytes_max}",
            name="group_content_bytes_max",
            limit=LIMITS.group_content_bytes_max,
            value=len(body),
        )
    return body


class Groups:
    """The groups of a node."""

    def __init__(self, link: Link, channels: Channels) -> None:
        self._link = link
        self._channels = channels

    async def create(self, name: str, me: str, **options: Unpack[GroupOptions]) -> NodeGroup:
        """Let the node take part in the group ``name`` as ``me``, from now on; durable on return.

        Raises AlreadyExists, UsageError, LimitExceeded (groups_max), Unavailable for an address that cannot be
        listened at.  DisconnectedError: the link broke meanwhile and it may take part.
        """
        spec, key = make_spec(name, me, options), options.get("key", b"")
        await self._link.do(GroupsApi.create, spec, key)
        return self.group(name)

    async def get(self, name: str) -> NodeGroup:
        """The group of that name.  NotFound if the node has none."""
        await self._link.ask(GroupsApi.status, name)
        return self.group(name)

    def group(self, name: str) -> NodeGroup:
        """The group of that name, without asking whether it is there."""
        return NodeGroup(self._link, self._channels, name)

    async def list(self) -> list[GroupInfo]:
        """All groups of the node, by name."""
        return await self._link.ask(GroupsApi.list)


class NodeGroup:
    """One group of a node.  What it delivers is in its :attr:`channel`."""

    def __init__(self, link: Link, channels: Channels, name: str) -> None:
        self.name = name
        self._link = link
        self._channels = channels

    @property
    def channel(self) -> Channel:
        """The channel with the group's messages in causal order; subscribe to it, or append to it to send."""
        return self._channels.channel(group_channel(self.name))

    async def send(self, content: bytes | str, *, ephemeral: bool = False) -> GroupSent:
        """Send a message: on disk, in the channel and on its way on return.

        Goes on over cut links and a node that is started again, for ``reconnect_s``, and is sent once all the same; not
        so an ephemeral one.  Raises NotFound, ClosedError for a group that was left, UsageError for empty content,
        LimitExceeded.  DisconnectedError, Unavailable: no node was to be had in time, and it may have been sent.
        """
        link, body, message_id = self._link, _body(content), "" if ephemeral else new_token(16)
        if len(body) > INLINE_BYTES_MAX:
            send_large = link.do_whole if ephemeral else link.ask_whole
            return await send_large(body, GroupsApi.send_stream, self.name, ephemeral, message_id)
        send = link.do if ephemeral else link.ask
        return await send(GroupsApi.send, self.name, body, ephemeral, message_id)

    async def join(self) -> GroupInfo:
        """Take part again, from where it was left.  Idempotent."""
        return await self._link.ask(GroupsApi.join, self.name)

    async def leave(self) -> GroupInfo:
        """Take no part for now; channel and state stay.  Idempotent."""
        return await self._link.ask(GroupsApi.leave, self.name)

    async def set_peers(self, peers: Sequence[str]) -> GroupInfo:
        """Send to these addresses, and hear these only."""
        return await self._link.ask(GroupsApi.set_peers, self.name, list(peers))

    async def set_key(self, key: bytes) -> GroupInfo:
        """Seal what is sent with this key from now on, and hear only what is; empty: with none."""
        return await self._link.ask(GroupsApi.set_key, self.name, key)

    async def status(self) -> GroupInfo:
        """The group as it stands."""
        return await self._link.ask(GroupsApi.status, self.name)

    async def snapshot(self, limit: int = 100) -> GroupSnapshot:
        """The newest messages in the order all peers agree on, and what is waited for."""
        return await self._link.ask(GroupsApi.snapshot, self.name, limit)

    async def remove(self, *, keep_channel: bool = False) -> None:
        """Leave, and let the node forget the group, and its channel unless that is to be kept."""
        await self._link.do(GroupsApi.remove, self.name, keep_channel)


class SyncGroups:
    """The blocking twin of :class:`Groups`."""

    def __init__(self, node: SyncLink, channels: SyncChannels) -> None:
        self._node = node
        self._channels = channels

    def create(self, name: str, me: str, **options: Unpack[GroupOptions]) -> SyncNodeGroup:
        """As :meth:`Groups.create`."""
        spec, key = make_spec(name, me, options), options.get("key", b"")
        self._node.do(GroupsApi.create, spec, key)
        return self.group(name)

    def get(self, name: str) -> SyncNodeGroup:
        """The group of that name.  NotFound if the node has none."""
        self._node.ask(GroupsApi.status, name)
        return self.group(name)

    def group(self, name: str) -> SyncNodeGroup:
        """The group of that name, without asking whether it is there."""
        return SyncNodeGroup(self._node, self._channels, name)

    def list(self) -> list[GroupInfo]:
        """All groups of the node, by name."""
        return self._node.ask(GroupsApi.list)


class SyncNodeGroup:
    """The blocking twin of :class:`NodeGroup`."""

    def __init__(self, node: SyncLink, channels: SyncChannels, name: str) -> None:
        self.name = name
        self._node = node
        self._channels = channels

    @property
    def channel(self) -> SyncChannel:
        """The channel with the group's messages in causal order."""
        return self._channels.channel(group_channel(self.name))

    def send(self, content: bytes | str, *, ephemeral: bool = False) -> GroupSent:
        """As :meth:`NodeGroup.send`."""
        node, body, message_id = self._node, _body(content), "" if ephemeral else new_token(16)
        if len(body) > INLINE_BYTES_MAX:
            send_large = node.do_whole if ephemeral else node.ask_whole
            return send_large(body, GroupsApi.send_stream, self.name, ephemeral, message_id)
        send = node.do if ephemeral else node.ask
        return send(GroupsApi.send, self.name, body, ephemeral, message_id)

    def join(self) -> GroupInfo:
        """Take part again, from where it was left.  Idempotent."""
        return self._node.ask(GroupsApi.join, self.name)

    def leave(self) -> GroupInfo:
        """Take no part for now; channel and state stay.  Idempotent."""
        return self._node.ask(GroupsApi.leave, self.name)

    def set_peers(self, peers: Sequence[str]) -> GroupInfo:
        """Send to these addresses, and hear these only."""
        wanted = list(peers)
        return self._node.ask(GroupsApi.set_peers, self.name, wanted)

    def set_key(self, key: bytes) -> GroupInfo:
        """As :meth:`NodeGroup.set_key`."""
        return self._node.ask(GroupsApi.set_key, self.name, key)

    def status(self) -> GroupInfo:
        """The group as it stands."""
        return self._node.ask(GroupsApi.status, self.name)

    def snapshot(self, limit: int = 100) -> GroupSnapshot:
        """As :meth:`NodeGroup.snapshot`."""
        return self._node.ask(GroupsApi.snapshot, self.name, limit)

    def remove(self, *, keep_channel: bool = False) -> None:
        """As :meth:`NodeGroup.remove`."""
        self._node.do(GroupsApi.remove, self.name, keep_channel)
