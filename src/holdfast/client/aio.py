"""The async SDK's door: :func:`connect`."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from ..paths import places
from ..rpc.commands import invoke
from ..status.api import StatusApi
from ..status.model import NodeInfo
from .jobs import Jobs
from .link import Link


class Node:
    """A node, reached over RPC; made by :func:`connect` and used as an async context manager.

    Safe to use from many tasks of one event loop at once.
    """

    def __init__(self, link: Link) -> None:
        self._link = link
        self.jobs = Jobs(link)

    async def __aenter__(self) -> Self:
        await self._link.connection()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Hang up; jobs run on.  Idempotent."""
        await self._link.close()

    async def info(self) -> NodeInfo:
        """Who answers: version, process, places, counts."""
        return await self._link.again(lambda link: invoke(link, StatusApi.info))


def connect(url: str | None = None, *, autostart: bool = True, reconnect_s: float = 60.0) -> Node:
    """A connection to the node at ``url`` (default: ``HOLDFAST_URL``, else the user's own node).

    ``async with holdfast.connect() as node`` dials; with ``autostart`` a node is started in the background if
    none answers.  A cut link is dialled again by itself: ``reconnect_s`` bounds, in seconds, how long questions
    and output iterators wait for it.  Entering raises Unavailable, PermissionDenied, or what kept the node
    from starting.
    """
    where = places()
    where = where if url is None else where._replace(url=url)
    return Node(Link(where, autostart=autostart, reconnect_s=reconnect_s))
