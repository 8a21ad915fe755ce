"""A disk under SQLite that remembers every write and fsync, and fails when told to.

It is registered as a VFS in the very SQLite library that the ``sqlite3`` module uses, so what is tested is the engine
as it is.  From what it remembers it makes the files as a power cut would have left them at any moment: what was fsynced
is there; of what was written since, any part may be.
"""

from __future__ import annotations

import _sqlite3
import ctypes
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random
from typing import Any, NamedTuple

SECTOR_BYTES = 512
_INT, _PTR, _I64 = ctypes.c_int, ctypes.c_void_p, ctypes.c_int64
_OPEN = ctypes.CFUNCTYPE(_INT, _PTR, _PTR, _PTR, _INT, _PTR)
_CLOSE = ctypes.CFUNCTYPE(_INT, _PTR)
_WRITE = ctypes.CFUNCTYPE(_INT, _PTR, _PTR, _INT, _I64)
_TRUNCATE = ctypes.CFUNCTYPE(_INT, _PTR, _I64)
_SYNC = ctypes.CFUNCTYPE(_INT, _PTR, _INT)
_DELETE = ctypes.CFUNCTYPE(_INT, _PTR, ctypes.c_char_p, _INT)
_VFS_POINTERS = ("next", "name", "data", "open", "delete")
_VFS_REST = 14
_METHODS = ("close", "read", "write", "truncate", "sync")
_METHODS_REST = 13


class _Vfs(ctypes.Structure):
    """The head of ``sqlite3_vfs``; what follows is copied as it is."""

    _fields_ = [
        ("version", _INT),
        ("file_bytes", _INT),
        ("path_bytes", _INT),
        *((name, _PTR) for name in _VFS_POINTERS),
        ("rest", _PTR * _VFS_REST),
    ]


class _Methods(ctypes.Structure):
    """The head of ``sqlite3_io_methods``."""

    _fields_ = [("version", _INT), *((name, _PTR) for name in _METHODS), ("rest", _PTR * _METHODS_REST)]


class Event(NamedTuple):
    """Something that happened to a file, or a ``mark`` set by the test."""

    kind: str
    """``write``, ``truncate``, ``delete``, ``sync`` or ``mark``."""
    file: str
    offset: int = 0
    data: bytes = b""
    mark: Any = None


class FaultyDisk:
    """The memory of all writes, and the faults to come."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.sync_error = 0
        """What every fsync gives from now on, such as sqlite3.SQLITE_IOERR_FSYNC."""
        self.write_error = 0
        """What every write to the write-ahead log gives from now on, such as sqlite3.SQLITE_FULL."""
        self._names: dict[int, str] = {}
        self._keep: list[Any] = []  # callbacks live as long as the disk
        self._tables: dict[int, _Methods] = {}

    def mark(self, value: Any) -> None:
        """Remember that this was known at this moment."""
        self.events.append(Event("mark", "", mark=value))

    # -- images ---------------------------------------------------------------------------------------------------

    def image(self, moment: int, directory: str, random: Random) -> None:
        """Write the files as a power cut after ``moment`` events may have left them into ``directory``.

        ``random`` decides what of the writes after the last fsync is there: all, nothing, or some sectors.
        """
        synced: dict[str, bytearray] = {}
        loose: dict[str, list[Event]] = {}
        for event in self.events[:moment]:
            if event.kind == "sync":
                for earlier in loose.pop(event.file, ()):
                    _apply(synced.setdefault(event.file, bytearray()), earlier)
            elif event.kind == "delete":  # SQLite fsyncs the directory where it matters
                synced.pop(event.file, None)
                loose.pop(event.file, None)
            elif event.kind != "mark":
                loose.setdefault(event.file, []).append(event)
        for name, events in loose.items():
            content = synced.setdefault(name, bytearray())
            share = random.choice([0.0, 0.5, 1.0])
            for event in events:
                for part in _sectors(event):
                    if random.random() < share:
                        _apply(content, part)
        os.makedirs(directory)
        for name, content in synced.items():
            with open(os.path.join(directory, name), "wb") as file:
                file.write(content)

    def marks(self, moment: int) -> list[Any]:
        """What was known after ``moment`` events."""
        return [event.mark for event in self.events[:moment] if event.kind == "mark"]

    # -- the VFS --------------------------------------------------------------------------------------------------

    def vfs(self, original: _Vfs, name: bytes) -> _Vfs:
        """A copy of ``original`` that tells us of every file it opens."""
        opening, deleting = ctypes.cast(original.open, _OPEN), ctypes.cast(original.delete, _DELETE)

        def open_(_vfs: int, path: int | None, file: int, flags: int, out: int | None) -> int:
            code = int(opening(ctypes.addressof(original), path, file, flags, out))
            if code == 0 and path:
                text = os.path.basename(ctypes.string_at(path).decode())
                self._names[file] = text
                self._patch(file)
            return code

        def delete(_vfs: int, path: bytes, sync: int) -> int:
            code = int(deleting(ctypes.addressof(original), path, sync))
            self.events.append(Event("delete", os.path.basename(path.decode())))
            return code

        copy = _Vfs.from_buffer_copy(original)
        callback, delete_callback = _OPEN(open_), _DELETE(delete)
        buffer = ctypes.create_string_buffer(name)
        self._keep += [callback, delete_callback, buffer, original]
        copy.name = ctypes.addressof(buffer)
        copy.next = None
        copy.open = ctypes.cast(callback, _PTR)
        copy.delete = ctypes.cast(delete_callback, _PTR)
        return copy

    def _patch(self, file: int) -> None:
        """Put our methods in the place of an open file's."""
        slot = ctypes.cast(file, ctypes.POINTER(_PTR))
        address = slot[0]
        table = self._tables.get(address)
        if table is None:
            table = self._tables[address] = self._methods(_Methods.from_address(address))
        slot[0] = ctypes.addressof(table)

    def _methods(self, original: _Methods) -> _Methods:
        writing, truncating, syncing = (
            ctypes.cast(original.write, _WRITE),
            ctypes.cast(original.truncate, _TRUNCATE),
            ctypes.cast(original.sync, _SYNC),
        )

        def write(file: int, data: int, size: int, offset: int) -> int:
            if self.write_error and self._names[file].endswith("-wal"):
                return self.write_error
            self.events.append(Event("write", self._names[file], offset, ctypes.string_at(data, size)))
            return int(writing(file, data, size, offset))

        def truncate(file: int, size: int) -> int:
            self.events.append(Event("truncate", self._names[file], size))
            return int(truncating(file, size))

        def sync(file: int, flags: int) -> int:
            if self.sync_error:
                return self.sync_error
            code = int(syncing(file, flags))
            self.events.append(Event("sync", self._names[file]))
            return code

        callbacks = [_WRITE(write), _TRUNCATE(truncate), _SYNC(sync)]
        self._keep += callbacks
        table = _Methods.from_buffer_copy(original)
        table.write, table.truncate, table.sync = (ctypes.cast(callback, _PTR) for callback in callbacks)
        return table


def _apply(content: bytearray, event: Event) -> None:
    if event.kind == "truncate":
        del content[event.offset :]
        return
    end = event.offset + len(event.data)
    if len(content) < end:
        content.extend(bytes(end - len(content)))
    content[event.offset : end] = event.data


def _sectors(event: Event) -> Iterator[Event]:
    """A write as the disk may do it: sector by sector."""
    if event.kind == "truncate":
        yield event
        return
    for low in range(0, len(event.data), SECTOR_BYTES):
        yield event._replace(offset=event.offset + low, data=event.data[low : low + SECTOR_BYTES])


@contextmanager
def faulty_disk() -> Iterator[FaultyDisk]:
    """All databases opened inside are on the disk given.  OSError if SQLite's library cannot be reached from here."""
    try:
        library = ctypes.CDLL(getattr(_sqlite3, "__file__", None))
        library.sqlite3_vfs_find.restype = ctypes.POINTER(_Vfs)
        library.sqlite3_libversion.restype = ctypes.c_char_p
    except AttributeError as error:
        raise OSError(f"this Python hides its SQLite library: {error}") from error
    if library.sqlite3_libversion().decode() != sqlite3.sqlite_version:
        raise OSError("there are two SQLite libraries here")
    disk = FaultyDisk()
    default = library.sqlite3_vfs_find(None)
    ours = disk.vfs(default.contents, b"holdfast-faulty-disk")
    library.sqlite3_vfs_register(ctypes.byref(ours), 1)
    try:
        yield disk
    finally:
        library.sqlite3_vfs_unregister(ctypes.byref(ours))
        library.sqlite3_vfs_register(default, 1)
