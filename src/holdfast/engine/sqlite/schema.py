"""The tables, their version, and the way forward from older ones."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from ...errors import StorageError

APPLICATION_ID = 0x484F4C44  # "HOLD", for file(1) and for refusing somebody else's database
PAGE_BYTES = 16_384
"""Measured: 1.3 x the throughput of 4 KiB for output chunks, and no slower for single appends."""

MIGRATIONS: Sequence[str] = (
    """
    CREATE TABLE log (
        id INTEGER PRIMARY KEY AUTOINCREMENT,  -- never used again: rows of a deleted log go later than its name
        name TEXT UNIQUE,                      -- NULL: deleted, its rows are being removed
        mode INTEGER NOT NULL,                 -- 0 bytes, 1 entries
        oldest INTEGER NOT NULL,
        closed INTEGER NOT NULL DEFAULT 0,
        dead_bytes INTEGER NOT NULL DEFAULT 0, -- payload below oldest that is still in rows
        hole_bytes INTEGER NOT NULL DEFAULT 0  -- holes whose rows are gone
    );
    CREATE TABLE run (
        id INTEGER PRIMARY KEY,
        log INTEGER NOT NULL,
        position INTEGER NOT NULL,
        length INTEGER NOT NULL,               -- in positions
        size INTEGER NOT NULL,                 -- payload bytes
        form INTEGER NOT NULL,                 -- see packing.py
        crc INTEGER NOT NULL,
        data BLOB
    );
    CREATE UNIQUE INDEX run_place ON run (log, position, length, size, form);
    CREATE TABLE kv (key TEXT PRIMARY KEY, value BLOB NOT NULL, revision INTEGER NOT NULL);
    CREATE TABLE counter (name TEXT PRIMARY KEY, value INTEGER NOT NULL);
    INSERT INTO counter VALUES ('revision', 0), ('probe', 0);
    """,
    """
    ALTER TABLE log ADD COLUMN meta BLOB NOT NULL DEFAULT x'';
    ALTER TABLE log ADD COLUMN base INTEGER NOT NULL DEFAULT 0;         -- its own rows begin here or above
    ALTER TABLE log ADD COLUMN shared_bytes INTEGER NOT NULL DEFAULT 0; -- payload kept below base, in rows of others
    CREATE TABLE producer (
        log INTEGER NOT NULL,
        id TEXT NOT NULL,
        epoch INTEGER NOT NULL,
        sequence INTEGER NOT NULL,
        PRIMARY KEY (log, id)
    ) WITHOUT ROWID;
    CREATE TABLE share (                       -- positions low to high of a log are in rows of another, the owner
        log INTEGER NOT NULL,
        owner INTEGER NOT NULL,                -- may be deleted; its rows stay while a log has a share in them
        low INTEGER NOT NULL,
        high INTEGER NOT NULL,
        PRIMARY KEY (log, low)
    ) WITHOUT ROWID;
    CREATE INDEX share_owner ON share (owner);
    """,
    """
    CREATE TABLE blob (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        place INTEGER,                         -- the first 8 bytes of the digest; NULL: its parts are still coming
        digest BLOB NOT NULL,
        size INTEGER NOT NULL,
        meta BLOB NOT NULL,
        data BLOB                              -- NULL: in parts
    );
    CREATE INDEX blob_place ON blob (place);
    CREATE TABLE blob_part (
        id INTEGER PRIMARY KEY,
        blob INTEGER NOT NULL,
        part INTEGER NOT NULL,
        crc INTEGER NOT NULL,
        data BLOB NOT NULL
    );
    CREATE UNIQUE INDEX blob_part_place ON blob_part (blob, part);
    """,
)
"""Step N leads from version N to N + 1.  A released step is never changed."""


def migrate(connection: sqlite3.Connection, where: str, steps: Sequence[str] = MIGRATIONS) -> None:
    """Bring the database to the newest version, all steps or none.

    StorageError if it is newer than this program, or somebody else's.
    """
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if application != APPLICATION_ID and (version or tables):
        raise StorageError(f"{where}: is an SQLite database, but not one of Holdfast")
    if version > len(steps):
        raise StorageError(
            f"{where}: has schema version {version}, this program knows up to {len(steps)}; it was written by a "
            "newer release, use that one"
        )
    if version == len(steps):
        return
    script = "".join(steps[version:])
    connection.executescript(
        f"BEGIN IMMEDIATE; {script} PRAGMA user_version = {len(steps)}; "
        f"PRAGMA application_id = {APPLICATION_ID}; COMMIT;"
    )
