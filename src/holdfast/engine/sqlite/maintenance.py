"""Work that can wait until nobody waits: checkpoints, merging tiny rows, removing trimmed ones, shrinking the file.

Each call of :meth:`Maintenance.step` does one bounded piece of it.  None of it changes what a reader sees, so
none of it needs an fsync of its own: after a power cut it is simply due again.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterable
from zlib import crc32

from ...limits import KIB, MIB, Limits
from .. import packing
from ..base import LogMode
from ..packing import HOLE, Row
from .database import Database
from .rows import Rows
from .schema import PAGE_BYTES

_RECLAIM_ROWS = 256
_VACUUM_PAGES = 64
_ASIDE_MAX = 4
"""Checkpoints' worth of write-ahead log after which the writer itself makes it start over."""
Aside = Callable[[Callable[[sqlite3.Connection], None]], None]
"""Has a function run on the reader's connection, some time soon."""
_ROW_OVERHEAD_BYTES = 2 * PAGE_BYTES
"""Write-ahead log a row costs beyond its payload: about a page of the table and one of its index."""
_ROWS_MIN = 2
_ROWS_DUE_MAX = 8
"""Merges' worth of rows after which merging no longer waits for quiet."""
_PREFILL_BYTES = 2 * MIB
_PREFILL_FROM_BYTES = 256 * KIB
"""Write-ahead log after which it is worth while: an engine that is hardly used stays small, and commits larger than
this hardly feel the difference."""


class _Tail:
    """Tiny rows of a log that adjoin, from ``position`` to ``end``."""

    __slots__ = ("end", "log_id", "mode", "position", "rows", "size")

    def __init__(self, log_id: int, mode: LogMode, position: int) -> None:
        self.log_id = log_id
        self.mode = mode
        self.position = self.end = position
        self.rows = 0
        self.size = 0

    def add(self, row: Row) -> None:
        """Take the next row in."""
        self.end = row.position + row.length
        self.rows += 1
        self.size += row.size


class Maintenance:
    """What is due on one database, found out as commits go by."""

    def __init__(self, database: Database, rows: Rows, limits: Limits, aside: Aside) -> None:
        self._database = database
        self._connection = database.connection
        self._rows = rows
        self._limits = limits
        self._aside = aside
        self._wal_bytes = limits.wal_bytes  # since the last checkpoint; what an earlier run left is due at once
        self._wal_total = limits.wal_bytes * _ASIDE_MAX  # since the log last started over
        self._checkpointing = False
        self._failure: sqlite3.Error | None = None
        self._wal_file_bytes = 0
        self._step_bytes = 0
        self._tails: dict[int, _Tail] = {}
        self._merges: dict[_Tail, None] = {}
        self._reclaims: dict[int, None] = dict.fromkeys(rows.unreclaimed())
        self._rows_due = 0
        self._vacuum = True

    def inserted(self, log_id: int, mode: LogMode, rows: Iterable[Row]) -> None:
        """Note rows that were committed."""
        for row in rows:
            self._grow(row.size + _ROW_OVERHEAD_BYTES)
            tail = self._tails.get(log_id)
            if row.form == HOLE or row.size >= self._limits.merge_bytes:
                if tail is not None:
                    self._end_tail(tail)
                continue
            if tail is None:
                tail = self._tails[log_id] = _Tail(log_id, mode, row.position)
            tail.add(row)
            if tail in self._merges:
                self._rows_due += 1
            elif tail.rows >= self._limits.merge_rows:
                self._make_due(tail)
            if tail.size >= self._limits.row_bytes:
                self._end_tail(tail)

    def _end_tail(self, tail: _Tail) -> None:
        """Nothing more will adjoin these rows, or they are enough for one."""
        del self._tails[tail.log_id]
        if tail.rows >= _ROWS_MIN and tail not in self._merges:
            self._make_due(tail)

    def _make_due(self, tail: _Tail) -> None:
        self._merges[tail] = None
        self._rows_due += tail.rows

    def changed(self) -> None:
        """Note a commit of something else."""
        self._grow(_ROW_OVERHEAD_BYTES)

    def grew(self, wal_bytes: int) -> None:
        """Note a commit of so many bytes of something else."""
        self._grow(wal_bytes)
        self._vacuum = True

    def trimmed(self, log_id: int) -> None:
        """Note a log with rows to remove."""
        self._reclaims[log_id] = None

    def deleted(self, log_id: int) -> None:
        """Note a log that is gone."""
        self._tails.pop(log_id, None)
        self._reclaims[log_id] = None

    def step(self, *, quiet: bool) -> bool:
        """Do the most pressing piece of work; whether there was any.  ``quiet``: nobody waits for a commit."""
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure
        small, self._step_bytes = self._step_bytes < _PREFILL_FROM_BYTES, 0
        if self._checkpoint(quiet=quiet) or (small and self._prefill()):
            return True
        if self._merges and (quiet or self._rows_due >= _ROWS_DUE_MAX * self._limits.merge_rows):
            self._merge(next(iter(self._merges)))
        elif self._reclaims:
            self._reclaim(next(iter(self._reclaims)))
        else:
            return quiet and self._vacuum and self._shrink()
        return True

    def make_room(self) -> bool:
        """Remove all trimmed rows now, as the disk is full; whether there were any."""
        found = bool(self._reclaims)
        while self._reclaims:
            self._reclaim(next(iter(self._reclaims)))
        return found

    def _grow(self, wal_bytes: int) -> None:
        self._step_bytes += wal_bytes
        self._wal_bytes += wal_bytes
        self._wal_total += wal_bytes

    def _checkpoint(self, *, quiet: bool) -> bool:
        """Move the write-ahead log into the main file, if it is time; whether it was.

        The bulk of it is done on the reader's thread while commits go on, which makes them 1.3 x as many; what
        they add meanwhile keeps the log from starting over, so now and then the rest is done here, between two.
        """
        limit = self._limits.wal_bytes
        if self._wal_total >= limit * (1 if quiet and not self._checkpointing else _ASIDE_MAX):
            self._wal_bytes = self._wal_total = 0
            self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
            if os.path.getsize(self._database.wal_path) > 8 * _ASIDE_MAX * limit:  # readers kept it from starting over
                self._connection.execute("PRAGMA wal_checkpoint(RESTART)").fetchall()
            return True
        if self._wal_bytes >= limit and not self._checkpointing:
            self._wal_bytes = 0
            self._checkpointing = True
            self._aside(self._checkpoint_aside)
        return False

    def _prefill(self) -> bool:
        """Make the write-ahead log's file longer before it needs to be; whether it was time.

        Commits then overwrite blocks the file has, instead of adding some: fsync takes 0.6 of the time.  SQLite takes
        the zeros for what they are, the end of the log.
        """
        used = self._wal_total % (_ASIDE_MAX * self._limits.wal_bytes)
        cap = _ASIDE_MAX * self._limits.wal_bytes
        if used < _PREFILL_FROM_BYTES or not used + MIB > self._wal_file_bytes < cap:
            return False
        try:
            fd = os.open(self._database.wal_path, os.O_WRONLY)
            try:
                end = os.fstat(fd).st_size
                os.pwrite(fd, bytes(_PREFILL_BYTES), end)
                os.fdatasync(fd)
            finally:
                os.close(fd)
        except OSError:  # no room to spare: commits will find out whether there is any
            self._wal_file_bytes = cap
            return False
        self._wal_file_bytes = end + _PREFILL_BYTES
        return True

    def _checkpoint_aside(self, connection: sqlite3.Connection) -> None:
        try:
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        except sqlite3.Error as error:
            self._failure = error
        finally:
            self._checkpointing = False

    def _merge(self, tail: _Tail) -> None:
        del self._merges[tail]
        self._rows_due -= tail.rows
        live = self._tails.get(tail.log_id) is tail
        if live:
            del self._tails[tail.log_id]
        found = self._rows.between(tail.log_id, tail.position, tail.end)
        rows = [row for row, _ in found]
        if len(rows) < _ROWS_MIN or any(crc32(row.data or b"") != crc for row, crc in found):
            return  # trimmed meanwhile; or damaged, and reading them is what reports it
        merged = packing.merge(tail.mode, rows)
        self._database.transaction(lambda: self._rows.replace(tail.log_id, rows, merged), durable=False)
        if live:
            self.inserted(tail.log_id, tail.mode, [merged])

    def _reclaim(self, log_id: int) -> None:
        done = self._database.transaction(
            lambda: self._rows.reclaim(log_id, _RECLAIM_ROWS, self._limits.commit_bytes_max), durable=False
        )
        self._grow(4 * _ROW_OVERHEAD_BYTES)
        if done.finished:
            del self._reclaims[log_id]
            self._vacuum = True

    def _shrink(self) -> bool:
        """Give free pages at the end of the file back, when there are many."""
        (free,) = self._connection.execute("PRAGMA freelist_count").fetchone()
        (pages,) = self._connection.execute("PRAGMA page_count").fetchone()
        if free * PAGE_BYTES <= 2 * self._limits.wal_bytes or free * 4 <= pages:
            self._vacuum = False
            return False
        self._connection.execute(f"PRAGMA incremental_vacuum({_VACUUM_PAGES})").fetchall()
        self._grow(_VACUUM_PAGES * PAGE_BYTES)
        return True
