"""What is kept of logs in memory: their ends, each and all together under a bound."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

from ..limits import Limits
from .state import LogState


class Tails:
    """The cached ends of all logs; the owner adds to ``cost_bytes`` what it caches and takes off what it drops."""

    __slots__ = ("_evicts", "_idle", "_limits", "cost_bytes")

    def __init__(self, limits: Limits, *, evict: bool) -> None:
        """``evict``: whether what is durable may leave the memory when there is too much of it."""
        self._limits = limits
        self._evicts = evict
        self._idle: OrderedDict[LogState, None] = OrderedDict()  # the longest idle one first
        self.cost_bytes = 0

    def touch(self, states: Iterable[LogState]) -> None:
        """Something of ``states`` became durable: keep the bounds; the longest idle log goes first."""
        if not self._evicts:
            return
        for state in states:
            self._idle[state] = None
            self._idle.move_to_end(state)
            if state.cache.cost_bytes > self._limits.log_cache_bytes:
                self._drop(state, self._limits.log_cache_bytes)
        for _ in range(len(self._idle)):
            if self.cost_bytes <= self._limits.engine_cache_bytes:
                break
            state = next(iter(self._idle))
            self._drop(state, 0)
            if state.cache.cost_bytes:
                self._idle.move_to_end(state)
            else:
                del self._idle[state]

    def _drop(self, state: LogState, keep_bytes: int) -> None:
        self.cost_bytes -= state.cache.drop_below(min(state.durable, state.visible), keep_bytes)

    def forget(self, state: LogState) -> None:
        """The log is no more."""
        self.cost_bytes -= state.cache.cost_bytes
        self._idle.pop(state, None)
