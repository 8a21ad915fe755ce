"""An engine whose every step waits for its turn, and a driver that draws whose turn it is.

One seed gives one order of everything: what runs between two steps is plain asyncio, first come, first served.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

_READS = frozenset({"get_many", "stat_many", "stat", "list", "read"})
_WRITES = frozenset({"put", "put_many", "annotate_many", "delete", "delete_many", "append", "trim"})
"""These are done in the order of the calls, as every engine does them."""
_IDLE_MAX = 100
_SETTLE_TURNS = 12
"""Turns of the loop in which everything that can go on by itself has done so."""


class Gates:
    """Where steps wait."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.steps = 0
        self._waiting: list[asyncio.Future[None]] = []
        self._writes: deque[asyncio.Future[None]] = deque()

    async def turn(self, *, write: bool = False) -> None:
        """Wait for one's turn; writes have theirs in the order in which they wait."""
        gate: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        (self._writes if write else self._waiting).append(gate)
        await gate

    def _next(self) -> asyncio.Future[None] | None:
        self._waiting = [gate for gate in self._waiting if not gate.done()]
        while self._writes and self._writes[0].done():
            self._writes.popleft()
        choice = self.rng.randrange(len(self._waiting) + bool(self._writes)) if self._waiting or self._writes else -1
        if choice < 0:
            return None
        return self._waiting.pop(choice) if choice < len(self._waiting) else self._writes.popleft()

    async def drive(self, work: Coroutine[Any, Any, Any], *, steps_max: int | None = None) -> bool:
        """Run ``work``, letting one step through at a time; False, and all stands still, after ``steps_max`` steps."""
        task = asyncio.ensure_future(work)
        idle = 0
        until = None if steps_max is None else self.steps + steps_max
        while not task.done():
            await self._settle()
            if until is not None and self.steps >= until:
                return False
            gate = self._next()
            if gate is not None:
                self.steps += 1
                gate.set_result(None)
            else:
                idle += 1
                assert idle < _IDLE_MAX or task.done(), "nobody waits for a turn, and the work is not done: it hangs"
        task.result()
        return True

    async def _settle(self) -> None:
        for _ in range(_SETTLE_TURNS):
            await asyncio.sleep(0)


class GatedPart:
    """One primitive of an engine; what it is asked waits before and after it is done."""

    def __init__(self, inner: Any, gates: Gates) -> None:
        self._inner = inner
        self._gates = gates

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._inner, name)
        return self._gated(method, write=name in _WRITES) if name in _WRITES | _READS else method

    def _gated(self, method: Callable[..., Awaitable[Any]], *, write: bool) -> Callable[..., Awaitable[Any]]:
        async def slowly(*args: Any, **kwargs: Any) -> Any:
            await self._gates.turn(write=write)
            result = await method(*args, **kwargs)
            await self._gates.turn()
            return result

        return slowly


class GatedEngine:
    """An engine as its users see it."""

    def __init__(self, inner: Any, gates: Gates) -> None:
        self._inner = inner
        self.blobs: Any = GatedPart(inner.blobs, gates)
        self.kv: Any = GatedPart(inner.kv, gates)
        self.log: Any = GatedPart(inner.log, gates)
        self.bus: Any = inner.bus

    async def start(self) -> None:
        """The inner one is started."""

    async def stop(self) -> None:
        """The inner one goes on."""

    async def probe(self) -> None:
        """Ask the inner one."""
        await self._inner.probe()
