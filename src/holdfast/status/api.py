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


COMMANDS = Commands("node", StatusApi)
