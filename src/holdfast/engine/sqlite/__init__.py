"""The embedded engine: one directory, one SQLite database in it, one thread that writes."""

from __future__ import annotations

from .engine import SqliteEngine

__all__ = ["SqliteEngine"]
