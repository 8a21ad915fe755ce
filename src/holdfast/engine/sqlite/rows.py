"""The SQL of logs and their rows, on the writer's connection, inside its transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from itertools import groupby
from operator import itemgetter
from typing import NamedTuple
from zlib import crc32

from ...errors import Gone, UsageError
from ..base import LogMode, Producer
from ..checks import first_position
from ..joining import is_between, payload_ending_above
from ..packing import HOLE, SEVERAL, Row, payload_below
from ..producers import Producers
from ..state import LogState, Rider, Share
from .shares import Shares

MODES: tuple[LogMode, ...] = ("bytes", "entries", "runs")


class Reclaimed(NamedTuple):
    """What one step of :meth:`Rows.reclaim` did."""

    size: int
    finished: bool


class _Place(NamedTuple):
    """A row without its data."""

    id: int
    position: int
    length: int
    size: int
    form: int


class Rows:
    """Logs and rows in the tables ``log`` and ``run``."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._execute = connection.execute
        self._shares = Shares(connection)

    def load(self) -> list[LogState]:
        """All logs, from their table and one scan of the index of rows."""
        sums = {
            log: (end, size, holes)
            for log, end, size, holes in self._execute(
                "SELECT log, max(position + length), sum(size), sum(iif(form = -1, length, 0)) FROM run GROUP BY log"
            )
        }
        states = []
        shares = self._shares.load()
        for log_id, name, mode, oldest, base, closed, extra, holes, meta in self._execute(
            "SELECT id, name, mode, oldest, base, closed, shared_bytes - dead_bytes, hole_bytes, meta "
            "FROM log WHERE name IS NOT NULL"
        ):
            end, size, more_holes = sums.get(log_id, (oldest, 0, 0))
            tail = max(end, oldest, base)
            state = LogState(log_id, name, MODES[mode], oldest=oldest, tail=tail, meta=meta, closed=bool(closed))
            state.stored_bytes = size + extra
            state.hole_bytes = holes + more_holes
            state.shares = shares.get(log_id, ())
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
        first = first_position(mode)
        done = self._execute(
            "INSERT INTO log (name, mode, oldest, base, meta) VALUES (?, ?, ?, ?, ?)",
            (name, MODES.index(mode), first, first, meta),
        )
        assert done.lastrowid is not None
        return done.lastrowid

    def fork(self, source: int, name: str, mode: LogMode, position: int, meta: bytes) -> LogState:
        """Add a log that has a share in all that the log ``source`` holds below ``position``.

        Gone or UsageError if it cannot be made there.
        """
        oldest, base = self._execute("SELECT oldest, base FROM log WHERE id = ?", (source,)).fetchone()
        if position < oldest:
            raise Gone(oldest=oldest)
        shares = self._shares.of(source, oldest, position)
        if position > max(base, oldest):
            shares.append(Share(source, max(base, oldest), position))
        if mode == "runs" and shares and self._cuts_a_blob(shares[-1].owner, position):
            raise UsageError(f"position: {position} is inside a blob", field="position")
        size = sum(self._payload(share, mode) for share in shares)
        holes = sum(self._holes(share) for share in shares)
        done = self._execute(
            "INSERT INTO log (name, mode, oldest, base, meta, shared_bytes, hole_bytes) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (name, MODES.index(mode), oldest, position, meta, size, holes),
        )
        assert done.lastrowid is not None
        self._shares.add(done.lastrowid, shares)
        state = LogState(done.lastrowid, name, mode, oldest=oldest, tail=position, meta=meta)
        state.stored_bytes, state.hole_bytes, state.shares = size, holes, tuple(shares)
        return state

    def _cuts_a_blob(self, log_id: int, position: int) -> bool:
        row = self._last_below(log_id, position)
        if row is None or row.position + row.length <= position:
            return False
        if row.form != SEVERAL:
            return True
        with self._connection.blobopen("run", "data", row.id, readonly=True) as blob:
            return not is_between(blob.read, position - row.position)

    def _holes(self, share: Share) -> int:
        (length,) = self._execute(
            "SELECT coalesce(sum(min(position + length, ?3) - max(position, ?2)), 0) FROM run "
            "WHERE log = ?1 AND position < ?3 AND position + length > ?2 AND form = -1",
            share,
        ).fetchone()
        return int(length)

    def _payload(self, share: Share, mode: LogMode) -> int:
        """Payload of a share; a blob is there as long as its last entry is."""
        (size,) = self._execute(
            "SELECT coalesce(sum(size), 0) FROM run WHERE log = ?1 AND position < ?3 AND position + length > ?2", share
        ).fetchone()
        first = self._last_below(share.owner, share.low)
        if first is not None and first.position + first.length > share.low:
            size -= first.size - self._above(share.owner, mode, share.low)
        return int(size) - self._above(share.owner, mode, share.high)

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
        self._shares.drop(log_id)
        self._execute("UPDATE log SET name = NULL WHERE id = ?", (log_id,))

    def trim(self, log_id: int, mode: LogMode, position: int) -> int:
        """Move the oldest position up; gives the payload below it.  :meth:`reclaim` removes the rows."""
        oldest, dead, shared = self._execute(
            "SELECT oldest, dead_bytes, shared_bytes FROM log WHERE id = ?", (log_id,)
        ).fetchone()
        if position <= oldest:
            return 0
        given_up = sum(self._payload(share, mode) for share in self._shares.of(log_id, oldest, position))
        self._shares.trim(log_id, position)
        (below,) = self._execute(
            "SELECT coalesce(sum(size), 0) FROM run WHERE log = ? AND position < ?", (log_id, position)
        ).fetchone()
        below -= self._above(log_id, mode, position)
        self._execute(
            "UPDATE log SET oldest = ?, dead_bytes = ?, shared_bytes = ? WHERE id = ?",
            (position, below, shared - given_up, log_id),
        )
        return int(below) - int(dead) + given_up

    def _above(self, log_id: int, mode: LogMode, position: int) -> int:
        """Payload at and above ``position`` in the row that holds both sides of it; 0 if none does."""
        found = self._last_below(log_id, position)
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

    def _last_below(self, log_id: int, position: int) -> _Place | None:
        found = self._execute(
            "SELECT id, position, length, size, form FROM run WHERE log = ? AND position < ? "
            "ORDER BY position DESC LIMIT 1",
            (log_id, position),
        ).fetchone()
        return None if found is None else _Place(*found)

    def reclaim(self, log_id: int, rows_max: int, bytes_max: int) -> Reclaimed:
        """Remove some rows that lie below the oldest position, or any if the log is deleted, and that nobody shares."""
        found = self._execute("SELECT name, oldest FROM log WHERE id = ?", (log_id,)).fetchone()
        if found is None:
            return Reclaimed(0, finished=True)
        name, oldest = found
        size = holes = 0
        ids: list[tuple[int]] = []
        for row_id, length, row_size, form in self._execute(
            "SELECT id, length, size, form FROM run "
            "WHERE log = ?1 AND (?2 OR (position < ?3 AND position + length <= ?3)) "
            "AND NOT EXISTS (SELECT 1 FROM share WHERE owner = run.log AND run.position < share.high "
            "AND run.position + run.length > share.low) ORDER BY position LIMIT ?4",
            (log_id, name is None, oldest, rows_max),
        ):
            ids.append((row_id,))
            size += row_size
            holes += length if form == HOLE else 0
            if size >= bytes_max:
                break
        finished = len(ids) < rows_max and size < bytes_max
        self._connection.executemany("DELETE FROM run WHERE id = ?", ids)
        if finished and name is None and not self._shares.any_in(log_id):
            self._execute("DELETE FROM producer WHERE log = ?", (log_id,))
            self._execute("DELETE FROM log WHERE id = ?", (log_id,))
        else:
            self._execute(
                "UPDATE log SET dead_bytes = dead_bytes - ?, hole_bytes = hole_bytes + ? WHERE id = ?",
                (size, holes, log_id),
            )
        return Reclaimed(size, finished)

    def between(self, log_id: int, position: int, end: int) -> list[tuple[Row, int]]:
        """The rows that begin from ``position`` to before ``end``, those after the last gap, each with its checksum."""
        found = self._execute(
            "SELECT position, length, size, form, data, crc FROM run "
            "WHERE log = ? AND position >= ? AND position < ? ORDER BY position",
            (log_id, position, end),
        )
        rows: list[tuple[Row, int]] = []
        for *values, crc in found:
            row = Row(*values)
            if rows and rows[-1][0].position + rows[-1][0].length != row.position:
                rows.clear()  # what lay between is trimmed, and what lies before only kept for a fork
            rows.append((row, crc))
        return rows

    def replace(self, log_id: int, rows: Sequence[Row], by: Row) -> None:
        """Put one row in the place of adjoining ones."""
        self._execute(
            "DELETE FROM run WHERE log = ? AND position BETWEEN ? AND ?",
            (log_id, rows[0].position, rows[-1].position),
        )
        self.insert(log_id, [by])
