"""A provider that tells the time: ``<name>.tick``, every so many milliseconds."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from holdfast.errors import UsageError
from holdfast.sessions.model import Message
from holdfast.sessions.providers.base import BaseProvider, Context, OpenStream, Sink, Stream, take_options


class ClockProvider(BaseProvider):
    """One task for each pattern that somebody follows; nobody follows, nothing runs."""

    def __init__(self, name: str, options: Mapping[str, str], context: Context) -> None:
        taken = take_options(options, {"every_ms": "1000"}, "clock")
        if not taken["every_ms"].isdecimal() or not int(taken["every_ms"]):
            raise UsageError(f"options.every_ms: {taken['every_ms']!r} is no number", field="options.every_ms")
        self._every_s = int(taken["every_ms"]) / 1000
        self._subject = f"{name}.tick"
        self._clock = context.clock

    async def open(self, pattern: str, sink: Sink) -> Stream:
        """Tick for ``sink`` until the stream is closed."""
        task = asyncio.create_task(self._tick(sink))

        async def close() -> None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

        return OpenStream(close)

    async def _tick(self, sink: Sink) -> None:
        while True:
            now = self._clock.wall()
            sink.messages([Message(self._subject, f"{now:.1f}".encode(), time=now)])
            await asyncio.sleep(self._every_s)
