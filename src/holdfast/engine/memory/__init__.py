"""An engine that keeps everything in memory, for tests and simulations."""

from __future__ import annotations

from .engine import MemoryEngine

__all__ = ["MemoryEngine"]
