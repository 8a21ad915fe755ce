"""Who reads whose rows: a fork has a share in the rows of the logs it comes from, and no copies of them.

A share says that the positions ``low`` to ``high`` of a log are in rows of another, its owner, which may be trimmed or
deleted itself: rows stay while anybody has a share in them.  Shares always name the log that has the rows, so a fork of
a fork depends on nobody in between.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from itertools import groupby
from operator import itemgetter

from ..state import Share


class Shares:
    """The table ``share``, on the writer's connection, inside its transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._execute = connection.execute

    def load(self) -> dict[int, tuple[Share, ...]]:
        """The shares of each log that has some, in order."""
        found = self._execute("SELECT log, owner, low, high FROM share ORDER BY log, low")
        return {log: tuple(Share(*values) for _, *values in rows) for log, rows in groupby(found, key=itemgetter(0))}

    def of(self, log_id: int, low: int, high: int) -> list[Share]:
        """The shares of a log, as far as they are in ``low`` to ``high``."""
        found = self._execute(
            "SELECT owner, max(low, ?2), min(high, ?3) FROM share "
            "WHERE log = ?1 AND low < ?3 AND high > ?2 ORDER BY low",
            (log_id, low, high),
        )
        return [Share(*values) for values in found]

    def add(self, log_id: int, shares: Iterable[Share]) -> None:
        """Give a log shares."""
        self._connection.executemany("INSERT INTO share VALUES (?, ?, ?, ?)", [(log_id, *share) for share in shares])

    def trim(self, log_id: int, position: int) -> None:
        """Give up what lies below ``position``."""
        self._execute("DELETE FROM share WHERE log = ? AND high <= ?", (log_id, position))
        self._execute("UPDATE share SET low = ?2 WHERE log = ?1 AND low < ?2", (log_id, position))

    def drop(self, log_id: int) -> None:
        """Give up all shares of a log."""
        self._execute("DELETE FROM share WHERE log = ?", (log_id,))

    def any_in(self, owner: int) -> bool:
        """Whether somebody has a share in the rows of ``owner``."""
        return self._execute("SELECT 1 FROM share WHERE owner = ? LIMIT 1", (owner,)).fetchone() is not None
