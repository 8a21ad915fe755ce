from __future__ import annotations

import sqlite3
from collections.abc import Iterator

import pytest

from holdfast.engine.base import LogMode
from holdfast.engine.extents import Extent
from holdfast.engine.packing import pack
from holdfast.engine.sqlite.rows import Rows
from holdfast.engine.sqlite.schema import migrate
from holdfast.engine.sqlite.shares import Shares
from holdfast.engine.state import LogState, Share


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    made = sqlite3.connect(":memory:", isolation_level=None)
    migrate(made, "here")
    yield made
    made.close()


def fill(rows: Rows, log_id: int, low: int, high: int) -> None:
    """One row for each ten bytes."""
    for place in range(low, high, 10):
        extent = Extent(place, place + 10, 10, 0, bytes(range(place, place + 10)))
        rows.insert(log_id, pack("bytes", [extent], 100))


def places(connection: sqlite3.Connection, log_id: int) -> list[int]:
    found = connection.execute("SELECT position FROM run WHERE log = ? ORDER BY position", (log_id,))
    return [position for (position,) in found]


def reclaim(rows: Rows, log_id: int) -> int:
    """All that can be; gives how many bytes."""
    size = 0
    while True:
        done = rows.reclaim(log_id, 3, 1_000)
        size += done.size
        if done.finished:
            return size


def source(rows: Rows, mode: LogMode = "bytes") -> int:
    log_id = rows.create("source", mode, b"")
    fill(rows, log_id, 0, 100)
    return log_id


def state_of(rows: Rows, name: str) -> LogState:
    (found,) = (state for state in rows.load() if state.name == name)
    return found


def test_shares_are_cut_and_given_up(connection: sqlite3.Connection) -> None:
    shares = Shares(connection)
    shares.add(9, [Share(1, 0, 50), Share(2, 50, 80)])
    shares.add(8, [Share(1, 0, 5)])
    assert shares.load() == {9: (Share(1, 0, 50), Share(2, 50, 80)), 8: (Share(1, 0, 5),)}
    assert shares.of(9, 20, 60) == [Share(1, 20, 50), Share(2, 50, 60)]
    assert shares.of(9, 50, 50) == shares.of(9, 80, 90) == []
    shares.trim(9, 60)
    assert shares.load()[9] == (Share(2, 60, 80),)
    shares.drop(8)
    assert [shares.any_in(owner) for owner in (1, 2)] == [False, True]


def test_rows_stay_while_somebody_shares_them(connection: sqlite3.Connection) -> None:
    rows = Rows(connection)
    log_id = source(rows)
    fork = rows.fork(log_id, "fork", "bytes", 45, b"")
    assert (fork.oldest, fork.tail, fork.stored_bytes, fork.shares) == (0, 45, 45, (Share(log_id, 0, 45),))
    assert rows.trim(log_id, "bytes", 80) == 80
    assert reclaim(rows, log_id) == 30
    assert places(connection, log_id) == [0, 10, 20, 30, 40, 80, 90]
    assert rows.trim(fork.id, "bytes", 25) == 25
    assert reclaim(rows, log_id) == 20
    assert places(connection, log_id) == [20, 30, 40, 80, 90]
    rows.delete(log_id)
    assert reclaim(rows, log_id) == 20
    assert rows.unreclaimed() == [log_id]
    rows.delete(fork.id)
    assert reclaim(rows, fork.id) == 0
    assert reclaim(rows, log_id) == 30
    assert connection.execute("SELECT (SELECT count(*) FROM log), (SELECT count(*) FROM run)").fetchone() == (0, 0)


def test_a_fork_of_a_fork_names_who_has_the_rows(connection: sqlite3.Connection) -> None:
    rows = Rows(connection)
    log_id = source(rows)
    first = rows.fork(log_id, "first", "bytes", 50, b"")
    fill(rows, first.id, 50, 90)
    second = rows.fork(first.id, "second", "bytes", 75, b"")
    assert second.shares == (Share(log_id, 0, 50), Share(first.id, 50, 75))
    early = rows.fork(first.id, "early", "bytes", 30, b"")
    assert early.shares == (Share(log_id, 0, 30),)
    rows.delete(first.id)
    assert reclaim(rows, first.id) == 10
    assert rows.trim(second.id, "bytes", 55) == 55
    loaded = state_of(rows, "second")
    assert (loaded.oldest, loaded.tail, loaded.stored_bytes) == (55, 75, 20)
    assert loaded.shares == (Share(first.id, 55, 75),)


def test_figures_are_the_same_when_loaded_again(connection: sqlite3.Connection) -> None:
    rows = Rows(connection)
    log_id = source(rows)
    rows.insert(log_id, pack("bytes", [Extent(100, 130, 0, 0, None)], 100))
    rows.trim(log_id, "bytes", 7)
    made = rows.fork(log_id, "fork", "bytes", 115, b"m")
    assert (made.stored_bytes, made.hole_bytes) == (93, 15)
    loaded = state_of(rows, "fork")
    for state in (made, loaded):
        assert state.stat()._replace(meta=b"") == loaded.stat()._replace(meta=b"")
    assert rows.trim(made.id, "bytes", 13) == 6
    fill(rows, made.id, 115, 125)
    assert rows.trim(made.id, "bytes", 120) == 92
    assert state_of(rows, "fork").stored_bytes == 5
    assert state_of(rows, "source").stored_bytes == 93


def test_merging_does_not_reach_over_a_gap(connection: sqlite3.Connection) -> None:
    """Rows kept for a fork only lie apart from those of the log itself."""
    rows = Rows(connection)
    log_id = source(rows)
    rows.fork(log_id, "fork", "bytes", 20, b"")
    rows.trim(log_id, "bytes", 70)
    reclaim(rows, log_id)
    assert places(connection, log_id) == [0, 10, 70, 80, 90]
    assert [row.position for row, _ in rows.between(log_id, 0, 100)] == [70, 80, 90]
