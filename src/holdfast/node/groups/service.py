"""The group commands as one connection calls them: those of :class:`NodeGroups`, and what comes as a stream."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...errors import LimitExceeded
from ...rpc.aio.whole import take_whole

if TYPE_CHECKING:
    from ...limits import Limits
    from ...rpc.aio.connection import AsyncConnection
    from ...sync.groups import GroupSent
    from .groups import NodeGroups


class GroupsService:
    """One caller's side.  But for one command it does not matter who calls."""

    def __init__(self, groups: NodeGroups, connection: AsyncConnection, limits: Limits) -> None:
        self._groups = groups
        self._connection = connection
        self._limits = limits
        self.create, self.join, self.leave, self.remove = groups.create, groups.join, groups.leave, groups.remove
        self.set_peers, self.set_key, self.send = groups.set_peers, groups.set_key, groups.send
        self.status, self.list, self.snapshot = groups.status, groups.list, groups.snapshot

    async def send_stream(
        self, name: str, stream: int, size_bytes: int, ephemeral: bool = False, message_id: str = ""
    ) -> GroupSent:
        """See :meth:`GroupsApi.send_stream`."""
        self._groups.check_active(name)
        limit = self._limits.group_content_bytes_max
        if size_bytes > limit:
            raise LimitExceeded(name="group_content_bytes_max", limit=limit, value=size_bytes)
        content = await take_whole(self._connection, stream, size_bytes, self._limits.viewer_window_bytes)
        return await self._groups.send(name, content, ephemeral, message_id)
