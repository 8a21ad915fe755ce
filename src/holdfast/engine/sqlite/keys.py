"""The SQL of keys: the writer's side inside its transaction, and the reader's."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

from ...errors import Conflict
from ..base import Change, Item


class Keys:
    """Keys in the table ``kv``, and the revision that counts their changes."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._execute = connection.execute
        self.revision = self._stored = read_revision(connection)

    def putting(self, key: str, value: bytes, revision: int | None) -> Callable[[], Change]:
        """See :class:`holdfast.engine.values.ValueStore`."""

        def run() -> Change:
            self._match(key, revision)
            self.revision += 1
            self._execute(
                "INSERT INTO kv VALUES (?, ?, ?) "
                "ON CONFLICT (key) DO UPDATE SET value = excluded.value, revision = excluded.revision",
                (key, value, self.revision),
            )
            return Change(Item(key, value, self.revision))

        return run

    def removing(self, key: str, revision: int | None) -> Callable[[], Change | None]:
        """See :class:`holdfast.engine.values.ValueStore`."""

        def run() -> Change | None:
            if not self._match(key, revision):
                return None
            self.revision += 1
            self._execute("DELETE FROM kv WHERE key = ?", (key,))
            return Change(Item(key, b"", self.revision), deleted=True)

        return run

    def _match(self, key: str, revision: int | None) -> int:
        found = self._execute("SELECT revision FROM kv WHERE key = ?", (key,)).fetchone()
        actual = 0 if found is None else int(found[0])
        if revision is not None and revision != actual:
            raise Conflict(f"key {key!r}: expected revision {revision}, found {actual}", revision, actual)
        return actual

    def flush(self) -> None:
        """Note the revision, at the end of a transaction."""
        if self.revision != self._stored:
            self._execute("UPDATE counter SET value = ? WHERE name = 'revision'", (self.revision,))

    def committed(self) -> None:
        """The transaction was."""
        self._stored = self.revision

    def rolled_back(self) -> None:
        """It was not."""
        self.revision = self._stored


def read_revision(connection: sqlite3.Connection) -> int:
    """The revision of the newest change."""
    (revision,) = connection.execute("SELECT value FROM counter WHERE name = 'revision'").fetchone()
    return int(revision)


def read_item(connection: sqlite3.Connection, key: str) -> Item | None:
    """The item of ``key``."""
    found = connection.execute("SELECT key, value, revision FROM kv WHERE key = ?", (key,)).fetchone()
    return None if found is None else Item(*found)


def read_snapshot(connection: sqlite3.Connection, prefix: str) -> tuple[int, list[Item]]:
    """The revision, and at this revision all items under ``prefix``, by key."""
    items: list[Item] = []
    connection.execute("BEGIN")
    try:
        revision = read_revision(connection)
        for values in connection.execute("SELECT key, value, revision FROM kv WHERE key >= ? ORDER BY key", (prefix,)):
            if not values[0].startswith(prefix):
                break
            items.append(Item(*values))
    finally:
        connection.execute("ROLLBACK")
    return revision, items
