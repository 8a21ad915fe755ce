"""Commands about the node itself."""

from __future__ import annotations

from typing import Protocol

from ..rpc.commands import Commands
from .model import NodeInfo


class StatusApi(Protocol):
    """What can be asked of a node."""

    async def info(self) -> NodeInfo:
        """Who answers: version, process, places, counts."""
        ...

    async def stop(self) -> NodeInfo:
        """End the node as SIGTERM does: calls under way finish, jobs run on, the next node adopts them.

        Answers who will have ended, before it has: the connection is closed then.  For the node's owner only,
        PermissionDenied for everybody else whatever their token.
        """
        ...


COMMANDS = Commands("node", StatusApi)
