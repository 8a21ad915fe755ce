"""Waiting for what a log does not show yet, without polling: for all that comes, or for what is being stored."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Protocol

from ..errors import NotFound, StorageError
from .base import Piece
from .state import LogState


class Readable(Protocol):
    """Logs as who waits for them needs them."""

    def check_readable(self, state: LogState, position: int) -> None:
        """NotFound, Gone, UsageError or ClosedError if nothing can ever be read at ``position``."""
        ...

    async def read_state(self, state: LogState, position: int, max_bytes: int) -> list[Piece]:
        """What is visible from ``position`` on, about ``max_bytes`` of it; [] if nothing is."""
        ...


class Follower(AsyncIterator[list[Piece]]):
    """A cursor in a log: gives what is there, waits at the tail, ends when all of a closed log was given.

    Holds nothing but its position between two steps, so it can be dropped at any time.  A step that is
    cancelled loses nothing: the next one goes on from the same position.
    """

    __slots__ = ("_ended", "_logs", "_losses", "_max_bytes", "_name", "_state", "position")

    def __init__(self, logs: Readable, state: LogState | None, name: str, position: int, max_bytes: int) -> None:
        self._logs = logs
        self._state = state
        self._name = name
        self._max_bytes = max_bytes
        self._losses = 0 if state is None else state.losses.count
        self._ended = False
        self.position = position

    def __aiter__(self) -> Follower:
        return self

    async def __anext__(self) -> list[Piece]:
        """The next pieces.

        Raises NotFound, Gone, ClosedError when the engine stops, and StorageError if what was given before
        has been lost, which only appends with ack="memory" can be.
        """
        if self._ended:
            raise StopAsyncIteration
        state = self._state
        if state is None:
            raise NotFound(kind="log", name=self._name)
        while True:
            self._check_losses(state)
            self._logs.check_readable(state, self.position)
            if self.position < state.visible:
                pieces = await self._logs.read_state(state, self.position, self._max_bytes)
                if pieces:
                    self.position = pieces[-1].end
                    return pieces
            elif state.closed:
                self._ended = True
                raise StopAsyncIteration
            else:
                await state.changed()

    def _check_losses(self, state: LogState) -> None:
        lost = state.losses.below(self.position, self._losses)
        if lost is not None:
            raise StorageError(
                f"log {self._name!r}: what was read from position {lost} on, appended with ack='memory', could "
                "not be stored and is lost"
            )
        self._losses = state.losses.count

    async def aclose(self) -> None:
        """End the iteration; there is nothing to let go of."""
        self._ended = True


async def read_when_stored(
    logs: Readable, state: LogState, position: int, max_bytes: int, within_s: float | None
) -> list[Piece]:
    """See :meth:`holdfast.engine.base.Log.read_when_stored`."""
    pieces = await logs.read_state(state, position, max_bytes)
    try:
        async with asyncio.timeout(within_s):
            while not pieces and position < state.tail:
                await state.changed()
                if position < state.tail:  # else it was not stored after all
                    pieces = await logs.read_state(state, position, max_bytes)
    except TimeoutError:
        return []
    return pieces
