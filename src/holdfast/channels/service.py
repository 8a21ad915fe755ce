"""The channel commands as one connection calls them: :class:`ChannelsApi` over the router."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import MessageTooLarge
from ..rpc.aio.whole import take_whole
from .model import (
    Ack,
    AppendResult,
    ChannelInfo,
    ChannelLimits,
    ChannelStats,
    Order,
    SenderInfo,
    SlowPolicy,
    SubscribeStart,
)

if TYPE_CHECKING:
    from ..limits import Limits
    from ..rpc.aio.connection import AsyncConnection
    from .access import Caller
    from .router import ChannelRouter


class ChannelsService:
    """One caller's side.  What it subscribed to ends with its connection, by itself."""

    def __init__(self, router: ChannelRouter, caller: Caller, connection: AsyncConnection, limits: Limits) -> None:
        self._router = router
        self._caller = caller
        self._connection = connection
        self._limits = limits

    async def create(
        self,
        process: str,
        name: str,
        submitter: str = "",
        executor: str = "",
        retain: bool = False,
        entries_max: int = 0,
        payload_bytes_max: int = 0,
        rate_per_s: float = 0.0,
        burst: int = 0,
        missing_ok: bool = False,
    ) -> ChannelInfo:
        limits = ChannelLimits(
            entries_max=entries_max, payload_bytes_max=payload_bytes_max, rate_per_s=rate_per_s, burst=burst
        )
        return await self._router.create(
            self._caller, process, name,
            submitter=submitter, executor=executor, retain=retain, limits=limits, missing_ok=missing_ok,
        )  # fmt: skip

    async def get(self, channel: str) -> ChannelInfo:
        return await self._router.get(self._caller, channel)

    async def senders(self, channel: str) -> list[SenderInfo]:
        return await self._router.senders(self._caller, channel)

    async def append(self, channel: str, batch: bytes, ack: Ack = "disk", sender: str = "") -> AppendResult:
        return await self._router.append(self._caller, channel, batch, ack, sender)

    async def append_stream(
        self, channel: str, stream: int, size_bytes: int, ack: Ack = "disk", sender: str = ""
    ) -> AppendResult:
        self._router.find(self._caller, channel, "append", "append")
        limit = self._limits.channel_batch_bytes_max
        if size_bytes > limit:
            raise MessageTooLarge(name="channel_batch_bytes_max", limit=limit, value=size_bytes)
        batch = await take_whole(self._connection, stream, size_bytes, self._limits.viewer_window_bytes)
        return await self._router.append(self._caller, channel, batch, ack, sender)

    async def read(
        self,
        channel: str,
        after: int | None = None,
        limit: int = 0,
        since: float | None = None,
        last: int = 0,
        order: Order = "index",
    ) -> bytes:
        return await self._router.read(
            self._caller, channel, after=after, limit=limit, since=since, last=last, order=order
        )

    async def subscribe(
        self,
        channel: str,
        stream: int,
        after: int | None = None,
        policy: SlowPolicy = "paged",
        buffer_entries: int = 0,
        buffer_bytes: int = 0,
        mine: bool = True,
        follow: bool = True,
        limit: int = 0,
    ) -> SubscribeStart:
        return await self._router.subscribe(
            self._caller, channel, self._connection, stream,
            after=after, policy=policy, buffer_entries=buffer_entries, buffer_bytes=buffer_bytes,
            mine=mine, follow=follow, limit=limit,
        )  # fmt: skip

    async def set_executor(self, channel: str, executor: str) -> ChannelInfo:
        return await self._router.set_executor(self._caller, channel, executor)

    async def set_process_executor(self, process: str, executor: str) -> list[ChannelInfo]:
        return await self._router.set_process_executor(self._caller, process, executor)

    async def close(self, channel: str) -> ChannelInfo:
        return await self._router.end(self._caller, channel)

    async def close_process(self, process: str) -> list[ChannelInfo]:
        return await self._router.end_process(self._caller, process)

    async def remove(self, channel: str, reason: str = "") -> None:
        await self._router.remove(self._caller, channel, reason)

    async def cleanup_process(self, process: str, reason: str = "") -> int:
        return await self._router.cleanup_process(self._caller, process, reason)

    async def stats(self) -> ChannelStats:
        return self._router.stats()

    async def list(self, process: str = "", after: str = "") -> list[ChannelInfo]:
        return await self._router.list(self._caller, process, after)
