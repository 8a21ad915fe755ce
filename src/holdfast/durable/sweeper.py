"""Ends streams when their time has come, by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import structlog

from ..errors import HoldfastError
from .expiry import Agenda, Lifetime

if TYPE_CHECKING:
    from ..clock import Clock

_logger = structlog.get_logger("holdfast.durable")

_PAUSE_S = 0.1
"""Between two sweeps at least, so that many short lives cost little."""

LookAt = Callable[[str], Awaitable[Lifetime | None]]


class Sweeper:
    """Looks at each stream with an end when that may have come.

    ``look_at(path)`` removes the stream if it is over, and else gives its lifetime; None: it is not there.
    """

    def __init__(self, clock: Clock, look_at: LookAt) -> None:
        self._clock = clock
        self._look_at = look_at
        self._agenda = Agenda()
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin."""
        self._task = asyncio.create_task(self._run(), name="stream-sweeper")

    async def close(self) -> None:
        """End.  Idempotent."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def schedule(self, path: str, life: Lifetime) -> None:
        """Look at it when its end may have come."""
        if not life.endless:
            self._agenda.set(path, life.look_at(self._clock.now(), self._clock.wall()))
            self._changed.set()

    def forget(self, path: str) -> None:
        """It is gone."""
        self._agenda.remove(path)

    async def sweep(self) -> None:
        """Look at every stream whose time has come."""
        for path in self._agenda.due(self._clock.now()):
            life = await self._look_at(path)
            if life is not None:
                self.schedule(path, life)

    async def _run(self) -> None:
        while True:
            self._changed.clear()
            deadline = self._agenda.next_deadline()
            delay = None if deadline is None else max(deadline - self._clock.now(), _PAUSE_S)
            try:
                async with asyncio.timeout(delay):
                    await self._changed.wait()
                continue
            except TimeoutError:
                pass
            try:
                await self.sweep()
            except HoldfastError as error:
                _logger.warning("stream.sweep_failed", error=str(error))
