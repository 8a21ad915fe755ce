"""A link with a round trip: ``python -m bench.delay LISTEN TARGET ROUND_TRIP_MS`` passes on between two unix sockets.

Each piece arrives half a round trip after it was sent, in order; nothing is lost, and the rate is not limited.
"""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from typing import cast

import uvloop

_READ_BYTES = 1 << 18


class _End(asyncio.Protocol):
    """One end of a pair: what it receives leaves at the other, later."""

    def __init__(self, delay_s: float) -> None:
        self._delay_s = delay_s
        self._loop = asyncio.get_running_loop()
        self._late: deque[bytes] = deque()
        self.other: _End | None = None
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's own is no subclass

    def data_received(self, data: bytes) -> None:
        self._late.append(data)
        self._loop.call_later(self._delay_s, self._arrive)

    def connection_lost(self, exc: Exception | None) -> None:
        self._loop.call_later(self._delay_s, self._hang_up)

    def _arrive(self) -> None:
        data = self._late.popleft()
        if self.other is not None and self.other.transport is not None:
            self.other.transport.write(data)

    def _hang_up(self) -> None:
        if self.other is not None and self.other.transport is not None:
            self.other.transport.close()


async def serve(listen: str, target: str, round_trip_s: float) -> None:
    """Pass on until killed."""
    loop = asyncio.get_running_loop()

    async def joined(near: _End) -> None:
        _, far = await loop.create_unix_connection(lambda: _End(round_trip_s / 2), target)
        near.other, far.other = far, near
        assert near.transport is not None
        near.transport.resume_reading()

    class Near(_End):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            assert self.transport is not None
            self.transport.pause_reading()
            joining.add(loop.create_task(joined(self)))

    joining: set[asyncio.Task[None]] = set()
    server = await loop.create_unix_server(lambda: Near(round_trip_s / 2), listen)
    print("ready", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(sys.argv[1], sys.argv[2], float(sys.argv[3]) / 1000))
