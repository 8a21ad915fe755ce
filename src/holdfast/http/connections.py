"""HTTP connections that wait for a peer who does nothing: found and cut."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Protocol, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class Peer(Protocol):
    """One connection, as the watch sees it."""

    def progress(self) -> tuple[int, int] | None:
        """Something that changes whenever the peer does its part; None while it is not the peer's turn."""
        ...

    def abort(self) -> None:
        """Cut the connection; nothing more is sent."""
        ...


class StallWatch:
    """Remembers since when each peer has been the one to act and has not."""

    def __init__(self, stall_s: float) -> None:
        self._stall_s = stall_s
        self._since: dict[Peer, tuple[tuple[int, int], float]] = {}

    def check(self, peers: Iterable[Peer], now: float) -> int:
        """Cut those of ``peers`` that stood still for too long; gives how many.  To be called now and then."""
        since = {}
        cut = 0
        for peer in peers:
            progress = peer.progress()
            if progress is None:
                continue
            before = self._since.get(peer)
            if before is None or before[0] != progress:
                since[peer] = (progress, now)
            elif now - before[1] < self._stall_s:
                since[peer] = before
            else:
                peer.abort()
                cut += 1
        self._since = since
        return cut


class CountingProtocol(HttpToolsProtocol):
    """uvicorn's HTTP/1.1, which also tells whether it waits for its peer."""

    received_bytes = 0

    def data_received(self, data: bytes) -> None:
        """Count, then parse."""
        self.received_bytes += len(data)
        super().data_received(data)

    def progress(self) -> tuple[int, int] | None:
        """The peer's turn: before its first request, within a body, and while it must take what we wrote."""
        transport = cast("asyncio.Transport | None", self.transport)
        if transport is None:
            return None
        waiting = transport.get_write_buffer_size()
        cycle = self.cycle
        wanting = cycle is None or (cycle.more_body and not cycle.response_complete)
        return (self.received_bytes, waiting) if waiting or wanting else None

    def abort(self) -> None:
        """Cut it."""
        self.transport.abort()
