from __future__ import annotations

import sqlite3
from collections.abc import Iterator

import pytest

from holdfast.engine.sqlite.schema import APPLICATION_ID, MIGRATIONS, migrate
from holdfast.errors import StorageError


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    made = sqlite3.connect(":memory:", isolation_level=None)
    yield made
    made.close()


def version(connection: sqlite3.Connection) -> int:
    (number,) = connection.execute("PRAGMA user_version").fetchone()
    return int(number)


def test_from_nothing_and_again(connection: sqlite3.Connection) -> None:
    for _ in range(2):
        migrate(connection, "here")
        assert version(connection) == len(MIGRATIONS)
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    assert application == APPLICATION_ID


def test_step_by_step_or_all_at_once(connection: sqlite3.Connection) -> None:
    steps = [*MIGRATIONS, "ALTER TABLE kv ADD COLUMN note TEXT;", "UPDATE kv SET note = key || '!';"]
    migrate(connection, "here")
    connection.execute("INSERT INTO kv VALUES ('k', x'00', 1)")
    migrate(connection, "here", steps)
    assert version(connection) == len(steps)
    assert connection.execute("SELECT note FROM kv").fetchall() == [("k!",)]


def test_a_failing_step_changes_nothing(connection: sqlite3.Connection) -> None:
    migrate(connection, "here")
    with pytest.raises(sqlite3.Error):
        migrate(connection, "here", [*MIGRATIONS, "ALTER TABLE kv ADD COLUMN note TEXT;", "SELECT nonsense;"])
    if connection.in_transaction:
        connection.execute("ROLLBACK")
    assert version(connection) == len(MIGRATIONS)
    assert [name for _, name, *_ in connection.execute("PRAGMA table_info(kv)")] == ["key", "value", "revision"]


def test_a_newer_one_is_refused(connection: sqlite3.Connection) -> None:
    newest = len(MIGRATIONS)
    migrate(connection, "here", [*MIGRATIONS, ""])
    with pytest.raises(StorageError, match=rf"has schema version {newest + 1}, this program knows up to {newest};"):
        migrate(connection, "here")


def test_somebody_elses_is_refused(connection: sqlite3.Connection) -> None:
    connection.execute("CREATE TABLE theirs (x)")
    with pytest.raises(StorageError, match="not one of Holdfast"):
        migrate(connection, "here")
    assert connection.execute("SELECT name FROM sqlite_schema").fetchall() == [("theirs",)]
