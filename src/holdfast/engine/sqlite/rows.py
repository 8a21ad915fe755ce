"""The SQL of logs and their rows, on the writer's connection, inside its transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from itertools import groupby
from operator import itemgetter
from typing import NamedTuple
from zlib import crc32

from ..base import LogMode, Producer
from ..producers import Producers
from ..state import LogState, Rider
from .blobs import payload_ending_above
from .packing import HOLE, SEVERAL, Row, payload_below

MODES: tuple[LogMode, ...] = ("bytes", "entries", "runs")


class Reclaimed(NamedTuple):
    """What one step of :meth:`Rows.reclaim` did."""

    size: int
    finished: bool


class Rows:
    """Logs and rows in the tables ``log`` and ``run``."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._execute = connection.execute

    def load(self) -> list[LogState]:
        """All logs, from their table and one scan of the index of rows."""
        sums = {
            log: (end, size, holes)
            for log, end, size, holes in self._execute(
                "SELECT log, max(position + length), sum(size), sum(iif(form = -1, length, 0)) FROM run GROUP BY log"
            )
        }
        states = []
        for log_id, name, mode, oldest, closed, dead, holes, meta in self._execute(
            "SELECT id, name, mode, oldest, closed, dead_bytes, hole_bytes, meta FROM log WHERE name IS NOT NULL"
        ):
            end, size, more_holes = sums.get(log_id, (oldest, 0, 0))
            tail = max(end, oldest)
            state = LogState(log_id, name, MODES[mode], oldest=oldest, tail=tail, meta=meta, closed=bool(closed))
            state.stored_bytes = size - dead
            state.hole_bytes = holes + more_holes
            states.append(state)
        self._load_producers({state.id: state for state in states})
        return states

    def _load_producers(self, states: dict[int, LogState]) -> None:
        found = self._execute("SELECT log, id, epoch, sequence FROM producer ORDER BY log")
        for log_id, rows in groupby(found, key=itemgetter(0)):
            if log_id in states:
                states[log_id].producers = Producers(Producer(*values) for _, *values in rows)

    def unreclaimed(self) -> list[int]:
        """Logs with rows that may be removed."""
        return [log for (log,) in self._execute("SELECT id FROM log WHERE name IS NULL OR dead_bytes > 0")]

    def insert(self, log_id: int, rows: Iterable[Row]) -> None:
        """Add rows of a log."""
        self._connection.executemany(
            "INSERT INTO run (log, position, length, size, form, crc, data) VALUES (?, ?, ?, ?, ?, ?, ?)",
            [(log_id, *row[:4], 0 if row.data is None else crc32(row.data), row.data) for row in rows],
        )

    def create(self, name: str, mode: LogMode, meta: bytes) -> int:
        """Add a log; gives its id."""
        first = 0 if mode == "bytes" else 1
        done = self._execute(
            "INSERT INTO log (name, mode, oldest, base, meta) VALUES (?, ?, ?, ?, ?)",
            (name, MODES.index(mode), first, first, meta),
        )
        assert done.lastrowid is not None
        return done.lastrowid

    def note(self, log_id: int, riders: Sequence[Rider]) -> None:
        """What came with some appends: a new meta, the producers' sequences, the end."""
        for meta in [rider.meta for rider in riders if rider.meta is not None][-1:]:
            self._execute("UPDATE log SET meta = ? WHERE id = ?", (meta, log_id))
        if any(rider.close for rider in riders):
            self._execute("UPDATE log SET closed = 1 WHERE id = ?", (log_id,))
        producers = {rider.producer.id: rider.producer for rider in riders if rider.producer is not None}
        self._connection.executemany(
            "INSERT INTO producer VALUES (?, ?, ?, ?) "
            "ON CONFLICT (log, id) DO UPDATE SET epoch = excluded.epoch, sequence = excluded.sequence",
            [(log_id, *producer) for producer in producers.values()],
        )
        if any(rider.refusal is not None for rider in riders):
            self.touch()

    def touch(self) -> int:
        """Change something, so that the commit has something to fsync, and with it all that was not yet."""
        return self._execute("UPDATE counter SET value = value + 1 WHERE name = 'probe'").rowcount

    def delete(self, log_id: int) -> None:
        """Take the log's name away; :meth:`reclaim` removes its rows."""
        self._execute("UPDATE log SET name = NULL WHERE id = ?", (log_id,))

    def trim(self, log_id: int, mode: LogMode, position: int) -> int:
        """Move the oldest position up; gives the payload below it.  :meth:`reclaim` removes the rows."""
        oldest, dead = self._execute("SELECT oldest, dead_bytes FROM log WHERE id = ?", (log_id,)).fetchone()
        if position <= oldest:
            return 0
        (below,) = self._execute(
            "SELECT coalesce(sum(size), 0) FROM run WHERE log = ? AND position < ?", (log_id, position)
        ).fetchone()
        below -= self._above(log_id, mode, position)
        self._execute("UPDATE log SET oldest = ?, dead_bytes = ? WHERE id = ?", (position, below, log_id))
        return int(below) - int(dead)

    def _above(self, log_id: int, mode: LogMode, position: int) -> int:
        """Payload at and above ``position`` in the row that holds both sides of it; 0 if none does."""
        found = self._execute(
            "SELECT id, position, length, size, form FROM run WHERE log = ? AND position < ? "
            "ORDER BY position DESC LIMIT 1",
            (log_id, position),
        ).fetchone()
        if found is None:
            return 0
        row_id, start, length, size, form = found
        if start + length <= position or form == HOLE:
            return 0
        if mode == "bytes":
            return int(start + length - position)
        if mode == "runs" and form != SEVERAL:
            return int(size)  # a blob is kept until all of it is trimmed
        with self._connection.blobopen("run", "data", row_id, readonly=True) as blob:
            count = position - start
            if mode == "runs":
                return payload_ending_above(blob.read, count)
            return int(size) - payload_below(blob.read(4 + 4 * count), count)

    def reclaim(self, log_id: int, rows_max: int, bytes_max: int) -> Reclaimed:
        """Remove some rows that lie below the oldest position, or any if the log is deleted."""
        found = self._execute("SELECT name, oldest FROM log WHERE id = ?", (log_id,)).fetchone()
        if found is None:
            return Reclaimed(0, finished=True)
        name, oldest = found
        size = holes = count = 0
        last = -1
        for position, length, row_size, form in self._execute(
            "SELECT position, length, size, form FROM run "
            "WHERE log = ?1 AND (?2 OR (position < ?3 AND position + length <= ?3)) ORDER BY position LIMIT ?4",
            (log_id, name is None, oldest, rows_max),
        ):
            last = position
            size += row_size
            count += 1
            holes += length if form == HOLE else 0
            if size >= bytes_max:
                break
        finished = count < rows_max and size < bytes_max
        self._execute("DELETE FROM run WHERE log = ? AND position <= ?", (log_id, last))
        if finished and name is None:
            self._execute("DELETE FROM producer WHERE log = ?", (log_id,))
            self._execute("DELETE FROM log WHERE id = ?", (log_id,))
        else:
            self._execute(
                "UPDATE log SET dead_bytes = dead_bytes - ?, hole_bytes = hole_bytes + ? WHERE id = ?",
                (size, holes, log_id),
            )
        return Reclaimed(size, finished)

    def between(self, log_id: int, position: int, end: int) -> list[tuple[Row, int]]:
        """All rows that begin from ``position`` to before ``end``, each with its checksum."""
        found = self._execute(
            "SELECT position, length, size, form, data, crc FROM run "
            "WHERE log = ? AND position >= ? AND position < ? ORDER BY position",
            (log_id, position, end),
        )
        return [(Row(*values), crc) for *values, crc in found]

    def replace(self, log_id: int, rows: Sequence[Row], by: Row) -> None:
        """Put one row in the place of adjoining ones."""
        self._execute(
            "DELETE FROM run WHERE log = ? AND position BETWEEN ? AND ?",
            (log_id, rows[0].position, rows[-1].position),
        )
        self.insert(log_id, [by])
